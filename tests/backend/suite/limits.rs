//! Limits hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uwsd::domain::PeakMemory;
use uwsd::ports::How;

use super::{Bed, Can, can, clean, end_of, launch, live, soon, stdout_of, until};

pub async fn the_memory_limit_is_seen(bed: &Arc<dyn Bed>) {
    if !can(&**bed, Can::LimitMemory) {
        return;
    }
    let script = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); echo ${#x}";
    let (backend, mut spec) = (bed.backend(), bed.spec(script));
    spec.memory = 256 * 1024 * 1024;
    let ending = live(&*backend, &spec).await;
    assert_eq!((ending.how, stdout_of(&spec).as_str()), (How::Exited(0), "20000000\n"), "enough is enough");
    assert!(!ending.is_advisory);
    // What is told as the whole peak is no less than what it surely used.
    let least = |peak: PeakMemory| if peak.is_sampled { 1 } else { 20_000_000 };
    let is_true = |peak: PeakMemory| {
        (least(peak)..=spec.memory).contains(&peak.bytes) && !(peak.is_sampled && bed.can(Can::KeepPeak))
    };
    assert!(ending.peak_memory.is_none_or(is_true), "{:?}", ending.peak_memory);
    clean(&*backend, &spec).await;
}

pub async fn the_peak_of_a_short_run_is_told_and_of_one_that_ended_meanwhile(bed: &Arc<dyn Bed>) {
    if !can(&**bed, Can::KeepPeak) {
        return;
    }
    // Over within the blink of an eye, with its memory given back before the end.
    let script = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); x=; exit 3";
    let spec = bed.spec(script);
    let backend = bed.backend();
    let ending = live(&*backend, &spec).await;
    let peak = ending.peak_memory.expect("it is known");
    eprintln!("at most {} bytes, {ending:?}", peak.bytes);
    assert_eq!((ending.how, peak.is_sampled), (How::Exited(3), false));
    assert!((20_000_000..=spec.memory).contains(&peak.bytes), "{peak:?}");
    // The next life of the daemon reads it where it is still counted.
    let again = end_of(&*bed.fresh_backend(), &spec).await;
    assert_eq!((again.how, again.peak_memory), (How::Exited(3), Some(peak)));
    clean(&*backend, &spec).await;
}

pub async fn advisory_limits_are_told_before_the_run(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("true"));
    let is_advisory = backend.advisory_limits().is_some();
    assert!(is_advisory || bed.can(Can::LimitMemory));
    assert_eq!(live(&*backend, &spec).await.is_advisory, is_advisory);
    clean(&*backend, &spec).await;
}

pub async fn a_fork_bomb_is_held(bed: &Arc<dyn Bed>) {
    if !can(&**bed, Can::LimitProcesses) {
        return;
    }
    // Hundreds at once; the shell that cannot make one more gives up, and the outer one needs none to wait on.
    let script = "(i=0; while [ $i -lt 200 ]; do (echo alive; exec sleep 3) & i=$((i+1)); done; wait); exec sleep 1";
    let (backend, mut spec) = (bed.backend(), bed.spec(script));
    spec.pids = 32;
    live(&*backend, &spec).await;
    let alive = stdout_of(&spec).lines().filter(|line| *line == "alive").count();
    assert!((5..=32).contains(&alive), "{alive} processes at once");
    clean(&*backend, &spec).await;
}

pub async fn a_fork_bomb_harms_nobody_and_nothing_of_it_is_left(bed: &Arc<dyn Bed>) {
    if !can(&**bed, Can::LimitProcesses) {
        return;
    }
    // Each process makes two more, and stays; none of them heeds a request to stop.
    let script =
        "trap '' TERM; bomb() { bomb & bomb & while :; do :; done; }; echo begun; bomb 2>/dev/null & exec sleep 1000";
    let (backend, mut spec) = (bed.backend(), bed.spec(script));
    let marked = format!("{script} # {}", spec.run.job);
    spec.argv = ["/bin/sh", "-c", &marked].map(str::to_owned).to_vec();
    (spec.pids, spec.cpus) = (32, 0.5);
    launch(&*backend, &spec).await;
    // A shell that cannot make one more ends, and counts until it is waited for, which nobody does.
    until("the bomb goes off", || processes_with(&marked) >= 5).await;
    let other = bed.spec("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.01; done; echo fine");
    let mut most = 0;
    let ending = soon("the run beside it", async {
        let mut beside = std::pin::pin!(live(&*backend, &other));
        loop {
            tokio::select! {
                ending = &mut beside => break ending,
                () = tokio::time::sleep(Duration::from_millis(20)) => most = most.max(processes_with(&marked)),
            }
        }
    })
    .await;
    assert_eq!((ending.how, stdout_of(&other).as_str()), (How::Exited(0), "fine\n"));
    clean(&*backend, &other).await;
    eprintln!("up to {most} processes of the bomb at once, of {} that it may have", spec.pids);
    assert!((5..=32).contains(&most), "{most}");
    let begun = Instant::now();
    soon("the stop", backend.stop(&spec.run, Duration::from_millis(300))).await.expect("it is stopped");
    assert_eq!(processes_with(&marked), 0, "something of it is left");
    let ending = end_of(&*backend, &spec).await;
    eprintln!("gone after {:?}, with 300 ms of grace: {:?}", begun.elapsed(), ending.how);
    assert!(matches!(ending.how, How::Signaled { signal: 9, .. }), "{ending:?}");
    clean(&*backend, &spec).await;
}

/// How many processes of the host have this among their arguments.
fn processes_with(argument: &str) -> usize {
    let all = std::fs::read_dir("/proc").expect("readable").flatten();
    let arguments = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    // Not those that were given the whole command as theirs to start, as the container's init.
    let shells = arguments.filter(|words| words.starts_with(b"/bin/sh\0-c\0"));
    shells.filter(|words| words.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())).count()
}
