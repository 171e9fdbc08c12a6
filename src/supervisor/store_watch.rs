//! Whether the store can be written: asked also when nobody submits, so that whoever looks at the daemon is told before.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info};

use crate::domain::chain;

use super::handle::Shared;

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
            let why = self.shared.store.check().await.err().map(|error| chain(&error));
            let is_well = why.is_none();
            self.shared.unwritable.send_if_modified(|before| {
                match (&*before, &why) {
                    (None, Some(why)) => error!("no job can be accepted, and no change of one be written down: {why}"),
                    (Some(_), None) => info!("the job database can be written again"),
                    (None, None) | (Some(_), Some(_)) => {}
                }
                let is_changed = *before != why;
                *before = why;
                is_changed
            });
            tokio::time::sleep(if is_well { EVERY } else { SOON }).await;
        }
    }
}
