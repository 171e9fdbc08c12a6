//! Whatever moment a call is dropped at, after `remove` nothing of it is there or appears any more.

use std::future::Future;
use std::time::Duration;

use nix::unistd::geteuid;
use serde_json::json;
use tokio::time::{sleep, timeout};
use uwsd::ports::{Backend, BackendError, RunSpec};

use super::interposed::{Interposed, Treatment};
use super::{DockerBed, OTHER, own};
use crate::suite::{Bed, launch};

/// How long a container that was left behind may take to appear.
const LATE: Duration = Duration::from_secs(2);
/// The moments at which calls are dropped.
const MOMENTS: [u64; 10] = [0, 2, 5, 10, 20, 40, 80, 160, 320, 640];

/// Drops `call` after a while; whether it was under way.
async fn drop_after(moment: u64, call: impl Future<Output = Result<(), BackendError>>) -> bool {
    match timeout(Duration::from_millis(moment), call).await {
        Ok(done) => {
            done.expect("it is done");
            false
        }
        Err(_) => true,
    }
}

async fn remove(backend: &dyn Backend, spec: &RunSpec) {
    backend.remove(&spec.run).await.expect("the run is removed");
    backend.remove_files(spec.run.job, &spec.dirs, Some(&spec.image)).await.expect("the files are removed");
}

async fn see_nothing_of(bed: &DockerBed, specs: &[RunSpec]) {
    for is_late in [false, true] {
        if is_late {
            sleep(LATE).await;
        }
        for spec in specs {
            assert_eq!(bed.containers_of(spec.run.job), "[]", "late: {is_late}");
            assert!(!spec.dirs.root.exists(), "late: {is_late}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_was_dropped_leaves_nothing() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let backend = bed.backend();
    let (mut specs, mut dropped) = (Vec::new(), 0);
    for moment in MOMENTS {
        let spec = bed.spec("true");
        dropped += u32::from(drop_after(moment, backend.create(&spec)).await);
        remove(&*backend, &spec).await;
        specs.push(spec);
    }
    assert!(dropped > 0, "none was under way");
    see_nothing_of(&bed, &specs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_the_engine_comes_to_late_leaves_nothing() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let treatment = Treatment::Delay("/containers/create", Duration::from_millis(500));
    let interposed = Interposed::before(&bed.socket(), treatment);
    let backend = bed.through(&interposed);
    let spec = bed.spec("true");
    assert!(drop_after(100, backend.create(&spec)).await);
    remove(&*backend, &spec).await;
    let again = bed.spec("true");
    assert!(drop_after(100, backend.create(&again)).await);
    backend.create(&again).await.expect("it is created anew");
    assert_ne!(bed.containers_of(again.run.job), "[]");
    remove(&*backend, &again).await;
    see_nothing_of(&bed, &[spec, again]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_took_too_long_leaves_nothing() {
    let Some(mut bed) = DockerBed::of(own(), true).await else { return };
    // Podman needs a second to tell about itself where much is going on.
    bed.settings.request_timeout = Duration::from_secs(if bed.is_podman { 8 } else { 1 });
    let treatment = Treatment::Delay("/containers/create", bed.settings.request_timeout + Duration::from_millis(500));
    let interposed = Interposed::before(&bed.socket(), treatment);
    let backend = bed.through(&interposed);
    let spec = bed.spec("true");
    let refused = backend.create(&spec).await;
    assert!(matches!(refused, Err(BackendError::Unreachable { .. })), "{refused:?}");
    remove(&*backend, &spec).await;
    see_nothing_of(&bed, &[spec]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_that_cannot_be_removed_keeps_no_run_from_being_found() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let (backend, spec) = (bed.backend(), bed.spec("while :; do sleep 1; done"));
    launch(&*backend, &spec).await;
    let labels = json!({ "org.uwsd.instance": bed.instance.0, "org.uwsd.helper": "of an earlier daemon",
        "org.uwsd.job": spec.run.job.to_string() });
    let helper = json!({ "Image": bed.image, "Cmd": ["true"], "Labels": labels });
    bed.make("containers/create?name=uwsd-helper-left-over", &helper.to_string());
    let interposed = Interposed::before(&bed.socket(), Treatment::Fail("DELETE ", u32::MAX));
    let found = bed.through(&interposed).find_runs().await.expect("told all the same");
    assert!(found.iter().any(|found| found.run == spec.run), "{found:?}");
    assert!(bed.containers_of(spec.run.job).contains("helper-left-over"));
    // It goes once it can.
    bed.fresh_backend().find_runs().await.expect("told");
    assert!(!bed.containers_of(spec.run.job).contains("helper-left-over"));
    remove(&*backend, &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_whose_call_was_dropped_leaves_nothing() {
    let Some(bed) = DockerBed::of(OTHER, true).await else { return };
    if geteuid().is_root() {
        eprintln!("SKIPPED: root needs no helper");
        return;
    }
    let treatment = Treatment::Delay("/containers/create", Duration::from_millis(500));
    let interposed = Interposed::before(&bed.socket(), treatment);
    for backend in [bed.backend(), bed.through(&interposed)] {
        let (mut specs, mut dropped) = (Vec::new(), 0);
        for moment in MOMENTS {
            let spec = bed.spec("true");
            dropped += u32::from(drop_after(moment, backend.hand_over(&spec)).await);
            remove(&*backend, &spec).await;
            specs.push(spec);
        }
        assert!(dropped > 3, "hardly any was under way");
        see_nothing_of(&bed, &specs).await;
    }
}
