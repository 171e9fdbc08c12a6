//! The wall clock.

use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use crate::domain::Timestamp;

/// Where time comes from. Limits are kept on monotonic clocks: tokio's, and over a restart the host's uptime.
pub trait Clock: Send + Sync {
    /// The instant it is.
    fn now(&self) -> Timestamp;

    /// How long the host has been up, sleep included: a clock that nobody sets, the same for every process of one boot.
    fn since_boot(&self) -> Duration;

    /// Which boot that is, if it can be told: one uptime is held against another only of the same.
    fn boot(&self) -> Option<&str>;
}

/// The host's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let elapsed = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
    }

    fn since_boot(&self) -> Duration {
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
    }

    fn boot(&self) -> Option<&str> {
        static BOOT: OnceLock<Option<String>> = OnceLock::new();
        let read = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        BOOT.get_or_init(|| Some(read()?.trim().to_owned())).as_deref()
    }
}
