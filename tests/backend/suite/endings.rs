//! How a run ended is told truthfully.

use std::sync::Arc;

use uwsd::ports::{Clock, How, SystemClock};

use super::{Bed, Can, can, clean, end_of, live, prepare};

const MIB: u64 = 1024 * 1024;
/// Grows until it is killed, if less than 300 MB are allowed.
const GLUTTON: &str = "x=$(head -c 300000000 /dev/zero | tr '\\0' x); echo ${#x}";

async fn how(bed: &Arc<dyn Bed>, script: &str) -> How {
    let (backend, spec) = (bed.backend(), bed.spec(script));
    let ending = live(&*backend, &spec).await;
    clean(&*backend, &spec).await;
    ending.how
}

async fn how_in_little_memory(bed: &Arc<dyn Bed>, script: &str) -> How {
    let (backend, mut spec) = (bed.backend(), bed.spec(script));
    spec.memory = 48 * MIB;
    let ending = live(&*backend, &spec).await;
    clean(&*backend, &spec).await;
    ending.how
}

pub async fn an_exit_code_is_told(bed: &Arc<dyn Bed>) {
    for code in [0, 1, 3, 127] {
        assert_eq!(how(bed, &format!("exit {code}")).await, How::Exited(code));
    }
}

pub async fn a_signal_is_told(bed: &Arc<dyn Bed>) {
    for signal in [9, 11, 15] {
        // The shell's child is the command: the shell is replaced by one that kills itself.
        match how(bed, &format!("kill -{signal} $$; while :; do sleep 1; done")).await {
            How::Signaled { signal: told, exit_code } => {
                assert_eq!(told, signal);
                // A code is told where that is all there is to conclude from.
                let is_sure = bed.can(Can::TellHighExitCodes);
                assert_eq!(exit_code, (!is_sure).then_some(128 + signal));
            }
            other => panic!("{other:?}"),
        }
    }
}

pub async fn a_high_exit_code_is_no_oom_and_told_in_any_case(bed: &Arc<dyn Bed>) {
    for code in [130, 137] {
        let how = how(bed, &format!("exit {code}")).await;
        if bed.can(Can::TellHighExitCodes) {
            assert_eq!(how, How::Exited(code));
        } else {
            assert_eq!(how, How::Signaled { signal: code - 128, exit_code: Some(code) });
        }
    }
}

pub async fn out_of_memory_is_told(bed: &Arc<dyn Bed>) {
    if can(&**bed, Can::LimitMemory) && can(&**bed, Can::TellOutOfMemory) {
        let how = how_in_little_memory(bed, GLUTTON).await;
        assert!(matches!(how, How::OutOfMemory { .. }), "{how:?}");
    }
}

pub async fn a_child_out_of_memory_that_brought_it_down_is_told(bed: &Arc<dyn Bed>) {
    if can(&**bed, Can::LimitMemory) && can(&**bed, Can::TellOutOfMemory) {
        let how = how_in_little_memory(bed, &format!("({GLUTTON}) || exit 7")).await;
        // The kernel may choose the command beside the child.
        assert!(matches!(how, How::OutOfMemory { exit_code: Some(7 | 137) | None }), "{how:?}");
    }
}

pub async fn a_child_out_of_memory_that_was_survived_is_no_oom(bed: &Arc<dyn Bed>) {
    if can(&**bed, Can::LimitMemory) {
        let script = format!("({GLUTTON}); echo survived; exit 0");
        assert_eq!(how_in_little_memory(bed, &script).await, How::Exited(0));
    }
}

pub async fn the_times_are_told(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("sleep 1"));
    let before = SystemClock.now();
    let ending = live(&*backend, &spec).await;
    let after = SystemClock.now();
    let started = ending.started_at.expect("the start is known");
    let ended = ending.ended_at.expect("the end is known");
    assert!(before <= started && ended <= after, "{before} {started} {ended} {after}");
    // Podman takes the time of the start a little after it.
    assert!(ended.since(started).as_millis() >= 800, "{started} {ended}");
    clean(&*backend, &spec).await;
}

pub async fn a_command_that_is_not_there_never_ran(bed: &Arc<dyn Bed>) {
    let (backend, mut spec) = (bed.backend(), bed.spec(""));
    spec.argv = vec!["/no/such/program".to_owned()];
    prepare(&*backend, &spec).await;
    backend.start(&spec).await.expect("it is for the command to fail");
    // The init process that could not execute it says so by the shells' custom.
    assert_eq!(end_of(&*backend, &spec).await.how, How::Exited(127));
    clean(&*backend, &spec).await;
}

pub async fn a_run_that_never_was_has_vanished(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("true"));
    assert_eq!(end_of(&*backend, &spec).await.how, How::Vanished);
    clean(&*backend, &spec).await;
}
