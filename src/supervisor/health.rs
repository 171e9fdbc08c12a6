//! Looks again and again whether the backend answers, and tells the rest.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::domain::chain;

use super::context::Context;
use super::handle::Readiness;
use crate::ports::Backoff;

/// How often a backend that answers is looked at.
const EVERY: Duration = Duration::from_secs(10);
/// How soon it is looked at again if somebody doubts that it answers.
const IN_DOUBT: Duration = Duration::from_secs(1);

/// The task that watches the backend.
pub struct Health {
    context: Arc<Context>,
}

impl Health {
    pub(super) const fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Runs for ever; dropping it is safe at any time.
    pub async fn run(self) {
        let mut backoff = Backoff::new();
        loop {
            match self.context.backend.probe().await {
                Ok(facts) => {
                    self.context.note_advisory_limits();
                    let ready = Readiness::Ready { backend: facts.description.clone() };
                    *self.context.engine.lock().unwrap_or_else(PoisonError::into_inner) = Some(facts);
                    if self.tell(ready) {
                        info!("jobs can run: the {} backend answers", self.context.backend.kind());
                    }
                    backoff = Backoff::new();
                    sleep(IN_DOUBT).await;
                    // Either will do.
                    let _ = timeout(EVERY.saturating_sub(IN_DOUBT), self.context.shared.doubt.notified()).await;
                }
                Err(error) => {
                    let why = chain(&error);
                    if self.tell(Readiness::Unreachable(why.clone())) {
                        warn!("jobs cannot run: {why}");
                    }
                    backoff.wait().await;
                }
            }
        }
    }

    /// Tells of a change; returns whether it was one.
    fn tell(&self, now: Readiness) -> bool {
        self.context.shared.readiness.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        })
    }
}
