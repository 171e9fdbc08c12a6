//! The wall clock of the daemon is set forward and back by hours while jobs wait and run. Its process alone is told so, by
//! libfaketime: the machine's clock is left alone. And a clock that follows no other is told.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bed::{Bed, Daemon, Engine, UWSD};

/// libfaketime, where Debian puts it.
fn library() -> Option<PathBuf> {
    let name = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    let library = PathBuf::from(name);
    if !library.exists() {
        eprintln!("SKIPPED: there is no {}; tests/run installs it", library.display());
        return None;
    }
    Some(library)
}

/// Sets the clock of the daemon that runs in `bed`.
fn set(bed: &Bed, offset: &str) {
    let file = bed.path().join("offset");
    // Renamed into place: never read half.
    std::fs::write(file.with_extension("new"), format!("{offset}\n")).expect("written");
    std::fs::rename(file.with_extension("new"), file).expect("renamed");
}

async fn start(bed: &Bed, library: &Path) -> Daemon {
    let mut command = Command::new(UWSD);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", bed.path().join("offset"))
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_DONT_RESET", "1");
    bed.start_by(command, None).await
}

fn outcome(job: &Value) -> (&str, &str) {
    (job["phase"].as_str().unwrap_or_default(), job["jobInfo"]["reason"].as_str().unwrap_or_default())
}

/// Whether `job` says that it has executed for about `time`.
fn is_about(job: &Value, time: Duration) {
    let said = job["executionDuration"].as_f64().expect("a number");
    assert!((said - time.as_secs_f64()).abs() < 4.0, "it executed for {time:?}, and says {said}: {job}");
}

async fn hours_forward_and_back_end_no_job_and_spare_none(engine: &Engine) {
    let Some(library) = library() else { return };
    let bed = Bed::new(engine, "max_execution_duration = \"1h\"");
    set(&bed, "+0");
    let daemon = start(&bed, &library).await;
    let stamp = async |id: &str, key: &str| {
        let job = bed.get(&format!("/api/v1/job/{id}")).await.json();
        job[key].as_str().unwrap_or_default().to_owned()
    };
    let runs = |limit: &str, command: &str| {
        let form = format!("COMMAND={}&EXECUTIONDURATION={limit}&PHASE=RUN", command.replace(' ', "+"));
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let bed = &bed;
        async move {
            let answer = bed.request("POST", "/api/ocps/async", &headers, form).await;
            assert_eq!(answer.status, 303, "{}", answer.text());
            let location = answer.headers["location"].to_str().expect("text").to_owned();
            location.rsplit('/').next().expect("an id").to_owned()
        }
    };
    // One has an hour's limit and must live through five hours forward; one has a few seconds', and must not live for five
    // hours and a few seconds because the clock went back.
    let (long, short) = (runs("3600", "sleep 6").await, runs("4", "sleep 1000").await);
    let begun = Instant::now();
    for id in [&long, &short] {
        bed.until("the start", async || bed.get(&format!("/api/v1/job/{id}")).await.json()["phase"] == "executing")
            .await;
    }
    set(&bed, "+18000");
    bed.until("the clock to be set", async || {
        let id = bed.submit("true").await;
        let (before, after) = (stamp(&long, "creationTime").await, stamp(&id, "creationTime").await);
        before[11..13] != after[11..13]
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let job = bed.get(&format!("/api/v1/job/{long}")).await.json();
    assert_eq!(job["phase"], "executing", "{job}");
    is_about(&job, begun.elapsed());
    set(&bed, "-18000");
    let last = bed.submit("exit 3").await;
    let job = bed.ends(&short).await;
    assert_eq!(outcome(&job), ("aborted", "timeout"), "{job}");
    let took = begun.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(10)).contains(&took), "the limit of 4 s took {took:?}");
    let job = bed.ends(&long).await;
    assert_eq!(outcome(&job), ("completed", "ok"), "{job}");
    is_about(&job, Duration::from_secs(6));
    let job = bed.ends(&last).await;
    assert_eq!((outcome(&job), &job["jobInfo"]["exitCode"]), (("error", "nonzero"), &json!(3)), "{job}");
    // Nothing is destroyed, and the list is by the stamps (UWS 1.1 §2.2.2.1).
    let listed = bed.get("/api/v1/job").await.json();
    let created: Vec<&str> =
        listed.as_array().expect("a list").iter().filter_map(|job| job["creationTime"].as_str()).collect();
    assert!(created.len() >= 4 && created.is_sorted_by(|a, b| a >= b), "newest first: {created:?}");
    // The clock is set while no daemon runs: what it left goes on within its limit.
    let left = runs("3600", "sleep 3").await;
    bed.until("the start", async || bed.get(&format!("/api/v1/job/{left}")).await.json()["phase"] == "executing").await;
    daemon.kill();
    set(&bed, "+36000");
    let _daemon = start(&bed, &library).await;
    let job = bed.ends(&left).await;
    assert_eq!(outcome(&job), ("completed", "ok"), "{job}");
    is_about(&job, Duration::from_secs(5));
    // No more in the figures: four jobs of a few seconds, not of hours.
    let metrics = bed.get("/metrics").await.text();
    let sum = metrics.lines().find_map(|line| line.strip_prefix("uwsd_job_run_seconds_sum{service=\"ocps\"} "));
    let sum: f64 = sum.expect("there").parse().expect("a number");
    assert!((0.0..60.0).contains(&sum), "{sum}");
}

