//! The signals that the daemon handles.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::LifecycleError;

/// A signal, as far as the daemon cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// SIGTERM or SIGINT.
    Stop(&'static str),
    /// SIGHUP.
    Reload,
}

/// The streams of the signals that the daemon handles, from when they are made.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// Handles the signals from now on: to be called before anybody can know that the daemon is there, and stop it.
    ///
    /// # Errors
    /// [`LifecycleError::Signals`].
    pub fn install() -> Result<Self, LifecycleError> {
        let install = |kind| signal(kind).map_err(LifecycleError::Signals);
        Ok(Self {
            term: install(SignalKind::terminate())?,
            int: install(SignalKind::interrupt())?,
            hup: install(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.term.recv() => Wish::Stop("SIGTERM"),
            _ = self.int.recv() => Wish::Stop("SIGINT"),
            _ = self.hup.recv() => Wish::Reload,
        }
    }
}
