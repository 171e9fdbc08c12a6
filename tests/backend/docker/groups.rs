//! The control groups above containers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::geteuid;
use uuid::Uuid;
use uwsd::backend::docker::Instance;
use uwsd::ports::{Backend, How, RunRef, RunSpec};

use super::interposed::{Interposed, Treatment};
use super::{DockerBed, adapter, ask, is_version_1, own};
use crate::suite::{Bed, Can, can, clean, end_of, launch, live, new_run, prepare};

const MIB: u64 = 1 << 20;

/// Every directory of `run` in the hierarchies that there are.
fn groups_of(bed: &DockerBed, run: &RunRef) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("readable");
    let points = mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    let groups = points.map(|point| PathBuf::from(point).join("uwsd").join(&bed.instance.0).join(run.name()));
    groups.filter(|path| path.exists()).collect()
}

/// The directory of all runs, where memory is counted.
fn ours() -> &'static Path {
    Path::new(if is_version_1() { "/sys/fs/cgroup/memory/uwsd" } else { "/sys/fs/cgroup/uwsd" })
}

fn group_of(bed: &DockerBed, run: &RunRef) -> PathBuf {
    ours().join(&bed.instance.0).join(run.name())
}

async fn bed() -> Option<DockerBed> {
    let bed = DockerBed::of(own(), true).await?;
    if !geteuid().is_root() || !bed.has_groups {
        eprintln!("SKIPPED: groups can be made by root only, and not for an engine whose groups are systemd's");
        return None;
    }
    Some(bed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_has_a_group_in_every_hierarchy_and_leaves_none() {
    let Some(bed) = bed().await else { return };
    let spec = bed.spec("exit 0");
    live(&*bed.backend, &spec).await;
    assert!(group_of(&bed, &spec.run).is_dir());
    let many = groups_of(&bed, &spec.run).len();
    clean(&*bed.backend, &spec).await;
    eprintln!("it had groups in {many} hierarchies");
    assert!(if is_version_1() { many > 1 } else { many == 1 });
    assert_eq!(groups_of(&bed, &spec.run), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_runs_that_are_no_more_are_swept_at_the_start_and_only_our_own() {
    let Some(bed) = bed().await else { return };
    let spec = bed.spec("sleep 60");
    launch(&*bed.backend, &spec).await;
    let another = Instance(Uuid::new_v4().to_string());
    let theirs = ours().join(&another.0).join(new_run().name());
    let stale = group_of(&bed, &new_run());
    for group in [&theirs, &stale] {
        fs::create_dir_all(group).expect("made");
    }
    let next_life = bed.fresh_backend();
    assert_eq!(next_life.find_runs().await.expect("it answers").len(), 1);
    assert!(!stale.exists() && theirs.exists() && group_of(&bed, &spec.run).exists());
    // It is theirs to sweep.
    let their_life = adapter(&bed.settings, &another);
    assert!(their_life.find_runs().await.expect("it answers").is_empty());
    assert!(!theirs.exists() && !theirs.parent().expect("one").exists());
    next_life.stop(&spec.run, std::time::Duration::ZERO).await.expect("stopped");
    clean(&*next_life, &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_because_a_group_above_ran_out_is_no_oom_of_the_run() {
    let Some(bed) = bed().await else { return };
    let glutton = "x=$(head -c 300000000 /dev/zero | tr '\\0' x); echo ${#x}";
    let spec = RunSpec { memory: 256 * MIB, ..bed.spec(glutton) };
    prepare(&*bed.backend, &spec).await;
    // Of version 1 the run's is the container's own group, else that of ours above it.
    let own = group_of(&bed, &spec.run);
    let limit = if is_version_1() { own.join("memory.limit_in_bytes") } else { own.with_file_name("memory.max") };
    fs::write(limit, (48 * MIB).to_string()).expect("limited");
    bed.backend.start(&spec).await.expect("started");
    let ending = end_of(&*bed.backend, &spec).await;
    let engine = bed.engine_tells(&spec.run).expect("it tells");
    eprintln!("the engine says OOM: {}; {ending:?}", engine.contains("\"OOMKilled\":true"));
    assert_eq!(ending.how, How::Signaled { signal: 9, exit_code: Some(137) });
    clean(&*bed.backend, &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_was_killed_for_want_of_memory_is_told_by_every_look() {
    let Some(bed) = bed().await else { return };
    let bed: Arc<dyn Bed> = Arc::new(bed);
    if !can(&*bed, Can::TellOutOfMemory) {
        return;
    }
    // The command gives up at once: the engine may well hear of its exit before it hears of the kill.
    let script = "(x=$(head -c 300000000 /dev/zero | tr '\\0' x); echo ${#x}) || exit 7";
    for _ in 0..5 {
        let spec = RunSpec { memory: 48 * MIB, ..bed.spec(script) };
        let backend: Arc<dyn Backend> = bed.backend();
        let ending = live(&*backend, &spec).await;
        assert!(matches!(ending.how, How::OutOfMemory { exit_code: Some(7 | 137) }), "{ending:?}");
        let again = end_of(&*bed.fresh_backend(), &spec).await;
        assert_eq!(again, ending, "as the next life sees it");
        clean(&*backend, &spec).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oom_that_the_engine_puts_into_no_state_is_read_from_its_events() {
    let Some(bed) = bed().await else { return };
    if !can(&bed, Can::TellOutOfMemory) {
        return;
    }
    if !is_version_1() {
        eprintln!("SKIPPED: version 2 tells an OOM in the group above the container, and nobody asks the engine");
        return;
    }
    // As when it hears of the exit first.
    let treatment = Treatment::Reword("\"OOMKilled\":true,\"Dead\":false", "\"OOMKilled\":false,\"Dead\":null");
    let interposed = Interposed::before(&bed.socket(), treatment);
    let backend = bed.through(&interposed);
    let glutton = "x=$(head -c 300000000 /dev/zero | tr '\\0' x); echo ${#x}";
    for script in [glutton.to_owned(), format!("({glutton}) || exit 7")] {
        let spec = RunSpec { memory: 48 * MIB, ..bed.spec(&script) };
        let ending = live(&*backend, &spec).await;
        let state = ask(&interposed.path(), &format!("containers/{}/json", spec.run.name()));
        assert!(state.contains("\"OOMKilled\":false"), "{state}");
        assert!(matches!(ending.how, How::OutOfMemory { exit_code: Some(7 | 137) }), "{script}: {ending:?}");
        clean(&*backend, &spec).await;
    }
}

/// So for a daemon that is not root, which is how the package runs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oom_of_a_child_is_told_where_there_is_no_group_of_ours() {
    let Some(bed) = bed().await else { return };
    if !can(&bed, Can::TellOutOfMemory) {
        return;
    }
    if !is_version_1() {
        eprintln!("SKIPPED: of version 2 a kill is seen in the group of the container itself");
        return;
    }
    // Groups that are systemd's to make, and an engine that hears of the exit first.
    let systemd = Treatment::Reword("\"CgroupDriver\":\"cgroupfs\"", "\"CgroupDriver\":\"systemd\" ");
    let first = Interposed::before(&bed.socket(), systemd);
    let late = Treatment::Reword("\"OOMKilled\":true,\"Dead\":false", "\"OOMKilled\":false,\"Dead\":null");
    let interposed = Interposed::before(&first.path(), late);
    let backend = bed.through(&interposed);
    for _ in 0..3 {
        let script = "(x=$(head -c 300000000 /dev/zero | tr '\\0' x); echo ${#x}) || exit 7";
        let spec = RunSpec { memory: 48 * MIB, ..bed.spec(script) };
        let ending = live(&*backend, &spec).await;
        assert!(!group_of(&bed, &spec.run).exists(), "none of ours was made");
        assert!(matches!(ending.how, How::OutOfMemory { exit_code: Some(7 | 137) }), "{ending:?}");
        clean(&*backend, &spec).await;
    }
}
