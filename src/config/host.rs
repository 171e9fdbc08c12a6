//! What the host has to give.

/// What the host has, where the configuration leaves the budget to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Host {
    /// CPUs that this process may use.
    pub cpus: f64,
    /// Memory in bytes.
    pub memory: u64,
}

impl Host {
    /// Looks at the host; what it does not tell is one CPU, and memory without bound.
    #[must_use]
    pub fn look() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cpus: u32::try_from(cpus).map_or(1.0, f64::from),
            memory: nix::sys::sysinfo::sysinfo().map_or(u64::MAX, |info| info.ram_total()),
        }
    }
}
