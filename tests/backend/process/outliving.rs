//! A run and its supervisor outlive the daemon, and what dies with what.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use uwsd::ports::{Backend, How, JobDirs, RunRef, RunSpec, RunState};

use super::{backend_in, new_bed};
use crate::suite::{Bed, clean, end_of, launch, live, prepare, soon, stdout_of, until, until_it_says};

/// What a process that plays the daemon is told: the state directory, the jobs' directory, the job, the script.
const ORDERS: &str = "UWSD_TEST_ORDERS";

/// Not a test: a daemon that launches a run and waits, to be killed.
#[ignore = "a part of a_daemon_that_is_killed_leaves_its_run_alone"]
#[tokio::test(flavor = "multi_thread")]
async fn play_the_daemon() {
    let Some(orders) = std::env::var_os(ORDERS) else { return };
    let orders = orders.into_string().expect("text");
    let [state, job, root, script] = orders.split('\n').collect::<Vec<_>>().try_into().expect("four lines");
    let bed = new_bed().await;
    let run = RunRef { job: job.parse().expect("a job"), replica: 0, replicas: 1 };
    let mut spec = RunSpec { run, dirs: JobDirs { root: root.into() }, ..bed.spec(script) };
    spec.env.retain(|(name, _)| name == "PATH");
    let backend = backend_in(Path::new(state));
    launch(&backend, &spec).await;
    println!("launched");
    let _ = backend.wait(&spec.run, &spec.dirs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_leaves_its_run_alone() {
    let bed = new_bed().await;
    let script = "echo begun; sleep 1; echo ended; exit 5";
    let spec = bed.spec(script);
    let root = spec.dirs.root.display();
    let orders = format!("{}\n{}\n{root}\n{script}", bed.state.path().display(), spec.run.job);
    let mut daemon = Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "--nocapture", "process::outliving::play_the_daemon"])
        .env(ORDERS, orders)
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let said = BufReader::new(daemon.stdout.take().expect("piped"));
    assert!(said.lines().map_while(Result::ok).any(|line| line.contains("launched")), "it launched the run");
    // With everything in its process group, as a terminal or a careless script would.
    killpg(Pid::from_raw(i32::try_from(daemon.id()).expect("a number")), Signal::SIGKILL).expect("killed");
    daemon.wait().expect("reaped");

    let backend = bed.fresh_backend();
    assert_eq!(backend.find_runs().await.expect("it answers")[0].state, RunState::Running);
    assert_eq!(end_of(&*backend, &spec).await.how, How::Exited(5));
    assert_eq!(stdout_of(&spec), "begun\nended\n");
    clean(&*backend, &spec).await;
}

