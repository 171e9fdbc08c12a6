//! Ends that this backend tells better than most, and hosts that cannot run jobs.

use std::path::Path;

use uwsd::backend::process::{HostError, ProcessBackend};
use uwsd::config;
use uwsd::ports::{BackendError, How, Mount, MountKind, Network, RunSpec};

use super::{new_bed, settings};
use crate::suite::{Bed, clean, live, log_of, stdout_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_real_time_signal_is_told() {
    let bed = new_bed().await;
    let spec = bed.spec("kill -40 $$; while :; do sleep 1; done");
    assert_eq!(live(&*bed.backend, &spec).await.how, How::Signaled { signal: 40, exit_code: None });
    clean(&*bed.backend, &spec).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_executed_says_why_where_the_job_looks() {
    let bed = new_bed().await;
    for (program, code, why) in [
        ("/no/such/program", 127, "No such file or directory"),
        ("no-such-program", 127, "No such file or directory"),
        ("/etc/passwd/program", 127, "Not a directory"),
        ("/etc/passwd", 126, "Permission denied"),
    ] {
        let spec = RunSpec { argv: vec![program.to_owned()], ..bed.spec("") };
        assert_eq!(live(&*bed.backend, &spec).await.how, How::Exited(code), "{program}");
        let said = String::from_utf8(log_of(&spec, "stderr")).expect("text");
        assert!(said.starts_with(&format!("{program}: {why}")) && said.ends_with('\n'), "{said}");
        clean(&*bed.backend, &spec).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_kills_all_it_can_see_ends_only_itself() {
    let bed = new_bed().await;
    let spec = bed.spec("kill -9 -1; kill -9 1; kill -15 1; echo survived");
    let ending = live(&*bed.backend, &spec).await;
    assert!(matches!(ending.how, How::Exited(0) | How::Signaled { signal: 9 | 15, .. }), "{ending:?}");
    clean(&*bed.backend, &spec).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_memory_is_told_with_its_peak() {
    let bed = new_bed().await;
    if !bed.is_limiting {
        eprintln!("SKIPPED: no cgroups here");
        return;
    }
    let script = "x=$(head -c 300000000 /dev/zero | tr '\\0' x); echo ${#x}";
    let spec = RunSpec { memory: 64 * 1024 * 1024, ..bed.spec(script) };
    let ending = live(&*bed.backend, &spec).await;
    assert!(matches!(ending.how, How::OutOfMemory { .. }), "{ending:?}");
    let peak = ending.peak_memory.expect("it is known").bytes;
    assert!((32 << 20..=64 << 20).contains(&peak), "{peak}");
    clean(&*bed.backend, &spec).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_memory_counts_as_memory() {
    let bed = new_bed().await;
    let script = "for d in /tmp /dev/shm /var/tmp; do head -c 300000000 /dev/zero > $d/x; done 2>/dev/null; \
                  cat /tmp/x /dev/shm/x /var/tmp/x | wc -c";
    let spec = RunSpec { memory: 64 * 1024 * 1024, ..bed.spec(script) };
    live(&*bed.backend, &spec).await;
    let size: u64 = stdout_of(&spec).trim().parse().unwrap_or(0);
    let most = if bed.is_limiting { 64 << 20 } else { 3 * (64 << 20) };
    assert!(size <= most, "{size} bytes of memory were written to files");
    clean(&*bed.backend, &spec).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_has_not_is_refused_by_name() {
    let bed = new_bed().await;
    let volume = MountKind::Volume { source: "archive".into(), sub_path: String::new() };
    let mount = Mount { kind: volume, target: "/data".into(), is_read_only: true };
    let specs = [
        (RunSpec { network: Network::Named("dmz".into()), ..bed.spec("true") }, "dmz"),
        (RunSpec { mounts: vec![mount], ..bed.spec("true") }, "archive"),
        (RunSpec { argv: Vec::new(), ..bed.spec("true") }, "command"),
    ];
    for (spec, word) in specs {
        match bed.backend.create(&spec).await {
            Err(BackendError::Refused { why, .. }) => assert!(why.contains(word), "{why}"),
            other => panic!("{other:?}"),
        }
        clean(&*bed.backend, &spec).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_another_directory_are_not_removed() {
    let bed = new_bed().await;
    let (one, other) = (bed.spec("true"), bed.spec("true"));
    let refused = bed.backend.remove_files(one.run.job, &other.dirs, None).await;
    assert!(matches!(refused, Err(BackendError::Refused { .. })), "{refused:?}");
    assert!(other.dirs.root.exists());
}

#[test]
fn a_host_without_bubblewrap_is_told_the_remedy() {
    ProcessBackend::check_host(&settings()).expect("it works here");
    let state = Path::new("/nonexistent");
    for bwrap in ["no-such-bwrap", "/no/such/bwrap"] {
        let config = config::Process { bwrap: bwrap.into(), ..settings() };
        let refused = ProcessBackend::check_host(&config).expect_err("there is none");
        assert_eq!(refused, HostError::Missing(bwrap.into()));
        let said = refused.to_string();
        assert!(said.contains("backend.process.bwrap") && said.contains("apt-get install bubblewrap"), "{said}");
        assert!(ProcessBackend::new(&config, state).is_err());
    }
}
