//! A run outlives the daemon and is adopted by the next one.

use std::sync::Arc;

use uwsd::ports::{How, RunState};

use super::{Bed, clean, end_of, in_an_earlier_life, launch, log_of, prepare, soon, stdout_of, until, until_it_says};

/// Long enough for the next life of the daemon to begin: Podman answers a start seconds after the command began.
const LONG: &str = "echo begun; sleep 6; echo err >&2; echo ended; exit 7";

pub async fn a_run_that_runs_is_adopted(bed: &Arc<dyn Bed>) {
    let spec = bed.spec(LONG);
    let theirs = spec.clone();
    in_an_earlier_life(bed, move |backend| async move {
        launch(&*backend, &theirs).await;
        until_it_says(&theirs, "begun").await;
    })
    .await;
    let backend = bed.fresh_backend();
    let found = backend.find_runs().await.expect("the engine answers");
    let found = found.iter().find(|found| found.run == spec.run).expect("the run is found");
    assert_eq!(found.state, RunState::Running);
    assert_eq!(end_of(&*backend, &spec).await.how, How::Exited(7));
    assert_eq!(stdout_of(&spec), "begun\nended\n");
    assert_eq!(log_of(&spec, "stderr"), b"err\n");
    clean(&*backend, &spec).await;
}

pub async fn a_run_that_ended_meanwhile_is_harvested(bed: &Arc<dyn Bed>) {
    let spec = bed.spec("echo begun; sleep 0.5; echo ended; echo err >&2; exit 3");
    let theirs = spec.clone();
    in_an_earlier_life(bed, move |backend| async move {
        launch(&*backend, &theirs).await;
        until_it_says(&theirs, "begun").await;
    })
    .await;
    let backend = bed.fresh_backend();
    soon("the run is found ended", async {
        loop {
            let found = backend.find_runs().await.expect("the engine answers");
            let found = found.iter().find(|found| found.run == spec.run).expect("the run is found");
            if found.state == RunState::Ended {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(end_of(&*backend, &spec).await.how, How::Exited(3));
    assert_eq!(stdout_of(&spec), "begun\nended\n");
    assert_eq!(log_of(&spec, "stderr"), b"err\n");
    clean(&*backend, &spec).await;
}

pub async fn a_run_that_was_created_is_found_so(bed: &Arc<dyn Bed>) {
    let spec = bed.spec("echo ran >> \"$JOB_OUTPUT_DIR/ran\"; echo hello");
    let theirs = spec.clone();
    in_an_earlier_life(bed, move |backend| async move { prepare(&*backend, &theirs).await }).await;
    let backend = bed.fresh_backend();
    let found = backend.find_runs().await.expect("the engine answers");
    let found = found.iter().find(|found| found.run == spec.run).expect("the run is found");
    assert_eq!(found.state, RunState::Created);
    // And goes on from there.
    backend.create(&spec).await.expect("it is found");
    backend.start(&spec).await.expect("it starts");
    assert_eq!(end_of(&*backend, &spec).await.how, How::Exited(0));
    backend.take_back(&spec).await.expect("the output comes back");
    assert_eq!(stdout_of(&spec), "hello\n");
    assert_eq!(std::fs::read_to_string(spec.dirs.output().join("ran")).expect("it ran"), "ran\n");
    clean(&*backend, &spec).await;
}

pub async fn a_run_that_writes_on_keeps_every_byte(bed: &Arc<dyn Bed>) {
    const LINES: usize = 400;
    let script =
        format!("i=0; while [ $i -lt {LINES} ]; do echo line $i; echo err $i >&2; i=$((i+1)); sleep 0.005; done");
    let spec = bed.spec(&script);
    for (life, line) in [(0, 50), (1, 150), (2, 250)] {
        let theirs = spec.clone();
        in_an_earlier_life(bed, move |backend| async move {
            if life == 0 {
                launch(&*backend, &theirs).await;
                until_it_says(&theirs, &format!("line {line}\n")).await;
            } else {
                // Killed in the middle of its wait.
                let line = format!("line {line}\n");
                tokio::select! {
                    _ = backend.wait(&theirs.run, &theirs.dirs) => {}
                    () = until_it_says(&theirs, &line) => {}
                }
            }
        })
        .await;
    }
    let backend = bed.fresh_backend();
    assert_eq!(end_of(&*backend, &spec).await.how, How::Exited(0));
    for (stream, word) in [("stdout", "line"), ("stderr", "err")] {
        let expected: String = (0..LINES).flat_map(|n| [word.to_owned(), format!(" {n}\n")]).collect();
        assert_eq!(String::from_utf8_lossy(&log_of(&spec, stream)), expected, "{stream}");
    }
    clean(&*backend, &spec).await;
}

pub async fn a_burst_written_while_nobody_listened_is_complete(bed: &Arc<dyn Bed>) {
    const SIZE: usize = 1_000_000;
    let script = format!("echo begun; sleep 0.7; head -c {SIZE} /dev/zero | tr '\\0' o; printf last");
    let spec = bed.spec(&script);
    let theirs = spec.clone();
    in_an_earlier_life(bed, move |backend| async move {
        launch(&*backend, &theirs).await;
        until_it_says(&theirs, "begun").await;
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await; // nobody listens: the daemon is down
    let backend = bed.fresh_backend();
    assert_eq!(end_of(&*backend, &spec).await.how, How::Exited(0));
    let log = stdout_of(&spec);
    assert_eq!(log.len(), "begun\n".len() + SIZE + "last".len());
    assert!(log.starts_with("begun\nooo") && log.ends_with("ooolast"));
    clean(&*backend, &spec).await;
}

pub async fn a_run_adopted_twice_is_told_the_same(bed: &Arc<dyn Bed>) {
    let spec = bed.spec("echo out; printf err >&2; exit 5");
    let theirs = spec.clone();
    in_an_earlier_life(bed, move |backend| async move {
        launch(&*backend, &theirs).await;
        end_of(&*backend, &theirs).await;
    })
    .await;
    for _ in 0..2 {
        let backend = bed.fresh_backend();
        assert_eq!(end_of(&*backend, &spec).await.how, How::Exited(5));
        assert_eq!((stdout_of(&spec).as_str(), &log_of(&spec, "stderr")[..]), ("out\n", &b"err"[..]));
    }
    clean(&*bed.fresh_backend(), &spec).await;
}

pub async fn an_adopted_run_can_be_stopped(bed: &Arc<dyn Bed>) {
    let spec = bed.spec("trap 'echo heard; exit 0' TERM; echo begun; while :; do sleep 0.05; done");
    let theirs = spec.clone();
    in_an_earlier_life(bed, move |backend| async move {
        launch(&*backend, &theirs).await;
        until_it_says(&theirs, "begun").await;
    })
    .await;
    let backend = bed.fresh_backend();
    let grace = std::time::Duration::from_secs(20);
    let (ending, stopped) =
        soon("the stop", async { tokio::join!(end_of(&*backend, &spec), backend.stop(&spec.run, grace)) }).await;
    stopped.expect("it is stopped");
    assert_eq!(ending.how, How::Exited(0));
    until("the last word is there", || stdout_of(&spec) == "begun\nheard\n").await;
    clean(&*backend, &spec).await;
}
