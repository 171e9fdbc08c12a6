//! Jobs that have waited in the queue for as long as their service lets them.

use std::time::Duration;

use crate::domain::{JobId, Outcome, Reason};
use crate::ports::StoreError;

use super::context::Context;

/// How often they are looked for.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// How many of a service are ended at a time.
const MOST: u32 = 100;

impl Context {
    /// Whether any service limits the wait.
    pub(super) fn limits_the_wait(&self) -> bool {
        self.shared.config.get().services.values().any(|service| service.queue_timeout.is_some())
    }

    /// Ends those jobs, but for the ones that `is_running`: these are being prepared, and wait no longer.
    pub(super) async fn end_overdue(&self, is_running: impl Fn(&JobId) -> bool) -> Result<(), StoreError> {
        for (name, service) in &self.shared.config.get().services {
            let Some(limit) = service.queue_timeout else { continue };
            let since_boot = self.shared.clock.since_boot();
            for id in self.shared.store.overdue(name, limit, since_boot, MOST).await? {
                if is_running(&id) {
                    continue;
                }
                let sentence = format!(
                    "it waited in the queue for {} s, the longest that its service allows",
                    limit.as_secs_f64()
                );
                self.end_unstarted(id, Outcome::new(Reason::QueueTimeout, sentence)).await?;
            }
        }
        Ok(())
    }
}
