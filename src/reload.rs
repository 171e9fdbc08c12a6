//! The reload: the configuration is read again and checked, and put in force as a whole or not at all.

use std::sync::Arc;

use tracing::{info, warn};

use crate::config::{Effective, Live, LoadRequest, Loaded, ReloadOutcome, ReloadWishes, Reloaded, carry_over, load};
use crate::http::Listening;
use crate::lifecycle::Lifecycle;
use crate::ports::{Clock, SystemClock};
use crate::telemetry::LogFilter;

/// What reads the configuration again.
#[derive(Debug)]
pub struct Reloader {
    /// What it was read from at the start.
    pub request: LoadRequest,
    /// What was read at the start, which keys that need a restart are held against.
    pub at_start: Vec<Effective>,
    /// What was read last, for telling what has changed.
    pub effective: Vec<Effective>,
    /// The configuration in force.
    pub live: Live,
    /// The listeners.
    pub listening: Arc<Listening>,
    /// What the log lets through; `None` where the log is not ours.
    pub log: Option<LogFilter>,
}

impl Reloader {
    /// Meets wishes until nobody can have one any more. Dropping it between two reloads is safe.
    pub async fn run(mut self, mut wishes: ReloadWishes, lifecycle: Lifecycle) {
        while let Some(reply) = wishes.recv().await {
            lifecycle.reloading();
            let outcome = self.reload().await;
            lifecycle.ready();
            match &outcome {
                Ok(reloaded) => tell(reloaded),
                Err(why) => warn!("the configuration is not reloaded, the old one stays in force: {why}"),
            }
            if let Some(reply) = reply {
                // Whoever asked may have gone away.
                drop(reply.send(outcome));
            }
        }
    }

    async fn reload(&mut self) -> ReloadOutcome {
        let request = self.request.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&request)).await;
        let loaded = loaded.map_err(|_| "it could not be read".to_owned())?;
        let Loaded { config, effective, warnings } = loaded.map_err(|errors| errors.to_string())?;
        let old = self.live.get();
        let new = carry_over(&old, config);
        // What can fail comes before anything changes: listeners that were bound in vain are closed again.
        let (listening, server) = (Arc::clone(&self.listening), new.server.clone());
        // Off the runtime: whether somebody listens on a socket file is asked by a connection, which may have to wait.
        let prepared = tokio::task::spawn_blocking(move || listening.prepare(&server)).await;
        let prepared = prepared.map_err(|_| "its listeners could not be bound".to_owned())?;
        let exchange = prepared.map_err(|error| error.to_string())?;
        if let Some(log) = &self.log {
            log.set(&new.log.level).map_err(|error| error.to_string())?;
        }
        self.live.replace(new, SystemClock.now());
        self.listening.exchange(exchange).await;
        let reloaded = Reloaded::between(&self.at_start, &self.effective, &effective, warnings);
        self.effective = effective;
        Ok(reloaded)
    }
}

fn tell(reloaded: &Reloaded) {
    for warning in &reloaded.warnings {
        warn!("configuration: {warning}");
    }
    match reloaded.changed.as_slice() {
        [] => info!("the configuration is reloaded: nothing has changed that a reload changes"),
        changed => info!("the configuration is reloaded: {}", changed.join(", ")),
    }
    if !reloaded.at_restart.is_empty() {
        warn!("these changes of the configuration take effect at the next restart: {}", reloaded.at_restart.join(", "));
    }
}
