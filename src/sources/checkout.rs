//! The checkout itself: clone everything, find what the ref leads to, check that out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::find::{Found, check_out, find};
use super::git::Git;
use super::mirror::Mirrors;
use super::reference::Reference;
use super::remote::Remote;
use super::settings::{Settings, SetupError};
use super::{leftovers, lfs, reach, size};
use crate::config;
use crate::domain::{Source, Timestamp};
use crate::ports::{Checkout, Clock, SourceError, Sources, UnfitSource};

/// Checks out git repositories with the `git` executable.
///
/// The whole repository is cloned, with every branch, tag and the history, as commands in jobs may ask for them
/// (`git describe`). A ref is then looked up as `git checkout` would after a clone: the default branch, else a tag,
/// else a branch, else a commit hash, full or abbreviated to 7 digits or more. `refs/heads/NAME` and `refs/tags/NAME` say
/// which one is meant. A branch is checked out as a branch that tracks its origin; anything else is a detached HEAD.
///
/// Everything is cloned from a mirror of the remote on this host, which was brought up to date before: only what is new goes
/// over the network, and nothing where a full commit hash is there already. The clone is a copy that shares no file with
/// the mirror.
pub struct GitSources {
    settings: Arc<Settings>,
    mirrors: Arc<Mirrors>,
    timeout: Duration,
    max_size: u64,
    submodules: bool,
    lfs: bool,
    proxy: Option<String>,
    /// The looks at repositories on this host that may be under way at once.
    looking: Arc<Semaphore>,
}

/// How many threads may wait for repositories on this host, before they are given to git.
const LOOKS: usize = 16;
/// The options of a clone from which a job gets its files.
const ALL: [&str; 1] = ["--no-checkout"];

impl GitSources {
    /// Makes `scratch` ready, a private directory that no other daemon uses, and ends the git processes that an earlier
    /// daemon with the same directory left behind. From there and from `closed` no job gets a repository. Touches files: to be
    /// called at start, not on a busy runtime.
    ///
    /// # Errors
    /// [`SetupError`] with the key of the configuration.
    pub fn new(config: config::Sources, scratch: impl AsRef<Path>, closed: &[&Path]) -> Result<Self, SetupError> {
        let settings = Arc::new(Settings::prepare(&config, scratch.as_ref(), closed)?);
        leftovers::end(&settings.scratch);
        let mirrors = Mirrors::new(Arc::clone(&settings), config.max_size, config.mirror_age);
        Ok(Self {
            settings,
            mirrors,
            timeout: config.clone_timeout,
            max_size: config.max_size,
            submodules: config.submodules,
            lfs: config.lfs,
            proxy: config.proxy,
            looking: Arc::new(Semaphore::new(LOOKS)),
        })
    }

    fn parse(&self, source: &Source) -> Result<(Address, Reference), UnfitSource> {
        let unfit = |field| move |why| UnfitSource { field, why };
        let address = self.settings.address(&source.url).map_err(unfit("url"))?;
        Ok((address, Reference::parse(&source.commit_ref).map_err(unfit("commit_ref"))?))
    }

    /// Removes mirrors that nobody used for long, now and once an hour, for ever. Safe to drop.
    pub async fn keep_mirrors_pruned(&self, clock: &dyn Clock) {
        self.mirrors.keep_pruned(clock).await;
    }

    /// Removes the mirrors that nobody used for long at `now`, except those in use.
    pub async fn prune_mirrors(&self, now: Timestamp) {
        self.mirrors.prune(now).await;
    }