/// A host whose clock is set while nobody looks: a Raspberry Pi without one, for instance, which hears the time late.
async fn a_clock_that_was_wrong_at_the_launch_makes_no_end_another(engine: &Engine) {
    let Some(library) = library() else { return };
    for (offset, command, limit, expected) in [
        ("-18000", "sleep 2; exit 0", "4", ("completed", "ok")),
        ("+18000", "sleep 7; exit 0", "3", ("aborted", "timeout")),
    ] {
        let bed = Bed::new(engine, "max_execution_duration = \"1h\"");
        set(&bed, offset);
        let daemon = start(&bed, &library).await;
        let form = format!("COMMAND={}&EXECUTIONDURATION={limit}&PHASE=RUN", command.replace(' ', "+"));
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = bed.request("POST", "/api/ocps/async", &headers, form).await;
        let location = answer.headers["location"].to_str().expect("text").to_owned();
        let id = location.rsplit('/').next().expect("an id");
        bed.until("the start", async || bed.get(&format!("/api/v1/job/{id}")).await.json()["phase"] == "executing")
            .await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        daemon.kill();
        tokio::time::sleep(Duration::from_secs(8)).await;
        set(&bed, "+0");
        let _daemon = start(&bed, &library).await;
        let job = bed.ends(id).await;
        assert_eq!(outcome(&job), expected, "the clock was {offset} s off: {job}");
    }
}

/// A directory with a `timedatectl` that gives this answer, before those of the system in a `PATH`.
fn path_where_timedatectl_says(bed: &Bed, answer: &str) -> OsString {
    let dir = bed.path().join("bin");
    std::fs::create_dir_all(&dir).expect("made");
    let program = dir.join("timedatectl");
    std::fs::write(&program, format!("#!/bin/sh\necho asked >> '{0}/asked'\necho {answer}\n", dir.display()))
        .expect("written");
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("ours");
    let mut path = dir.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").expect("there is one"));
    path
}

#[tokio::test]
async fn a_clock_that_follows_no_other_is_told_once_at_the_start() {
    let bed = Bed::new(&Engine::Process, "");
    for (answer, warnings) in [("no", 1), ("yes", 0)] {
        let before = bed.log().len();
        let mut command = Command::new(UWSD);
        command.env("PATH", path_where_timedatectl_says(&bed, answer));
        let daemon = bed.start_by(command, None).await;
        let warned =
            || bed.log()[before..].matches("the host's clock: it is not synchronised, says timedatectl").count();
        bed.until("the look at the clock", async || bed.path().join("bin/asked").exists() && warned() >= warnings)
            .await;
        assert_eq!(daemon.terminate().await, Some(0));
        assert_eq!(warned(), warnings, "{answer}: {}", bed.log());
        std::fs::remove_file(bed.path().join("bin/asked")).expect("it was asked");
    }
}

crate::bed::everywhere! {
    hours_forward_and_back_end_no_job_and_spare_none,
    a_clock_that_was_wrong_at_the_launch_makes_no_end_another,
}