/// The supervisor of a run, found by its argument.
fn supervisor_of(state: &Path, run: &RunRef) -> Pid {
    let rundir = state.join("runs").join(run.name());
    let is_it = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.nth(1) == Some(b"run-supervisor") && words.next() == Some(rundir.as_os_str().as_encoded_bytes())
    };
    let all = std::fs::read_dir("/proc").expect("listed").flatten();
    let pid = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_it);
    Pid::from_raw(pid.expect("the supervisor runs"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_is_killed_takes_everything_along_and_the_run_has_vanished() {
    let bed = new_bed().await;
    let script = "trap '' TERM; (trap '' TERM; while :; do date >> \"$JOB_OUTPUT_DIR/beat\"; sleep 0.02; done) & \
                  echo begun; while :; do sleep 1; done";
    let spec = bed.spec(script);
    launch(&*bed.backend, &spec).await;
    let beat = spec.dirs.output().join("beat");
    until("the child beats", || beat.exists()).await;
    kill(supervisor_of(bed.state.path(), &spec.run), Signal::SIGKILL).expect("killed");
    assert_eq!(end_of(&*bed.backend, &spec).await.how, How::Vanished);
    let size = || std::fs::metadata(&beat).expect("there").len();
    let last = size();
    tokio::time::sleep(Duration::from_millis(200)).await; // ten beats
    assert_eq!(size(), last, "something of the run lives on");
    bed.backend.start(&spec).await.expect("left as it is");
    bed.backend.stop(&spec.run, Duration::ZERO).await.expect("nothing to stop");
    assert_eq!(end_of(&*bed.backend, &spec).await.how, How::Vanished, "and is not run again");
    clean(&*bed.backend, &spec).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_is_asked_to_end_asks_the_run_and_tells_its_end() {
    let bed = new_bed().await;
    let spec = bed.spec("trap 'echo heard; exit 8' TERM; echo begun; while :; do sleep 0.05; done");
    launch(&*bed.backend, &spec).await;
    until_it_says(&spec, "begun").await;
    kill(supervisor_of(bed.state.path(), &spec.run), Signal::SIGTERM).expect("asked");
    assert_eq!(end_of(&*bed.backend, &spec).await.how, How::Exited(8));
    assert_eq!(stdout_of(&spec), "begun\nheard\n");
    clean(&*bed.backend, &spec).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_is_small() {
    let bed = new_bed().await;
    let spec = bed.spec("echo begun; while :; do sleep 1; done");
    launch(&*bed.backend, &spec).await;
    until_it_says(&spec, "begun").await;
    let pid = supervisor_of(bed.state.path(), &spec.run);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let field = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).expect(name);
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    };
    assert_eq!(field("Threads:"), 1);
    // Its own pages: those of the code are shared by all supervisors, and a debug build has many.
    assert!(field("RssAnon:") < 4 * 1024, "{status}");
    bed.backend.stop(&spec.run, Duration::ZERO).await.expect("stopped");
    clean(&*bed.backend, &spec).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_seen_after_another_boot_is_the_hosts_doing() {
    let bed = new_bed().await;
    let rebooted = bed.state.path().join("boot_id");
    std::fs::write(&rebooted, "another-boot\n").expect("written");
    let after = backend_in(bed.state.path()).with_boot_id_file(rebooted);
    assert_eq!(after.probe().await.expect("it answers").boot_id.as_deref(), Some("another-boot"));

    let ended = bed.spec("exit 0");
    live(&*bed.backend, &ended).await;
    assert_eq!(end_of(&*bed.backend, &ended).await.how, How::Exited(0));
    assert_eq!(end_of(&after, &ended).await.how, How::HostRestarted);
    clean(&*bed.backend, &ended).await;

    let ran = bed.spec("echo begun; while :; do sleep 1; done");
    launch(&*bed.backend, &ran).await;
    until_it_says(&ran, "begun").await;
    kill(supervisor_of(bed.state.path(), &ran.run), Signal::SIGKILL).expect("the power fails");
    until("the record of its life is all that is left", || std::fs::exists(bed.state.path()).is_ok()).await;
    assert_eq!(end_of(&after, &ran).await.how, How::HostRestarted);
    clean(&*bed.backend, &ran).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_records_are_damaged_is_lost_and_keeps_no_other_from_being_found() {
    let bed = new_bed().await;
    let (whole, ran, unread) = (bed.spec("exit 0"), bed.spec("exit 0"), bed.spec("exit 0"));
    for spec in [&whole, &ran, &unread] {
        live(&*bed.backend, spec).await;
    }
    let record = |spec: &RunSpec, name: &str| bed.state.path().join("runs").join(spec.run.name()).join(name);
    // As a power cut or a bad block leaves them; of one run neither record.
    std::fs::write(record(&ran, "exit.json"), "").expect("written");
    std::fs::write(record(&unread, "exit.json"), "{\"boot_id\":").expect("written");
    std::fs::write(record(&unread, "started.json"), "\0\0\0").expect("written");

    let backend = bed.fresh_backend();
    let found = backend.find_runs().await.expect("it answers");
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|run| run.state == RunState::Ended), "{found:?}");
    assert_eq!(end_of(&*backend, &whole).await.how, How::Exited(0));
    for spec in [&ran, &unread] {
        assert_eq!(end_of(&*backend, spec).await.how, How::Vanished);
        backend.stop(&spec.run, Duration::ZERO).await.expect("nothing to stop");
    }
    for spec in [&whole, &ran, &unread] {
        clean(&*backend, spec).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_new_daemon_removes_what_is_halfway() {
    let bed = new_bed().await;
    let halfway = bed.state.path().join("runs/.being-made.new");
    std::fs::create_dir_all(&halfway).expect("made");
    // Also asked for when a job reaches its limit, while other runs are being made.
    assert!(bed.backend.find_runs().await.expect("it answers").is_empty());
    assert!(halfway.exists());
    assert!(bed.fresh_backend().find_runs().await.expect("it answers").is_empty());
    assert!(!halfway.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_starts_at_once_run_the_command_once() {
    let bed = new_bed().await;
    for _ in 0..5 {
        let spec = bed.spec("echo ran; sleep 0.1");
        prepare(&*bed.backend, &spec).await;
        let start = || async { bed.fresh_backend().start(&spec).await };
        let (a, b, c, d, ending) =
            tokio::join!(start(), start(), start(), start(), bed.backend.wait(&spec.run, &spec.dirs));
        for started in [a, b, c, d] {
            started.expect("started or found started");
        }
        assert_eq!(ending.expect("it ended").how, How::Exited(0));
        assert_eq!(stdout_of(&spec), "ran\n");
        clean(&*bed.backend, &spec).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_of_a_start_leaves_nothing_running() {
    let bed = new_bed().await;
    for delay in [0, 1, 2, 4, 6, 8, 10, 15, 20, 30] {
        let spec = bed.spec("echo ran; while :; do sleep 1; done");
        prepare(&*bed.backend, &spec).await;
        let stop = async {
            tokio::time::sleep(Duration::from_millis(delay)).await; // not a wait: the moment that is tried
            bed.backend.stop(&spec.run, Duration::from_millis(100)).await
        };
        let (_, stopped) = soon("both", async { tokio::join!(bed.backend.start(&spec), stop) }).await;
        stopped.expect("it is stopped");
        let how = end_of(&*bed.backend, &spec).await.how;
        assert!(matches!(how, How::NotStarted(_) | How::Signaled { signal: 9 | 15, .. }), "{delay} ms: {how:?}");
        let found = bed.backend.find_runs().await.expect("it answers");
        assert!(found.iter().all(|run| run.state == RunState::Ended), "{found:?}");
        clean(&*bed.backend, &spec).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_state_directory_is_no_obstacle() {
    let bed = new_bed().await;
    let deep: PathBuf = bed.state.path().join("d".repeat(120)).join("e".repeat(60));
    let backend = backend_in(&deep);
    let spec = bed.spec("echo begun; trap 'exit 3' TERM; while :; do sleep 0.05; done");
    launch(&backend, &spec).await;
    until_it_says(&spec, "begun").await;
    backend.stop(&spec.run, Duration::from_secs(20)).await.expect("stopped");
    assert_eq!(end_of(&backend, &spec).await.how, How::Exited(3));
    clean(&backend, &spec).await;
    assert_eq!(std::fs::read_dir(deep.join("runs")).expect("listed").count(), 0, "nothing is left over");
}
