//! Mirrors that nobody used for long are removed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio::runtime::Handle;

use super::repository::{discard, remove, unfinished};
use super::store::{Mirrors, name};
use crate::domain::Timestamp;
use crate::ports::Clock;
use crate::sources::remote::Remote;

/// How often mirrors are looked at.
const EVERY: Duration = Duration::from_secs(3600);

/// Dropped, it has removed what is left of making the mirror: nobody comes for it again.
struct GivenUp {
    mirrors: Arc<Mirrors>,
    remote: Remote,
    runtime: Handle,
    is_done: bool,
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        if !self.is_done {
            let (mirrors, remote) = (Arc::clone(&self.mirrors), self.remote.clone());
            self.runtime.spawn(async move { mirrors.give_up(&remote).await });
        }
    }
}

impl Mirrors {
    /// Removes mirrors whose time is over, now and from time to time, for ever. Safe to drop.
    pub(in crate::sources) async fn keep_pruned(&self, clock: &dyn Clock) {
        loop {
            self.prune(clock.now()).await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Removes the mirrors that were not used for their age at `now`, and what was left of making or removing others.
    pub(in crate::sources) async fn prune(&self, now: Timestamp) {
        let Ok(mut entries) = tokio::fs::read_dir(&self.settings.mirrors).await else { return };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let path = entry.path();
            if let Err(error) = self.prune_one(&path, now).await {
                tracing::warn!("failed to remove the unused mirror {}: {error}", path.display());
            }
        }
    }

    /// Waits for `work`, which wants the mirror of `remote`. Dropped before its end, it leaves no half of one, unless others go
    /// on with it.
    pub(in crate::sources) async fn or_nothing<T>(
        self: &Arc<Self>,
        remote: &Remote,
        work: impl Future<Output = T>,
    ) -> T {
        let (mirrors, runtime) = (Arc::clone(self), Handle::current());
        let mut given_up = GivenUp { mirrors, remote: remote.clone(), runtime, is_done: false };
        let done = work.await;
        given_up.is_done = true;
        done
    }

    /// Removes what is left of a mirror of `remote` that was being made, unless others go on with it.
    async fn give_up(&self, remote: &Remote) {
        let mirror = self.of(&name(remote));
        let half = unfinished(&mirror.path);
        if !half.exists() {
            return;
        }
        let Ok(_refs) = mirror.refs.try_write() else { return };
        if let Err(error) = remove(&half).await {
            tracing::warn!("failed to remove the half-made mirror {}: {error}", half.display());
        }
    }

    async fn prune_one(&self, path: &Path, now: Timestamp) -> io::Result<()> {
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { return Ok(()) };
        let mirror = self.of(name);
        // One that is in use is not unused.
        let (Ok(_refs), Ok(_files)) = (mirror.refs.try_write(), mirror.files.try_write()) else { return Ok(()) };
        if path.extension().is_some() {
            return remove(path).await;
        }
        if now.since(last_use(path)?) < self.age {
            return Ok(());
        }
        tracing::info!("removing the mirror {}, not used for {:?}", path.display(), self.age);
        discard(path).await
    }
}

fn last_use(path: &Path) -> io::Result<Timestamp> {
    let since_epoch = path.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)))
}
