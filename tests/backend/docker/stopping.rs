//! Stops and waits on an engine that does not tell the end, or fails to.

use std::time::Duration;

use uwsd::ports::How;

use super::interposed::{Interposed, Treatment};
use super::{DockerBed, own};
use crate::suite::{Bed, clean, end_of, launch, soon, until_it_says};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_grace_is_given_also_when_the_engine_does_not_tell_the_end() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let interposed = Interposed::before(&bed.socket(), Treatment::Cut("/wait?"));
    let backend = bed.through(&interposed);
    let spec = bed.spec("trap 'sleep 1; exit 4' TERM; echo begun; while :; do sleep 0.05; done");
    launch(&*backend, &spec).await;
    until_it_says(&spec, "begun").await;
    let stop = backend.stop(&spec.run, Duration::from_secs(50));
    soon("the stop", stop).await.expect("it is stopped");
    assert_eq!(end_of(&*backend, &spec).await.how, How::Exited(4));
    clean(&*backend, &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_fails_to_tell_is_asked_again_and_it_is_no_end() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let spec = bed.spec("echo begun; sleep 2; exit 5");
    let backend = bed.backend();
    launch(&*backend, &spec).await;
    until_it_says(&spec, "begun").await;
    let interposed = Interposed::before(&bed.socket(), Treatment::Fail("/json HTTP", 3));
    let ending = end_of(&*bed.through(&interposed), &spec).await;
    assert_eq!(ending.how, How::Exited(5));
    clean(&*backend, &spec).await;
}

/// Anybody who reaches the engine may rename a container: its labels tell whose it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_was_renamed_is_stopped_and_its_end_is_told() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    for is_adopted in [false, true] {
        let ends = bed.spec("echo begun; sleep 2; exit 5");
        let stays = bed.spec("trap 'exit 4' TERM; echo begun; while :; do sleep 0.05; done");
        for spec in [&ends, &stays] {
            launch(&*bed.backend(), spec).await;
            until_it_says(spec, "begun").await;
            let name = spec.run.name();
            bed.make(&format!("containers/{name}/rename?name=renamed-{name}"), "{}");
        }
        let backend = if is_adopted { bed.fresh_backend() } else { bed.backend() };
        assert_eq!(backend.find_runs().await.expect("they are listed").len(), 2);
        assert_eq!(end_of(&*backend, &ends).await.how, How::Exited(5));
        soon("the stop", backend.stop(&stays.run, Duration::from_secs(50))).await.expect("it is stopped");
        assert_eq!(end_of(&*backend, &stays).await.how, How::Exited(4));
        for spec in [&ends, &stays] {
            clean(&*backend, spec).await;
            assert_eq!(bed.containers_of(spec.run.job).trim(), "[]");
        }
    }
}
