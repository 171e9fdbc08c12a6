//! Looks again and again whether the backend answers, and tells the rest.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use crate::domain::chain;

use super::context::Context;
use super::handle::Readiness;
use crate::ports::Backoff;

/// How often a backend that answers is looked at.
const EVERY: Duration = Duration::from_secs(10);

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
                    tokio::time::sleep(EVERY).await;
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
