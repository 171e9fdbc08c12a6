//! Whether the store can be written: asked also when nobody submits, so that whoever looks at the daemon is told before.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info};

use crate::domain::chain;
use crate::ports::StoreError;

use super::handle::Shared;
use super::trouble::Trouble;

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(10);
/// How often while it cannot.
const SOON: Duration = Duration::from_secs(2);

/// The task that watches the store.
pub struct StoreWatch {
    shared: Arc<Shared>,
}

impl StoreWatch {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Runs for ever; dropping it is safe at any time.
    pub async fn run(self) {
        loop {
            let why = self.shared.store.check().await.err();
            self.tell(why.as_ref());
            if why.is_some() {
                tokio::time::sleep(SOON).await;
                continue;
            }
            // What fails before the next look is told at once, since that look itself may wait long for a lock. A disk that was
            // full may have room again by what the store kept for that: only the look tells.
            if let Ok(error @ StoreError::Unwritable { .. }) =
                tokio::time::timeout(EVERY, self.shared.store.unwritable()).await
            {
                self.tell(Some(&error));
            }
        }
    }

    fn tell(&self, error: Option<&StoreError>) {
        let trouble = error.map(|error| {
            let is_replaced = matches!(error, StoreError::Replaced { .. });
            if is_replaced { Trouble::Replaced(chain(error)) } else { Trouble::Unwritable(chain(error)) }
        });
        self.shared.unwritable.send_if_modified(|before| {
            match (&*before, &trouble) {
                (None, Some(Trouble::Replaced(why))) => error!("no job can be accepted: {why}"),
                (None, Some(trouble)) => {
                    error!("no job can be accepted, and no change of one be written down: {}", trouble.why());
                }
                (Some(_), None) => info!("the job database can be written again"),
                (None, None) | (Some(_), Some(_)) => {}
            }
            let is_changed = *before != trouble;
            *before = trouble;
            is_changed
        });
    }
}
