//! Logs that the engine cannot tell as they were written.

use std::time::Duration;

use uwsd::domain::LogBytes;
use uwsd::ports::{How, RunSpec};

use super::interposed::{Interposed, Treatment};
use super::{DockerBed, ask, order, own, remove};
use crate::suite::{Bed, MAX_LOG, clean, end_of, launch, live, log_of, stdout_of, until, until_it_says};

const SCRIPT: &str = "echo begun; echo ended; exit 3";

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
    let whole = |bytes| LogBytes { written: bytes, kept: bytes };
    assert_eq!((ending.how, ending.log_error, ending.log_gap), (How::Exited(3), None, None));
    assert_eq!(ending.logs, Some([whole(12), whole(0)]));
    clean(&*bed.backend(), &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_which_the_engine_tells_too_little_to_who_follows_it_is_read_again() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let spec = bed.spec(SCRIPT);
    live(&*bed.backend(), &spec).await;
    std::fs::write(spec.dirs.log(&spec.run).join("stdout"), "").expect("written");
    let interposed = Interposed::before(&bed.socket(), Treatment::Shorten("follow=true"));
    let ending = end_of(&*bed.through(&interposed), &spec).await;
    assert_eq!(stdout_of(&spec), "begun\nended\n");
    let whole = |bytes| LogBytes { written: bytes, kept: bytes };
    assert_eq!((ending.log_error, ending.log_gap, ending.logs), (None, None, Some([whole(12), whole(0)])));
    clean(&*bed.backend(), &spec).await;
}

/// A run that has said more than half of what a log may have and has ended, of which nothing is in its files; how much it said.
async fn unread(bed: &DockerBed) -> (RunSpec, u64) {
    let spec = bed.spec(&format!("echo begun; yes 'a line as long as most are, with some words and a number such as 4711' | head -c {}; echo ended; exit 3", MAX_LOG / 4 * 3));
    live(&*bed.backend(), &spec).await;
    let log = spec.dirs.log(&spec.run).join("stdout");
    let length = std::fs::metadata(&log).expect("it is there").len();
    std::fs::write(log, "").expect("written");
    (spec, length)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_long_log_that_cannot_be_read_again_what_was_taken_is_kept() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let (spec, length) = unread(&bed).await;
    // Who follows it is told all, and nobody after that.
    let interposed = Interposed::before(&bed.socket(), Treatment::Tear("follow=false", u32::MAX));
    let ending = end_of(&*bed.through(&interposed), &spec).await;
    assert!(ending.log_error.is_some_and(|loss| loss.why.contains("the end of the logs may be missing")));
    let kept = log_of(&spec, "stdout");
    assert!(kept.len() as u64 == length && kept.ends_with(b"ended\n"), "{} of {length} bytes are there", kept.len());
    clean(&*bed.backend(), &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_again_while_a_log_is_read_again_does_not_read_it_too() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let (spec, length) = unread(&bed).await;
    let interposed = Interposed::before(&bed.socket(), Treatment::Tear("follow=false", 1));
    let backend = bed.through(&interposed);
    tokio::select! {
        ended = backend.wait(&spec.run, &spec.dirs) => panic!("{ended:?} before the log was read again"),
        () = until("it is read again", || interposed.met() == 2) => {}
    }
    let ending = end_of(&*backend, &spec).await;
    assert_eq!(interposed.met(), 2, "nobody reads beside the one that does already");
    let whole = |bytes| LogBytes { written: bytes, kept: bytes };
    assert_eq!((ending.log_error, ending.log_gap, ending.logs), (None, None, Some([whole(length), whole(0)])));
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
    let whole = |bytes| LogBytes { written: bytes, kept: bytes };
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
    let whole = |bytes| LogBytes { written: bytes, kept: bytes };
    assert_eq!(ending.logs, Some([whole(6), whole(0)]));
    clean(&*backend, &spec).await;
}
