//! A stop reaches everything, in the time given, and never too much.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::unix::pipe;
use uwsd::ports::How;

use super::{Bed, Can, can, clean, end_of, inside, launch, prepare, soon, stdout_of, until_it_says};

pub async fn a_run_that_heeds_the_request_ends_by_it(bed: &Arc<dyn Bed>) {
    let script = "trap 'echo heard; exit 4' TERM; echo begun; while :; do sleep 0.05; done";
    let (backend, spec) = (bed.backend(), bed.spec(script));
    launch(&*backend, &spec).await;
    until_it_says(&spec, "begun").await;
    soon("the stop", backend.stop(&spec.run, Duration::from_secs(30))).await.expect("it is stopped");
    assert_eq!(end_of(&*backend, &spec).await.how, How::Exited(4));
    assert_eq!(stdout_of(&spec), "begun\nheard\n");
    clean(&*backend, &spec).await;
}

pub async fn a_run_that_does_not_heed_is_killed_after_the_grace(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("trap '' TERM; echo begun; while :; do sleep 0.05; done"));
    launch(&*backend, &spec).await;
    until_it_says(&spec, "begun").await;
    let asked = Instant::now();
    soon("the stop", backend.stop(&spec.run, Duration::from_secs(2))).await.expect("it is stopped");
    let took = asked.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_secs(15)).contains(&took), "{took:?}");
    let how = end_of(&*backend, &spec).await.how;
    assert!(matches!(how, How::Signaled { signal: 9, .. }), "{how:?}");
    clean(&*backend, &spec).await;
}

pub async fn everything_that_it_started_is_gone(bed: &Arc<dyn Bed>) {
    if !can(&**bed, Can::ShareFiles) {
        return;
    }
    // Every process of the run, also one that left its session, holds the writing end of this pipe.
    let script = "cd \"$JOB_OUTPUT_DIR\"; mkfifo alive; echo made; exec 3> alive; \
                  (trap '' TERM; setsid sh -c 'echo one >&3; sleep 1000; sleep 1000' & sleep 1000) & \
                  echo two >&3; trap '' TERM; while :; do sleep 1; done";
    let (backend, spec) = (bed.backend(), bed.spec(script));
    launch(&*backend, &spec).await;
    until_it_says(&spec, "made").await;
    let alive = pipe::OpenOptions::new().open_receiver(spec.dirs.output().join("alive")).expect("the pipe opens");
    let mut said = Vec::new();
    soon("both processes", async {
        while !(said.windows(3).any(|w| w == b"one") && said.windows(3).any(|w| w == b"two")) {
            let mut buffer = [0; 64];
            match alive.try_read(&mut buffer) {
                Ok(n) if n > 0 => said.extend_from_slice(&buffer[..n]),
                _ => tokio::time::sleep(Duration::from_millis(10)).await, // no writer yet, or nothing written
            }
        }
    })
    .await;
    soon("the stop", backend.stop(&spec.run, Duration::from_millis(500))).await.expect("it is stopped");
    match alive.try_read(&mut [0; 64]) {
        Ok(0) => {}
        other => panic!("a process of the run lives on: {other:?}"),
    }
    end_of(&*backend, &spec).await;
    clean(&*backend, &spec).await;
}

pub async fn a_created_run_never_starts_afterwards(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec(""));
    let spec = uwsd::ports::RunSpec {
        argv: vec!["/bin/sh".into(), "-c".into(), format!("echo ran; touch {}/out/ran", inside(&spec))],
        ..spec
    };
    prepare(&*backend, &spec).await;
    soon("the stop", backend.stop(&spec.run, Duration::from_secs(5))).await.expect("it is stopped");
    let _ = backend.start(&spec).await; // may refuse; must not run it
    let how = end_of(&*backend, &spec).await.how;
    assert!(matches!(how, How::Vanished | How::NotStarted(_)), "{how:?}");
    assert_eq!(stdout_of(&spec), "");
    assert!(!spec.dirs.output().join("ran").exists(), "it ran after it was stopped");
    clean(&*backend, &spec).await;
}

pub async fn stopping_what_has_ended_or_never_was_succeeds(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("exit 6"));
    backend.stop(&spec.run, Duration::from_secs(5)).await.expect("it never was");
    launch(&*backend, &spec).await;
    assert_eq!(end_of(&*backend, &spec).await.how, How::Exited(6));
    backend.stop(&spec.run, Duration::from_secs(5)).await.expect("it has ended");
    assert_eq!(end_of(&*backend, &spec).await.how, How::Exited(6), "its end is still told");
    clean(&*backend, &spec).await;
}

pub async fn stopping_twice_succeeds(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("trap '' TERM; echo begun; while :; do sleep 0.05; done"));
    launch(&*backend, &spec).await;
    until_it_says(&spec, "begun").await;
    let grace = Duration::from_secs(1);
    let (one, two, ending) = soon("both stops", async {
        tokio::join!(backend.stop(&spec.run, grace), backend.stop(&spec.run, grace), end_of(&*backend, &spec))
    })
    .await;
    one.expect("it is stopped");
    two.expect("it is stopped");
    assert!(matches!(ending.how, How::Signaled { signal: 9, .. }), "{ending:?}");
    clean(&*backend, &spec).await;
}
