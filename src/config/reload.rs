//! What a reload may change, and how it is asked for.

use tokio::sync::{mpsc, oneshot};

use super::keys::pattern_of;
use super::reader::Effective;
use super::types::{Backend, Config, Docker, Log, Server};

/// Keys and tables of which a change takes effect at the next restart only, in the form of the table of keys.
const AT_RESTART: &[&str] = &[
    "server.base_path",
    "server.state_dir",
    "server.jobs_dir",
    "server.max_body",
    "server.max_connections",
    "server.header_timeout",
    "server.shutdown_linger",
    "server.shutdown_grace",
    "server.admin_socket",
    "log.format",
    "store",
    "sources",
    "backend",
];
/// Keys within those tables that a reload does change.
const AT_RELOAD: &[&str] = &["backend.docker.image_age"];

/// Whether a change of the key takes effect at the next restart only.
pub(super) fn needs_restart(key: &str) -> bool {
    let is_below = |table: &&str| key.strip_prefix(*table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    AT_RESTART.iter().any(is_below) && !AT_RELOAD.contains(&key)
}

/// The configuration `new`, but what a running daemon cannot change stays as in `old`.
#[must_use]
pub fn carry_over(old: &Config, new: Config) -> Config {
    let server = old.server.clone();
    let docker = Docker { image_age: new.backend.docker.image_age, ..old.backend.docker.clone() };
    Config {
        server: Server {
            instance: new.server.instance,
            public_url: new.server.public_url,
            allowed_hosts: new.server.allowed_hosts,
            allowed_origins: new.server.allowed_origins,
            listeners: new.server.listeners,
            listeners_by_default: new.server.listeners_by_default,
            ..server
        },
        log: Log { level: new.log.level, format: old.log.format },
        store: old.store.clone(),
        sources: old.sources.clone(),
        backend: Backend { docker, ..old.backend.clone() },
        ..new
    }
}

/// What a reload changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// What is in force now and was not before, each as `KEY = VALUE`, of a job's variable without its value; `KEY is gone` of
    /// one that is there no more.
    pub changed: Vec<String>,
    /// What takes effect at the next restart only.
    pub at_restart: Vec<String>,
    /// What is odd but no reason to refuse.
    pub warnings: Vec<String>,
}

impl Reloaded {
    /// What lies between what was read `before` and what is read `now`; of keys that need a restart, what lies between the start
    /// and now.
    #[must_use]
    pub fn between(at_start: &[Effective], before: &[Effective], now: &[Effective], warnings: Vec<String>) -> Self {
        Self {
            changed: differences(before, now, |key| !needs_restart(key)),
            at_restart: differences(at_start, now, needs_restart),
            warnings,
        }
    }
}

fn differences(before: &[Effective], now: &[Effective], is_meant: impl Fn(&str) -> bool) -> Vec<String> {
    let value =
        |among: &[Effective], key: &str| among.iter().find(|entry| entry.key == key).map(|entry| entry.value.clone());
    let set = now.iter().filter(|entry| value(before, &entry.key).as_ref() != Some(&entry.value)).map(|entry| {
        // What is told goes to the log, where the value of a job's variable has no business.
        let is_variable = pattern_of(&entry.key).starts_with("service.*.env.");
        let sentence =
            if is_variable { format!("{} is set", entry.key) } else { format!("{} = {}", entry.key, entry.value) };
        (&entry.key, sentence)
    });
    let gone = before.iter().filter(|entry| value(now, &entry.key).is_none());
    let gone = gone.map(|entry| (&entry.key, format!("{} is gone", entry.key)));
    set.chain(gone).filter(|(key, _)| is_meant(key)).map(|(_, sentence)| sentence).collect()
}

/// What a reload came to: what it changed, or why it was refused, in which case everything is as before.
pub type ReloadOutcome = Result<Reloaded, String>;

/// Asks for reloads; clones ask the same daemon.
#[derive(Debug, Clone)]
pub struct Reloads(mpsc::Sender<Option<oneshot::Sender<ReloadOutcome>>>);

/// Whoever reloads hears here that it is asked for, and where the answer goes if somebody waits for it.
pub type ReloadWishes = mpsc::Receiver<Option<oneshot::Sender<ReloadOutcome>>>;

impl Reloads {
    /// A way to ask, and to hear it.
    #[must_use]
    pub fn new() -> (Self, ReloadWishes) {
        let (sender, wishes) = mpsc::channel(4);
        (Self(sender), wishes)
    }

    /// Asks, and waits for what it came to.
    ///
    /// # Errors
    /// Why it was refused: every problem of the configuration, or a listener that cannot be bound. Everything is as before then.
    pub async fn reload(&self) -> ReloadOutcome {
        let going_down = || "the daemon is going down".to_owned();
        let (reply, outcome) = oneshot::channel();
        self.0.send(Some(reply)).await.map_err(|_| going_down())?;
        outcome.await.unwrap_or_else(|_| Err(going_down()))
    }

    /// Asks and does not wait. One that waits already is enough.
    pub fn ask(&self) {
        drop(self.0.try_send(None));
    }
}
