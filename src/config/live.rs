//! The configuration in force, which a reload exchanges.

use std::sync::Arc;

use tokio::sync::watch;

use super::types::Config;

/// The configuration in force; clones are handles to the same one.
///
/// Whoever does one thing asks once: between two calls of [`Self::get`] a reload may come.
#[derive(Debug, Clone)]
pub struct Live(Arc<watch::Sender<Arc<Config>>>);

impl Live {
    /// Puts `config` in force.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(config))))
    }

    /// The configuration as it is now.
    #[must_use]
    pub fn get(&self) -> Arc<Config> {
        Arc::clone(&self.0.borrow())
    }

    /// Tells of every exchange from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Config>> {
        self.0.subscribe()
    }

    /// Puts another configuration in force. What a running daemon cannot change has to be as before.
    pub fn replace(&self, config: Config) {
        self.0.send_replace(Arc::new(config));
    }
}
