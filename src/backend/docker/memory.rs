//! How much memory a run used at most, as far as looks at its control group tell: for where no group of ours is above it.

use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::parents::Parent;
use crate::backend::cgroup::{MemoryFiles, Version};
use crate::domain::PeakMemory;

/// Looks are rare: the kernel keeps the highest value, so only what comes after the last one is missed. Of version 2 there is one
/// more at every event.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How often one looks after an event of version 2, and how many times. The kernel tells of events of one file 10 ms apart, and
/// who runs into its limit makes one after the other: a kill would be told when its group is gone already.
const NEXT: (Duration, u32) = (Duration::from_millis(1), 20);

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    peak: AtomicU64,
    has_run_out: AtomicBool,
    /// Whether the last look came after the last process.
    is_whole: AtomicBool,
}

impl Seen {
    /// The highest usage.
    pub(super) fn peak(&self) -> Option<PeakMemory> {
        let bytes = self.peak.load(Ordering::Relaxed);
        (bytes > 0).then_some(PeakMemory { bytes, is_sampled: !self.is_whole.load(Ordering::Relaxed) })
    }

    /// Whether the kernel was seen to have killed something of it that ran into its limit.
    pub(super) fn has_run_out(&self) -> bool {
        self.has_run_out.load(Ordering::Relaxed)
    }

    /// Looks again and again until it is dropped: at the group above the container, if that does not keep its peak, else at
    /// the container's own if it is on this host and readable.
    ///
    /// The engine removes the container's own group a moment after its last process, so of version 2 its events are listened
    /// to: a kill comes some time before that, and the end of the last process tells what is then the whole peak.
    pub(super) async fn watch(
        &self,
        is_local: bool,
        parent: Option<&Parent>,
        id: impl Fn() -> Option<String>,
    ) -> Infallible {
        let keeps_peak = parent.is_some_and(|parent| parent.memory().keeps_peak());
        if !is_local || keeps_peak {
            std::future::pending::<()>().await;
        }
        let mut pause = LOOKS.0;
        let (mut changes, mut soon) = (None, 0);
        loop {
            let groups = match (parent, &changes) {
                (Some(parent), _) => vec![parent.memory().clone()],
                (None, Some((group, _))) => vec![MemoryFiles::clone(group)],
                (None, None) => id().map_or_else(Vec::new, |id| places(&id).to_vec()),
            };
            changes = changes.or_else(|| groups.iter().find_map(|group| Some((group.clone(), group.changes()?))));
            // Not by another thread: these are words of the kernel, no disk's, and soon gone.
            for group in groups {
                self.look(&group);
            }
            let heard = async {
                match &changes {
                    Some((_, changes)) => changes.next().await,
                    None => std::future::pending().await,
                }
            };
            let wait = if soon > 0 { NEXT.0 } else { pause };
            if tokio::time::timeout(wait, heard).await.is_ok() {
                soon = NEXT.1;
            } else if soon > 0 {
                soon -= 1;
            } else {
                pause = (pause * 2).min(LOOKS.1);
            }
        }
    }

    fn look(&self, group: &MemoryFiles) {
        // What is told of a kill first, since the group may be gone the next moment.
        self.has_run_out.fetch_or(group.has_run_out() == Some(true), Ordering::Relaxed);
        // In this order: who was gone before the peak was read has used no more.
        let is_over = group.is_over();
        let Some(bytes) = group.look() else { return };
        self.is_whole.fetch_or(is_over && group.keeps_peak(), Ordering::Relaxed);
        self.peak.fetch_max(bytes, Ordering::Relaxed);
    }
}

/// Where a container's group may be: cgroup v2 with either driver, then v1 with either.
fn places(id: &str) -> [MemoryFiles; 4] {
    let root = Path::new("/sys/fs/cgroup");
    let (scope, plain) = (format!("system.slice/docker-{id}.scope"), format!("docker/{id}"));
    let v1 = root.join("memory");
    [
        MemoryFiles::new(root.join(&scope), Version::V2),
        MemoryFiles::new(root.join(&plain), Version::V2),
        MemoryFiles::new(v1.join(plain), Version::V1),
        MemoryFiles::new(v1.join(scope), Version::V1),
    ]
}
