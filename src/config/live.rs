//! The configuration in force, which a reload exchanges.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::types::Config;
use crate::domain::Timestamp;

/// The configuration in force; clones are handles to the same one.
///
/// Whoever does one thing asks once: between two calls of [`Self::get`] a reload may come.
#[derive(Debug, Clone)]
pub struct Live {
    config: Arc<watch::Sender<Arc<Config>>>,
    since: Arc<Mutex<Option<Timestamp>>>,
}

impl Live {
    /// Puts `config` in force.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config: Arc::new(watch::Sender::new(Arc::new(config))), since: Arc::default() }
    }

    /// The configuration as it is now.
    #[must_use]
    pub fn get(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// When it came into force; `None` if that was at the start. Asked before [`Self::get`] it is never later than what that
    /// returns.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of every exchange from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Config>> {
        self.config.subscribe()
    }

    /// Puts another configuration in force. What a running daemon cannot change has to be as before.
    pub fn replace(&self, config: Config, now: Timestamp) {
        self.config.send_replace(Arc::new(config));
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}
