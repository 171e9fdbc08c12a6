//! Limits hold.

use std::sync::Arc;

use uwsd::ports::How;

use super::{Bed, Can, can, clean, live, stdout_of};

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
    clean(&*backend, &spec).await;
}

pub async fn a_fork_bomb_is_held(bed: &Arc<dyn Bed>) {
    if !can(&**bed, Can::LimitProcesses) {
        return;
    }
    // Some hundred children at once; those that could not be made are missed in the count.
    let script = "i=0; while [ $i -lt 200 ]; do (echo alive; exec sleep 2) 2>/dev/null & i=$((i+1)); done; wait";
    let (backend, mut spec) = (bed.backend(), bed.spec(script));
    spec.pids = 32;
    live(&*backend, &spec).await;
    let alive = stdout_of(&spec).lines().filter(|line| *line == "alive").count();
    assert!((5..=32).contains(&alive), "{alive} processes at once");
    clean(&*backend, &spec).await;
}
