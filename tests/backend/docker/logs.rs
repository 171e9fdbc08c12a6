//! Logs that the engine cannot tell as they were written.

use std::time::Duration;

use uwsd::domain::LogBytes;
use uwsd::ports::{How, JobDirs, RunSpec};

use super::interposed::{Interposed, Treatment};
use super::{DockerBed, ask, order, own, remove};
use crate::suite::{Bed, MAX_LOG, clean, end_of, launch, live, log_of, put, stdout_of, until, until_it_says};

const SCRIPT: &str = "echo begun; echo ended; exit 3";

fn whole(bytes: u64) -> LogBytes {
    LogBytes { written: bytes, kept: bytes }
}

/// A run of which a daemon that is no more has taken nothing. By now it says what the script has it say, and ends when "end" is in
/// its home.
async fn unfollowed(bed: &DockerBed, says: &str) -> RunSpec {
    let until_there = |name: &str| format!("until [ -e \"$HOME/{name}\" ]; do sleep 0.1; done");
    let spec = bed.spec(&format!("{}; {says}; {}", until_there("begin"), until_there("end")));
    let earlier = bed.fresh_backend();
    launch(&*earlier, &spec).await;
    drop(earlier);
    tokio::time::sleep(Duration::from_secs(1)).await;
    put(&spec.dirs.home().join("begin"), "");
    spec
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_stays_torn_does_not_hold_up_the_end_and_is_told() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let spec = bed.spec(SCRIPT);
    live(&*bed.backend(), &spec).await;
    let interposed = Interposed::before(&bed.socket(), Treatment::Tear("/logs?", u32::MAX));
    let ending = end_of(&*bed.through(&interposed), &spec).await;
    assert_eq!((ending.how, ending.logs), (How::Exited(3), None));
    let loss = ending.log_error.expect("it is told");
    assert!(loss.why.contains("Error grabbing logs: unexpected EOF") && !loss.is_full, "{loss:?}");
    assert_eq!(stdout_of(&spec), "begun\nended\n", "what was here before stays");
    clean(&*bed.backend(), &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_keeps_no_more_of_a_log_than_it_may() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    if bed.lacks("log drivers that are told how much to keep") {
        return;
    }
    let spec = bed.spec("true");
    live(&*bed.backend(), &spec).await;
    let told = ask(&bed.socket(), &format!("containers/{}/json", spec.run.name()));
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let kept = &told["HostConfig"]["LogConfig"];
    assert_eq!(kept["Type"], "local", "{kept}");
    let number = |key: &str| kept["Config"][key].as_str().and_then(|text| text.parse().ok()).unwrap_or(0_u64);
    assert_eq!(number("max-size") * number("max-file"), bed.settings.log_max_size, "{kept}");
    clean(&*bed.backend(), &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_torn_for_a_moment_is_read_again() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let spec = bed.spec(SCRIPT);
    live(&*bed.backend(), &spec).await;
    let interposed = Interposed::before(&bed.socket(), Treatment::Tear("/logs?", 3));
    let ending = end_of(&*bed.through(&interposed), &spec).await;
    assert_eq!((ending.how, ending.log_error, ending.log_gap), (How::Exited(3), None, None));
    assert_eq!(ending.logs, Some([whole(12), whole(0)]));
    clean(&*bed.backend(), &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_which_the_engine_tells_too_little_to_who_follows_it_is_read_again() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let spec = unfollowed(&bed, "echo begun; echo ended").await;
    let interposed = Interposed::before(&bed.socket(), Treatment::Shorten("follow=true"));
    let backend = bed.through(&interposed);
    let end = async {
        until_it_says(&spec, "begun").await;
        put(&spec.dirs.home().join("end"), "");
    };
    let (ending, ()) = tokio::join!(end_of(&*backend, &spec), end);
    assert_eq!(stdout_of(&spec), "begun\nended\n");
    assert_eq!((ending.log_error, ending.log_gap, ending.logs), (None, None, Some([whole(12), whole(0)])));
    clean(&*bed.backend(), &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_one_that_has_ended_is_read_once() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let spec = bed.spec(SCRIPT);
    live(&*bed.backend(), &spec).await;
    std::fs::write(spec.dirs.log(&spec.run).join("stdout"), "").expect("written");
    let interposed = Interposed::before(&bed.socket(), Treatment::Tear("/logs?", 0));
    let ending = end_of(&*bed.through(&interposed), &spec).await;
    assert_eq!((interposed.met(), stdout_of(&spec).as_str()), (1, "begun\nended\n"));
    assert_eq!((ending.log_error, ending.log_gap, ending.logs), (None, None, Some([whole(12), whole(0)])));
    clean(&*bed.backend(), &spec).await;
}

/// More than half of what a log may have, and less than a file of the engine's.
const LONG: u64 = 9 << 20;

/// Says so much.
fn long() -> String {
    format!("echo begun; yes $(printf %01000d 7) | head -c {}; echo ended", LONG - 12)
}

/// How much of what it says was taken, with what is kept aside until the end.
fn taken(spec: &RunSpec) -> u64 {
    let log = spec.dirs.log(&spec.run).join("stdout");
    [JobDirs::rest_of(&log), log].iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_the_engine_rotates_while_it_is_followed_is_whole_or_marked() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let spec = unfollowed(&bed, "seq -f %060.0f 1 200000; touch \"$HOME/said\"").await;
    let backend = bed.fresh_backend();
    let end = async {
        until("all is said", || spec.dirs.home().join("said").exists()).await;
        let (mut before, mut now) = (0, taken(&spec));
        while now > before {
            tokio::time::sleep(Duration::from_secs(1)).await;
            (before, now) = (now, taken(&spec));
        }
        put(&spec.dirs.home().join("end"), "");
    };
    let (ending, ()) = tokio::join!(end_of(&*backend, &spec), end);
    let log = log_of(&spec, "stdout");
    let log = String::from_utf8_lossy(&log);
    // Behind a mark it goes on where the first of it is wrong.
    let (first, rest) = log.split_once("\n[uwsd: the engine's log was cut").unwrap_or(("", &log));
    let rest: Vec<u32> = rest.lines().filter_map(|line| line.parse().ok()).collect();
    let begin = if first.is_empty() { 1 } else { rest[0] };
    assert!(rest.iter().copied().eq(begin..=200_000), "{begin}, and {} lines from there", rest.len());
    assert_eq!((ending.log_error, ending.log_gap.is_some()), (None, !first.is_empty()));
    assert!(!JobDirs::rest_of(&spec.dirs.log(&spec.run).join("stdout")).exists(), "nothing is kept aside any more");
    assert_eq!(ending.logs, first.is_empty().then(|| [whole(200_000 * 61), whole(0)]));
    clean(&*bed.backend(), &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_long_log_that_cannot_be_read_again_what_was_taken_is_kept() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let spec = unfollowed(&bed, &long()).await;
    // Who follows it is told all, and nobody after that.
    let interposed = Interposed::before(&bed.socket(), Treatment::Tear("follow=false", u32::MAX));
    let backend = bed.through(&interposed);
    let end = async {
        until("all is taken", || taken(&spec) == LONG).await;
        put(&spec.dirs.home().join("end"), "");
    };
    let (ending, ()) = tokio::join!(end_of(&*backend, &spec), end);
    assert!(ending.log_error.is_some_and(|loss| loss.why.contains("the end of the logs may be missing")));
    let kept = log_of(&spec, "stdout");
    assert!(kept.len() as u64 == LONG && kept.ends_with(b"ended\n"), "{} bytes are there", kept.len());
    clean(&*bed.backend(), &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_again_while_a_log_is_read_again_does_not_read_it_too() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let spec = unfollowed(&bed, &long()).await;
    let interposed = Interposed::before(&bed.socket(), Treatment::Tear("follow=false", 1));
    let backend = bed.through(&interposed);
    let end = async {
        until("all is taken", || taken(&spec) == LONG).await;
        put(&spec.dirs.home().join("end"), "");
        until("it is read again", || interposed.met() == 2).await;
    };
    tokio::select! {
        ended = backend.wait(&spec.run, &spec.dirs) => panic!("{ended:?} before the log was read again"),
        () = end => {}
    }
    let ending = end_of(&*backend, &spec).await;
    assert_eq!(interposed.met(), 2, "nobody reads beside the one that does already");
    assert_eq!((ending.log_error, ending.log_gap, ending.logs), (None, None, Some([whole(LONG), whole(0)])));
    clean(&*bed.backend(), &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_the_engine_tells_otherwise_than_before_is_told_to_be_cut() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let spec = bed.spec(SCRIPT);
    live(&*bed.backend(), &spec).await;
    std::fs::write(spec.dirs.log(&spec.run).join("stdout"), "forgotten\nbegun\n").expect("written");
    let ending = end_of(&*bed.fresh_backend(), &spec).await;
    assert_eq!((ending.how, ending.log_error, ending.logs), (How::Exited(3), None, None));
    let gap = ending.log_gap.expect("it is told");
    assert!(gap.contains("was cut"), "{gap}");
    let log = String::from_utf8(log_of(&spec, "stdout")).expect("text");
    assert!(log.starts_with("forgotten\nbegun\n\n[uwsd: ") && log.ends_with("]\nbegun\nended\n"), "{log}");
    clean(&*bed.backend(), &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_says_after_somebody_restarted_it_is_in_its_logs() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    if bed.lacks("an answer to who waits for the end while it restarts a container") {
        return;
    }
    // It does not heed the request to stop: meanwhile its end is waited for.
    let script = "trap '' TERM; [ -e \"$HOME/first\" ] && echo second && sleep 2 && echo last && exit 3; \
                  touch \"$HOME/first\"; echo first; while :; do sleep 0.1; done";
    let (backend, spec) = (bed.backend(), bed.spec(script));
    launch(&*backend, &spec).await;
    until_it_says(&spec, "first").await;
    let (socket, path) = (bed.socket(), format!("containers/{}/restart?t=2", spec.run.name()));
    let restart = tokio::task::spawn_blocking(move || order(&socket, &path));
    let (ending, restarted) = tokio::join!(end_of(&*backend, &spec), restart);
    restarted.expect("it is restarted");
    assert_eq!((ending.how, stdout_of(&spec).as_str()), (How::Exited(3), "first\nsecond\nlast\n"));
    assert_eq!((ending.log_error, ending.log_gap, ending.logs), (None, None, Some([whole(18), whole(0)])));
    clean(&*backend, &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_log_only_grows_also_where_another_daemon_goes_on_with_it() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    // Without a newline, which the engine might forget after so long a line.
    let script = format!("head -c {MAX_LOG} /dev/zero | tr '\\0' x; touch \"$HOME/written\"; sleep 4; printf last");
    let (backend, spec) = (bed.fresh_backend(), bed.spec(&script));
    launch(&*backend, &spec).await;
    let (log, home) = (spec.dirs.log(&spec.run).join("stdout"), spec.dirs.home());
    let length = || std::fs::metadata(&log).map_or(0, |log| log.len());
    until("the log is half full", || home.join("written").exists() && length() >= MAX_LOG / 2).await;
    drop(backend);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(length(), MAX_LOG / 2, "the rest is shown at the end");
    let ending = end_of(&*bed.fresh_backend(), &spec).await;
    assert_eq!((ending.how, ending.log_error, ending.log_gap), (How::Exited(0), None, None));
    let kept = log_of(&spec, "stdout");
    let mark = format!("\n[uwsd: this log may have {MAX_LOG} bytes; 4 bytes are cut here]\n");
    assert_eq!(kept.len() as u64, MAX_LOG + mark.len() as u64);
    let half = usize::try_from(MAX_LOG / 2).expect("small");
    assert!(kept[half..].starts_with(mark.as_bytes()) && kept.ends_with(b"xlast"));
    clean(&*bed.backend(), &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_log_whose_container_was_removed_meanwhile_it_is_told_that_it_may_lack_some() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let spec = bed.spec("echo begun; exec sleep 600");
    let backend = bed.fresh_backend();
    launch(&*backend, &spec).await;
    until_it_says(&spec, "begun").await;
    remove(&bed.socket(), &spec.run.name());
    // Another daemon, which has not seen it run.
    let ending = end_of(&*bed.fresh_backend(), &spec).await;
    assert_eq!((ending.how, ending.log_error, ending.logs), (How::Vanished, None, None));
    let gap = ending.log_gap.expect("it is told");
    assert!(gap.contains("its container is gone"), "{gap}");
    assert_eq!(stdout_of(&spec), "begun\n", "what was here before stays");
    clean(&*backend, &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_followed_until_its_container_was_removed_is_whole() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let spec = bed.spec("echo begun; exec sleep 600");
    let backend = bed.backend();
    launch(&*backend, &spec).await;
    until_it_says(&spec, "begun").await;
    remove(&bed.socket(), &spec.run.name());
    let ending = end_of(&*backend, &spec).await;
    assert_eq!((ending.how, ending.log_error, ending.log_gap), (How::Vanished, None, None));
    assert_eq!(ending.logs, Some([whole(6), whole(0)]));
    clean(&*backend, &spec).await;
}
