//! Destroys jobs in time, removes the files of deleted ones, forgets them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};

use crate::domain::{JobId, Timestamp};
use crate::ports::StoreError;

use super::backoff::Backoff;
use super::context::Context;
use super::message::{Message, StopWhy};
use super::prepare::chain;

/// How many jobs are handled in one round.
const BATCH: u32 = 100;
/// The longest time between two looks: a clock that was set meanwhile is noticed.
const LONGEST: Duration = Duration::from_secs(30);

/// The task that destroys jobs in time.
pub struct Retention {
    context: Arc<Context>,
}

impl Retention {
    pub(super) const fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Runs for ever; dropping it is safe at any time.
    pub async fn run(self) {
        let mut backoff = Backoff::new();
        loop {
            match self.round().await {
                Ok(next) => {
                    backoff = Backoff::new();
                    tokio::select! {
                        () = tokio::time::sleep(next) => {}
                        () = self.context.shared.swept.notified() => {}
                    }
                }
                Err(why) => {
                    error!("jobs cannot be destroyed or forgotten: {why}");
                    backoff.wait().await;
                }
            }
        }
    }

    /// One look; returns how long nothing is due.
    async fn round(&self) -> Result<Duration, String> {
        let told = |error: StoreError| chain(&error);
        let store = &self.context.shared.store;
        let now = self.context.shared.clock.now();
        let (due, next_destruction) = store.due_for_destruction(now, BATCH).await.map_err(told)?;
        for id in &due {
            self.destroy(*id, now).await.map_err(told)?;
        }
        let left = self.remove_files().await?;
        let (forgotten, next_forget) = store.forget(self.context.shared.clock.now()).await.map_err(told)?;
        if forgotten > 0 {
            debug!("forgot {forgotten} deleted jobs");
        }
        if due.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX) {
            return Ok(Duration::ZERO);
        }
        let now = self.context.shared.clock.now();
        let next = [next_destruction, next_forget].into_iter().flatten().min();
        let pause = next.map_or(LONGEST, |next| next.since(now) + Duration::from_millis(1)).min(LONGEST);
        Ok(if left { pause.min(Duration::from_secs(5)) } else { pause })
    }

    async fn destroy(&self, id: JobId, now: Timestamp) -> Result<(), StoreError> {
        let Some(job) = self.context.shared.store.request_deletion(id, now).await? else { return Ok(()) };
        info!(job.id = %id, "the destruction time of job {id} has come");
        if !job.phase.is_final() {
            let (reply, _) = oneshot::channel();
            // If the supervisor is gone the wish is stored: the next start meets it.
            drop(self.context.inbox.send(Message::Stop { id, why: StopWhy::Expired, reply }).await);
        }
        Ok(())
    }

    /// Removes the files of deleted jobs; returns whether some could not be.
    async fn remove_files(&self) -> Result<bool, String> {
        let store = &self.context.shared.store;
        let mut is_left = false;
        for (id, _, image) in store.deleted(BATCH).await.map_err(|error| chain(&error))? {
            let dirs = self.context.dirs(id);
            match self.context.backend.remove_files(id, &dirs, image.as_deref()).await {
                Ok(()) => store.files_removed(id).await.map_err(|error| chain(&error))?,
                Err(error) => {
                    warn!(job.id = %id, "the files of job {id} are still there: {}", chain(&error));
                    is_left = true;
                }
            }
        }
        Ok(is_left)
    }
}
