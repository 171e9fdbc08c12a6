//! How much memory a run used at most, as the kernel counts it.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Looks are rare: the kernel keeps the highest value, so only what comes after the last one is missed.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The highest value seen.
#[derive(Debug)]
pub(super) struct Peak(AtomicU64);

impl Peak {
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn highest(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }

    /// Looks again and again until it is dropped, if the container's cgroup is on this host and readable.
    pub(super) async fn watch(&self, is_local: bool, id: impl Fn() -> Option<String>) -> Infallible {
        if !is_local {
            std::future::pending::<()>().await;
        }
        let mut pause = LOOKS.0;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOKS.1);
            let Some(id) = id() else { continue };
            for file in files(&id) {
                if let Some(bytes) =
                    tokio::fs::read_to_string(file).await.ok().and_then(|text| text.trim().parse().ok())
                {
                    self.0.fetch_max(bytes, Ordering::Relaxed);
                    break;
                }
            }
        }
    }
}

/// Where the value may be: cgroup v2 with either driver, then v1 with either.
fn files(id: &str) -> [PathBuf; 4] {
    let root = Path::new("/sys/fs/cgroup");
    [
        root.join(format!("system.slice/docker-{id}.scope/memory.peak")),
        root.join(format!("docker/{id}/memory.peak")),
        root.join(format!("memory/docker/{id}/memory.max_usage_in_bytes")),
        root.join(format!("memory/system.slice/docker-{id}.scope/memory.max_usage_in_bytes")),
    ]
}
