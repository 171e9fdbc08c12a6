//! Committed changes of phases, to requests that wait for them (UWS 1.1 §2.2.1.2).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::domain::JobId;

/// Who waits for which job. A job that nobody waits for costs nothing.
#[derive(Default)]
pub(super) struct Waiters {
    jobs: Mutex<HashMap<JobId, Bell>>,
}

/// Rung at every change of one job.
struct Bell {
    ring: watch::Sender<u64>,
    waiting: usize,
}

/// One that waits; stops waiting when dropped.
pub struct Waiter {
    waiters: Arc<Waiters>,
    job: JobId,
    heard: watch::Receiver<u64>,
}

impl Waiters {
    /// Subscribes to a job. To miss nothing: subscribe, then read the job, then wait.
    pub(super) fn subscribe(self: &Arc<Self>, job: JobId) -> Waiter {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let bell = jobs.entry(job).or_insert_with(|| Bell { ring: watch::channel(0).0, waiting: 0 });
        bell.waiting += 1;
        Waiter { waiters: Arc::clone(self), job, heard: bell.ring.subscribe() }
    }

    /// Wakes everybody who waits for `job`: its phase has changed, or it was deleted.
    pub(super) fn ring(&self, job: JobId) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = jobs.get(&job) {
            bell.ring.send_modify(|count| *count += 1);
        }
    }
}

impl Waiter {
    /// Resolves at the next change since the subscription or since this resolved last.
    pub async fn changed(&mut self) {
        // The sender lives as long as a waiter does.
        drop(self.heard.changed().await);
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut jobs = self.waiters.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut bell) = jobs.entry(self.job) {
            bell.get_mut().waiting -= 1;
            if bell.get().waiting == 0 {
                bell.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[tokio::test]
    async fn a_waiter_hears_of_its_own_job_only_and_leaves_nothing_behind() {
        let waiters = Arc::new(Waiters::default());
        let [one, other] = [1, 2].map(|n| JobId::new(Timestamp::from_millis(n)));
        let mut waiter = waiters.subscribe(one);
        waiters.ring(other);
        let wait = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(wait, waiter.changed()).await.is_err());
        waiters.ring(one);
        // A change between the subscription and the wait is heard too.
        waiter.changed().await;
        drop(waiter);
        assert!(waiters.jobs.lock().expect("free").is_empty());
    }
}
