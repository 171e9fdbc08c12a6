//! Everything may be asked twice; names and instances are kept apart.

use std::sync::Arc;
use std::time::Duration;

use uwsd::ports::{How, RunRef, RunSpec, RunState};

use super::{Bed, clean, end_of, launch, live, log_of, prepare, stdout_of, until_it_says};

async fn found(backend: &dyn uwsd::ports::Backend, spec: &RunSpec) -> Vec<(RunRef, RunState)> {
    let runs = backend.find_runs().await.expect("the engine answers");
    runs.into_iter().filter(|found| found.run.job == spec.run.job).map(|found| (found.run, found.state)).collect()
}

pub async fn created_twice_it_is_one(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("echo one"));
    prepare(&*backend, &spec).await;
    prepare(&*backend, &spec).await;
    assert_eq!(found(&*backend, &spec).await, [(spec.run, RunState::Created)]);
    backend.start(&spec).await.expect("it starts");
    assert_eq!(end_of(&*backend, &spec).await.how, How::Exited(0));
    assert_eq!(stdout_of(&spec), "one\n");
    backend.create(&spec).await.expect("it is found");
    assert_eq!(found(&*backend, &spec).await, [(spec.run, RunState::Ended)]);
    clean(&*backend, &spec).await;
}

pub async fn started_twice_it_runs_once(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("echo ran; sleep 0.5"));
    launch(&*backend, &spec).await;
    until_it_says(&spec, "ran").await;
    backend.start(&spec).await.expect("it is left as it is");
    bed.fresh_backend().start(&spec).await.expect("it is left as it is");
    assert_eq!(end_of(&*backend, &spec).await.how, How::Exited(0));
    assert_eq!(stdout_of(&spec).lines().next(), Some("ran"));
    clean(&*backend, &spec).await;
}

pub async fn started_after_its_end_it_stays_ended(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("echo ran; exit 9"));
    live(&*backend, &spec).await;
    backend.start(&spec).await.expect("it is left as it is");
    assert_eq!(found(&*backend, &spec).await, [(spec.run, RunState::Ended)]);
    let fresh = bed.fresh_backend();
    fresh.start(&spec).await.expect("it is left as it is");
    assert_eq!(end_of(&*fresh, &spec).await.how, How::Exited(9));
    assert_eq!((stdout_of(&spec).as_str(), &log_of(&spec, "stderr")[..]), ("ran\n", &b""[..]));
    clean(&*backend, &spec).await;
}

pub async fn removed_twice_it_is_gone(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("true"));
    backend.remove(&spec.run).await.expect("there was none");
    live(&*backend, &spec).await;
    backend.remove(&spec.run).await.expect("it is removed");
    backend.remove(&spec.run).await.expect("it was removed");
    assert_eq!(found(&*backend, &spec).await, []);
    assert_eq!(end_of(&*backend, &spec).await.how, How::Vanished);
    clean(&*backend, &spec).await;
}

pub async fn a_running_run_can_be_removed(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("echo begun; trap '' TERM; while :; do sleep 1; done"));
    launch(&*backend, &spec).await;
    until_it_says(&spec, "begun").await;
    backend.remove(&spec.run).await.expect("it is removed");
    assert_eq!(found(&*backend, &spec).await, []);
    clean(&*backend, &spec).await;
}

pub async fn runs_of_another_instance_are_not_found(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("true"));
    prepare(&*backend, &spec).await;
    let other = bed.other_instance();
    assert_eq!(found(&*other, &spec).await, []);
    assert_eq!(found(&*backend, &spec).await, [(spec.run, RunState::Created)]);
    clean(&*backend, &spec).await;
}

pub async fn replicas_are_told_apart(bed: &Arc<dyn Bed>) {
    let backend = bed.backend();
    let first = bed.spec("echo $JOB_REPLICA; echo $JOB_REPLICA > \"$JOB_OUTPUT_DIR/$JOB_REPLICA\"; exit $JOB_REPLICA");
    let specs: Vec<RunSpec> = (0..3)
        .map(|replica| {
            let mut spec = first.clone();
            spec.run = RunRef { replica, replicas: 3, ..spec.run };
            spec.env.push(("JOB_REPLICA".into(), replica.to_string()));
            spec
        })
        .collect();
    for spec in &specs {
        launch(&*backend, spec).await;
    }
    for (spec, code) in specs.iter().zip(0..) {
        assert_eq!(end_of(&*backend, spec).await.how, How::Exited(code));
        assert_eq!(stdout_of(spec), format!("{code}\n"));
    }
    for spec in &specs {
        backend.take_back(spec).await.expect("the output comes back");
    }
    let mut runs = found(&*backend, &first).await;
    runs.sort_by_key(|(run, _)| run.replica);
    assert_eq!(runs, specs.iter().map(|spec| (spec.run, RunState::Ended)).collect::<Vec<_>>());
    for spec in &specs {
        backend.remove(&spec.run).await.expect("removed");
    }
    clean(&*backend, &first).await;
}

pub async fn a_creation_that_was_dropped_is_removed(bed: &Arc<dyn Bed>) {
    let backend = bed.backend();
    let mut specs = Vec::new();
    for micros in [0, 100, 300, 1000, 3000, 10_000, 30_000] {
        let spec = bed.spec("true");
        let _ = tokio::time::timeout(Duration::from_micros(micros), backend.create(&spec)).await;
        clean(&*backend, &spec).await;
        specs.push(spec);
    }
    tokio::time::sleep(Duration::from_secs(1)).await; // for what would appear late
    for spec in specs {
        assert_eq!(found(&*backend, &spec).await, []);
        assert!(!spec.dirs.root.exists());
    }
}