    /// Refuses a repository at `place` on this host if `check` finds a way from there into the daemon's own files. Dropped, it
    /// soon asks no more.
    async fn ensure_open(&self, place: Option<PathBuf>, check: reach::Check) -> Result<(), SourceError> {
        let Some(place) = place else { return Ok(()) };
        let settings = Arc::clone(&self.settings);
        // A file system that does not answer keeps the thread, and others are still needed.
        let turn = Arc::clone(&self.looking).acquire_owned().await.expect("it is never closed");
        let given_up = CancellationToken::new();
        let _asked = given_up.clone().drop_guard();
        let looked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            check(&settings.closed, &place, &given_up)
        });
        match looked.await {
            Ok(looked) => looked.map_err(|why| SourceError::Refused(why.to_owned())),
            Err(error) => Err(SourceError::Network(format!("the repository could not be looked at: {error}"))),
        }
    }

    async fn fetch(&self, git: &Git<'_>, reference: &Reference) -> Result<String, SourceError> {
        let shown = &git.remote.shown;
        self.ensure_open(git.remote.place.clone(), reach::check).await?;
        if self.lfs {
            lfs::ensure_there(git).await?;
        }
        let (found, commit) = self.clone_and_find(git, reference).await?;
        check_out(git, &found).await?;
        // Whatever was written between: what is there is what was asked for, or the job does not run.
        if git.commit("HEAD").await?.as_deref() != Some(commit.as_str()) {
            return Err(SourceError::Refused(format!("the checkout of {shown} did not lead to commit {commit}")));
        }
        if self.submodules {
            git.update_submodules().await?;
        }
        if self.lfs {
            for place in lfs::places(git).await? {
                self.ensure_open(Some(place), reach::check_for_lfs).await?;
            }
            lfs::fetch(git).await?;
        }
        Ok(commit)
    }

    async fn clone_and_find(&self, git: &Git<'_>, reference: &Reference) -> Result<(Found, String), SourceError> {
        if !self.mirrors.are_kept() {
            git.clone_as(&ALL).await?;
            return find(git, reference).await;
        }
        let mut held = self.mirrors.hold(git.remote, reference).await?;
        if let Err(error) = clone_from(git, held.path()).await {
            if matches!(error, SourceError::DiskFull(_)) {
                return Err(error);
            }
            tracing::warn!("the mirror {} cannot be read and is made anew: {error}", held.path().display());
            held = self.mirrors.renew(held, git.remote).await?;
            clone_from(git, held.path()).await?;
        }
        // A commit that no ref leads to is in the mirror by now, or, where a login is needed for it, with the remote.
        let mirror = git.remote.login.is_none().then_some(held.path());
        find(&Git { mirror, ..*git }, reference).await
    }
}

/// Clones the mirror at `path` as if it were the remote.
async fn clone_from(git: &Git<'_>, path: &Path) -> Result<(), SourceError> {
    Git { mirror: Some(path), ..*git }.clone_as(&ALL).await
}

#[async_trait]
impl Sources for GitSources {
    fn check(&self, source: &Source) -> Result<(), UnfitSource> {
        if source.url.is_empty() {
            return Ok(());
        }
        self.parse(source).map(drop)
    }

    async fn checkout(&self, source: &Source, into: &Path) -> Result<Checkout, SourceError> {
        let (address, reference) = self.parse(source).map_err(|unfit| SourceError::Refused(unfit.why))?;
        let remote = Remote::new(address, &source.url, self.proxy.as_deref());
        let directory = std::path::absolute(into)
            .map_err(|error| SourceError::Refused(format!("the directory for the source is unusable: {error}")))?;
        let git = Git { settings: &self.settings, remote: &remote, mirror: None, directory: &directory };
        let too_large = || size::too_large(&remote.shown, self.max_size);
        // Whichever branch loses is dropped, and with it every process of git's ends.
        let commit = tokio::select! {
            done = self.mirrors.or_nothing(&remote, self.fetch(&git, &reference)) => done?,
            () = size::grows_above(&directory, self.max_size) => return Err(too_large()),
            () = tokio::time::sleep(self.timeout) => {
                let limit = self.timeout.as_secs_f64();
                return Err(SourceError::TimedOut(format!("{} was not checked out within {limit} s", remote.shown)));
            }
        };
        if size::is_above(directory.clone(), self.max_size).await {
            return Err(too_large());
        }
        Ok(Checkout { commit })
    }

    async fn prefetch(&self, url: &str) -> Result<(), SourceError> {
        let source = Source { url: url.to_owned(), commit_ref: String::new() };
        let (address, reference) = self.parse(&source).map_err(|unfit| SourceError::Refused(unfit.why))?;
        let remote = Remote::new(address, url, self.proxy.as_deref());
        if !self.mirrors.are_kept() {
            let why = format!("nothing of {} is kept between jobs: sources.mirror_age is 0", remote.shown);
            return Err(SourceError::Refused(why));
        }
        // Dropped, it ends every process that it alone waits for.
        tokio::select! {
            held = self.mirrors.or_nothing(&remote, async {
                self.ensure_open(remote.place.clone(), reach::check).await?;
                self.mirrors.hold(&remote, &reference).await
            }) => held.map(drop),
            () = tokio::time::sleep(self.timeout) => {
                let limit = self.timeout.as_secs_f64();
                Err(SourceError::TimedOut(format!("{} was not fetched within {limit} s", remote.shown)))
            }
        }
    }
}
