//! `[queue]`.

use super::super::host::Host;
use super::super::kind::toml_string;
use super::super::problem::Origin;
use super::super::reader::Reader;
use super::super::types::Queue;
use super::super::units::show_size;

/// Reads `[queue]`; where it leaves the budget open, the host's means are it.
pub(in super::super) fn queue(r: &mut Reader, host: Host) -> Queue {
    const FROM_HOST: Origin = Origin::Derived("what the host has");
    let max_running = r.whole("queue.max_running");
    let mut cpus = r.decimal("queue.cpus");
    if cpus == 0.0 {
        cpus = host.cpus;
        r.derive("queue.cpus", &format!("{cpus:?}"), FROM_HOST);
    }
    let mut memory = r.size("queue.memory");
    if memory == 0 {
        memory = host.memory;
        r.derive("queue.memory", &toml_string(&show_size(memory)), FROM_HOST);
    }
    Queue { max_running, cpus, memory, max_queued: r.whole("queue.max_queued"), aging: r.time("queue.aging") }
}
