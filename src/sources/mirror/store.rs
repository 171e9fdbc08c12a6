//! All mirrors, and how one is held while a job reads it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::flight::Flights;
use super::repository::Repository;
use crate::ports::SourceError;
use crate::sources::reference::Reference;
use crate::sources::remote::Remote;
use crate::sources::settings::Settings;

/// The mirrors of a daemon.
pub(in crate::sources) struct Mirrors {
    pub(super) settings: Arc<Settings>,
    pub(super) max_size: u64,
    /// How long one is kept after its last use.
    pub(super) age: Duration,
    /// Those in use, so that all who use one share its lock.
    used: Mutex<HashMap<String, Weak<Mirror>>>,
}

/// One mirror that is in use.
pub(super) struct Mirror {
    pub(super) path: PathBuf,
    /// Held for writing by whoever changes the mirror, and for reading by whoever needs the refs that the remote just told.
    pub(super) refs: Arc<RwLock<()>>,
    /// Held for writing, besides `refs`, while its files are replaced or removed, and for reading by whoever wants a commit that
    /// is there: it waits for no remote, not even for one that others wait for.
    pub(super) files: Arc<RwLock<()>>,
    pub(super) flights: Flights,
    /// How often it was made.
    pub(super) made: AtomicU64,
}

/// A mirror that is there, and in which nobody changes what was asked for, as long as this is held.
#[derive(Clone)]
pub(in crate::sources) struct Held {
    mirror: Arc<Mirror>,
    made: u64,
    _guard: Arc<OwnedRwLockReadGuard<()>>,
}

impl Held {
    pub(in crate::sources) fn path(&self) -> &Path {
        &self.mirror.path
    }
}

impl Mirror {
    pub(super) fn hold(self: &Arc<Self>, guard: OwnedRwLockReadGuard<()>) -> Held {
        let made = self.made.load(Ordering::Acquire);
        Held { mirror: Arc::clone(self), made, _guard: Arc::new(guard) }
    }
}

impl Mirrors {
    pub(in crate::sources) fn new(settings: Arc<Settings>, max_size: u64, age: Duration) -> Arc<Self> {
        Arc::new(Self { settings, max_size, age, used: Mutex::default() })
    }

    /// Whether there are any.
    pub(in crate::sources) fn are_kept(&self) -> bool {
        !self.age.is_zero()
    }

    /// The mirror of `remote`, with what `reference` asks for if the remote has it.
    ///
    /// Dropping the future ends every process that it alone waits for.
    pub(in crate::sources) async fn hold(
        self: &Arc<Self>,
        remote: &Remote,
        reference: &Reference,
    ) -> Result<Held, SourceError> {
        let mirror = self.of(&name(remote));
        match reference {
            // Whether a login still opens the repository, only the remote can tell.
            Reference::Commit(hash) if remote.login.is_none() => self.hold_commit(&mirror, remote, hash).await,
            _ => self.ask(&mirror, remote).await,
        }
    }

    /// Makes the mirror anew that `held` is of, for it cannot be read; unless another job has done so meanwhile.
    pub(in crate::sources) async fn renew(self: &Arc<Self>, held: Held, remote: &Remote) -> Result<Held, SourceError> {
        let (mirror, made) = (Arc::clone(&held.mirror), held.made);
        drop(held);
        let guard = Arc::clone(&mirror.refs).write_owned().await;
        if mirror.made.load(Ordering::Acquire) != made {
            drop(guard);
            return self.ask(&mirror, remote).await;
        }
        self.repository(&mirror, remote).make().await?;
        Ok(mirror.hold(guard.downgrade()))
    }

    async fn hold_commit(
        self: &Arc<Self>,
        mirror: &Arc<Mirror>,
        remote: &Remote,
        hash: &str,
    ) -> Result<Held, SourceError> {
        let repository = self.repository(mirror, remote);
        let guard = Arc::clone(&mirror.files).read_owned().await;
        if repository.has(hash).await? {
            repository.touch();
            return Ok(mirror.hold(guard));
        }
        drop(guard);
        let held = self.ask(mirror, remote).await?;
        if repository.has(hash).await? {
            return Ok(held);
        }
        drop(held);
        let guard = Arc::clone(&mirror.refs).write_owned().await;
        if repository.is_there() {
            // On no branch and under no tag: many servers give it all the same.
            repository.fetch_commit(hash).await?;
        }
        Ok(mirror.hold(guard.downgrade()))
    }

    pub(super) fn repository<'a>(&'a self, mirror: &'a Mirror, remote: &'a Remote) -> Repository<'a> {
        Repository { settings: &self.settings, remote, mirror, max_size: self.max_size }
    }

    /// The mirror of that name.
    pub(super) fn of(&self, name: &str) -> Arc<Mirror> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mirror) = used.get(name).and_then(Weak::upgrade) {
            return mirror;
        }
        used.retain(|_, mirror| mirror.strong_count() > 0);
        let mirror = Arc::new(Mirror {
            path: self.settings.mirrors.join(name),
            refs: Arc::default(),
            files: Arc::default(),
            flights: Flights::default(),
            made: AtomicU64::new(0),
        });
        used.insert(name.to_owned(), Arc::downgrade(&mirror));
        mirror
    }
}

/// The name of the mirror of `remote`: a digest of its URL, and of whether there is a login, but of no login.
pub(super) fn name(remote: &Remote) -> String {
    let kind = if remote.login.is_some() { "login" } else { "open" };
    let digest = digest(&SHA256, format!("{kind} {}", remote.url).as_bytes());
    digest.as_ref().iter().fold(String::new(), |name, byte| name + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::address::{Address, Protocol};

    fn name_of(text: &str) -> String {
        let address = Address::parse(text, &[Protocol::Https]).expect("fine");
        name(&Remote::new(address, text, None))
    }

    #[test]
    fn names_tell_urls_apart_and_logins_not() {
        let open = name_of("https://host/x");
        assert!(open.len() == 64 && open.bytes().all(|b| b.is_ascii_hexdigit()), "{open}");
        assert_ne!(open, name_of("https://host/y"));
        let with_login = name_of("https://ada:pass@host/x");
        assert_ne!(open, with_login);
        assert_eq!(with_login, name_of("https://token@host/x"));
    }
}
