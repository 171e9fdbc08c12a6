//! `pause` and `resume`: everything in the run stands still where it is, and goes on from there.

use std::sync::Arc;
use std::time::Duration;

use uwsd::ports::{How, RunState};

use super::{Bed, Can, RunSpec, can, clean, end_of, in_an_earlier_life, launch, live, soon, until_it_says};

/// Says how far it has counted, as fast as it can read a file.
const COUNTING: &str = "n=0; echo begin; while [ ! -e \"$JOB_OUTPUT_DIR/enough\" ]; do n=$((n+1)); \
                        echo $n > \"$HOME/n.new\"; mv \"$HOME/n.new\" \"$HOME/n\"; sleep 0.02; done; echo end";

/// How far a run has counted.
async fn counted(spec: &RunSpec) -> u64 {
    let read = || std::fs::read_to_string(spec.dirs.home().join("n")).ok()?.trim().parse().ok();
    soon("a number", async {
        loop {
            if let Some(number) = read() {
                return number;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

pub async fn a_paused_run_stands_still_and_a_resumed_one_goes_on(bed: &Arc<dyn Bed>) {
    if !can(&**bed, Can::ShareFiles) {
        return;
    }
    let (backend, spec) = (bed.backend(), bed.spec(COUNTING));
    launch(&*backend, &spec).await;
    // It has begun to count: halted before, it would never come to a number.
    counted(&spec).await;
    for _ in 0..2 {
        backend.pause(&spec.run).await.expect("paused");
    }
    let before = counted(&spec).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(counted(&spec).await, before, "it stands still");
    for _ in 0..2 {
        backend.resume(&spec.run).await.expect("resumed");
    }
    soon("the count to go on", async {
        while counted(&spec).await <= before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    backend.stop(&spec.run, Duration::from_secs(10)).await.expect("stopped");
    end_of(&*backend, &spec).await;
    clean(&*backend, &spec).await;
}

pub async fn a_paused_run_can_be_stopped(bed: &Arc<dyn Bed>) {
    let (backend, spec) =
        (bed.backend(), bed.spec("trap 'echo heard; exit 7' TERM; echo begin; while :; do sleep 0.05; done"));
    launch(&*backend, &spec).await;
    until_it_says(&spec, "begin").await;
    backend.pause(&spec.run).await.expect("paused");
    backend.stop(&spec.run, Duration::from_secs(20)).await.expect("stopped");
    let ending = end_of(&*backend, &spec).await;
    assert_eq!(ending.how, How::Exited(7), "it heard the request");
    clean(&*backend, &spec).await;
}

pub async fn a_run_paused_in_an_earlier_life_goes_on_in_this_one(bed: &Arc<dyn Bed>) {
    let spec = bed.spec("echo begin; sleep 2; echo end");
    let earlier = spec.clone();
    in_an_earlier_life(bed, |backend| async move {
        launch(&*backend, &earlier).await;
        backend.pause(&earlier.run).await.expect("paused");
    })
    .await;
    let backend = bed.backend();
    let found = backend.find_runs().await.expect("found");
    assert!(found.iter().any(|found| found.run == spec.run && found.state == RunState::Running), "{found:?}");
    backend.resume(&spec.run).await.expect("resumed");
    let ending = end_of(&*backend, &spec).await;
    assert_eq!(ending.how, How::Exited(0));
    clean(&*backend, &spec).await;
}

pub async fn pausing_what_has_ended_or_never_was_succeeds(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("exit 3"));
    for _ in 0..2 {
        backend.pause(&spec.run).await.expect("there is nothing to pause");
        backend.resume(&spec.run).await.expect("there is nothing to resume");
    }
    live(&*backend, &spec).await;
    backend.pause(&spec.run).await.expect("it has ended");
    backend.resume(&spec.run).await.expect("it has ended");
    let ending = end_of(&*backend, &spec).await;
    assert_eq!(ending.how, How::Exited(3));
    clean(&*backend, &spec).await;
}
