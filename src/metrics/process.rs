//! This process, as the kernel counts it.

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;

/// What the kernel tells of this process; a part that it does not tell is absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Process {
    /// CPU time used so far, of the user's and the kernel's side, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Memory that is in RAM, in bytes.
    pub resident_bytes: Option<u64>,
    /// Address space in use, in bytes.
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// How many may be open.
    pub max_fds: Option<u64>,
}

impl Process {
    /// Asks the kernel; blocks for some microseconds, for longer with thousands of open files.
    #[must_use]
    pub fn look() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kib = |name| Some(field(&status, name)?.saturating_mul(1024));
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        Self {
            cpu_seconds: usage.map(|usage| seconds(usage.user_time()) + seconds(usage.system_time())),
            resident_bytes: kib("VmRSS:"),
            virtual_bytes: kib("VmSize:"),
            threads: field(&status, "Threads:"),
            // One of them is that of the look itself.
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|fds| (fds.count() as u64).saturating_sub(1)),
            max_fds: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
        }
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "a CPU time of 285 years would lose a microsecond")]
fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_everything_of_this_process() {
        let before = Process::look();
        let files: Vec<_> = (0..5).map(|_| fs::File::open("/proc/self/status").expect("opened")).collect();
        let memory = std::hint::black_box(vec![1_u8; 64 << 20]);
        let now = Process::look();
        assert!(now.cpu_seconds > Some(0.0) && now.cpu_seconds >= before.cpu_seconds, "{now:?}");
        assert!(now.resident_bytes >= Some(memory.len() as u64) && now.virtual_bytes > now.resident_bytes, "{now:?}");
        assert!(now.open_fds >= Some(files.len() as u64 + 3) && now.open_fds < now.max_fds, "{now:?}");
        assert!(now.threads >= Some(1), "{now:?}");
    }
}
