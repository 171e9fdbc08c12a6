//! The files of one mirror: asked, made and brought up to date. Whoever changes them holds the mirror's lock.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use super::listing::Listing;
use super::store::Mirror;
use crate::ports::SourceError;
use crate::sources::git::Git;
use crate::sources::remote::Remote;
use crate::sources::settings::Settings;
use crate::sources::{leftovers, size};

/// In a mirror that is being changed, or was when its daemon or a git was killed: it is looked at before it is used.
const UNSURE: &str = "uwsd-unsure";

/// When the packs of many small fetches are made one; the largest, which the first fetch brought, stays as it is.
const TIDY: [&str; 8] =
    ["-c", "gc.auto=1000", "-c", "gc.autoPackLimit=20", "gc", "--auto", "--quiet", "--keep-largest-pack"];

/// The bare repository of a mirror, or the place for one.
pub(super) struct Repository<'a> {
    pub(super) settings: &'a Settings,
    pub(super) remote: &'a Remote,
    pub(super) mirror: &'a Mirror,
    /// How large it may become.
    pub(super) max_size: u64,
}

impl Repository<'_> {
    fn path(&self) -> &Path {
        &self.mirror.path
    }

    pub(super) fn is_there(&self) -> bool {
        self.path().is_dir()
    }

    /// Notes that it is used now.
    pub(super) fn touch(&self) {
        let now = TimeSpec::UTIME_NOW;
        if let Err(error) = utimensat(AT_FDCWD, self.path(), &now, &now, UtimensatFlags::FollowSymlink) {
            tracing::warn!("the last use of {} cannot be noted: {error}", self.path().display());
        }
    }

    /// Whether `commit` is there with everything that it leads to.
    pub(super) async fn has(&self, commit: &str) -> Result<bool, SourceError> {
        if !self.is_there() {
            return Ok(false);
        }
        // What refs lead to was found complete when they were fetched: so only the rest is walked.
        let commit = format!("{commit}^{{commit}}");
        let done = self.git().inside(&["rev-list", "--objects", "--quiet", &commit, "--not", "--all"]).await?;
        Ok(done.status.success())
    }

    /// What the remote has now; `None` if that is too much to compare.
    pub(super) async fn ask(&self) -> Result<Option<Listing>, SourceError> {
        self.list(&self.git()).await
    }

    /// Whether it is all of `listing` and sure.
    pub(super) async fn is_as(&self, listing: Option<&Listing>) -> bool {
        let Some(listing) = listing.filter(|_| !self.mark().exists()) else { return false };
        let kept = self.list(&Git { mirror: Some(self.path()), ..self.git() }).await;
        // One that cannot be read is brought up to date, which makes it anew.
        kept.is_ok_and(|kept| kept.is_some_and(|kept| listing.is_kept_as(&kept)))
    }

    /// Fetches what is new on a remote that has `listing`. What goes wrong between remote and mirror, and is not the network's or
    /// the disk's, may be the mirror's fault: it is then made anew, once.
    pub(super) async fn update(&self, listing: Option<&Listing>) -> Result<(), SourceError> {
        if self.is_as(listing).await {
            return Ok(());
        }
        let branch = listing.and_then(Listing::default_branch);
        let Some(branch) = branch.filter(|_| self.is_there()) else { return self.make().await };
        if self.mark().exists() && !self.is_sound().await? {
            return self.make().await;
        }
        match self.fetch_refs(branch).await {
            Err(SourceError::Refused(why)) => {
                tracing::warn!("the mirror {} could not be brought up to date: {why}", self.path().display());
                self.make().await
            }
            done => done,
        }
    }

    /// Fetches a commit that no ref leads to, if the remote gives it.
    pub(super) async fn fetch_commit(&self, hash: &str) -> Result<(), SourceError> {
        match self.change(async || self.fetch(&[], &[hash]).await).await {
            // Not given: what was there is as it was.
            Err(SourceError::Refused(_)) => self.unmark().await,
            done => done,
        }
    }

    /// Makes the mirror anew, with all that the remote has; until that is there, an earlier one stays.
    pub(super) async fn make(&self) -> Result<(), SourceError> {
        tracing::info!("making the mirror {} of {}", self.path().display(), self.remote.shown);
        let new = unfinished(self.path());
        self.files(remove(&new).await)?;
        let git = Git { directory: &new, ..self.git() };
        let made = self.within_limit(&new, git.clone_as(&["--bare"])).await;
        if let Err(error) = made {
            self.files(remove(&new).await)?;
            return Err(error);
        }
        let _nobody_reads = self.mirror.files.write().await;
        self.mirror.made.fetch_add(1, Ordering::AcqRel);
        self.files(replace(self.path(), &new).await)
    }

    async fn fetch_refs(&self, default_branch: &str) -> Result<(), SourceError> {
        self.change(async || {
            self.fetch(&["--prune"], &["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]).await?;
            self.git().must("the mirror has no default branch", &["symbolic-ref", "HEAD", default_branch]).await?;
            if let Err(error) = self.git().must("its packs stay as they are", &TIDY).await {
                tracing::warn!("the mirror {} is not tidied: {error}", self.path().display());
            }
            Ok(())
        })
        .await
    }

    /// Makes a change that may be cut short at any point.
    async fn change(&self, work: impl AsyncFnOnce() -> Result<(), SourceError>) -> Result<(), SourceError> {
        self.files(tokio::fs::write(self.mark(), "").await)?;
        self.within_limit(self.path(), work()).await?;
        self.unmark().await
    }

    async fn fetch(&self, options: &[&str], what: &[&str]) -> Result<(), SourceError> {
        // As one pack, however small.
        let beginning = ["-c", "fetch.unpackLimit=1", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head"];
        let from = ["--", self.remote.url.as_str()];
        let arguments: Vec<&str> = beginning.iter().chain(options).chain(&from).chain(what).copied().collect();
        let git = self.git();
        let done = git.inside(&arguments).await?;
        if done.status.success() { Ok(()) } else { Err(git.not_cloned(&done)) }
    }

    async fn within_limit(
        &self,
        dir: &Path,
        work: impl Future<Output = Result<(), SourceError>>,
    ) -> Result<(), SourceError> {
        let too_large = || size::too_large(&self.remote.shown, self.max_size);
        tokio::select! {
            done = work => done?,
            () = size::grows_above(dir, self.max_size) => return Err(too_large()),
        }
        if size::is_above(dir.to_owned(), self.max_size).await { Err(too_large()) } else { Ok(()) }
    }

    /// Whether what a killed git left is whole, apart from files that only it had a use for: those are removed.
    async fn is_sound(&self) -> Result<bool, SourceError> {
        let path = self.path().to_owned();
        let swept = tokio::task::spawn_blocking(move || leftovers::sweep(&path)).await;
        self.files(swept.unwrap_or_else(|panicked| Err(io::Error::other(panicked))))?;
        let done = self.git().inside(&["fsck", "--connectivity-only", "--no-dangling", "--no-progress"]).await?;
        Ok(done.status.success())
    }

    async fn list(&self, git: &Git<'_>) -> Result<Option<Listing>, SourceError> {
        let url = self.remote.url.as_str();
        let arguments = ["ls-remote", "--quiet", "--symref", "--", url, "HEAD", "refs/heads/*", "refs/tags/*"];
        let done = git.outside(&arguments.map(OsStr::new)).await?;
        if !done.status.success() {
            return Err(git.not_cloned(&done));
        }
        Ok(done.is_whole.then(|| Listing::parse(&done.stdout)))
    }

    fn git(&self) -> Git<'_> {
        Git { settings: self.settings, remote: self.remote, mirror: None, directory: self.path() }
    }

    fn mark(&self) -> PathBuf {
        self.path().join(UNSURE)
    }

    async fn unmark(&self) -> Result<(), SourceError> {
        self.files(tokio::fs::remove_file(self.mark()).await)
    }

    fn files(&self, done: io::Result<()>) -> Result<(), SourceError> {
        done.map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                SourceError::DiskFull(format!("there is no room for the mirror of {}", self.remote.shown))
            }
            _ => SourceError::Refused(format!("the mirror of {} is unusable: {error}", self.remote.shown)),
        })
    }
}

/// Where the mirror at `path` is made, until it is one.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Puts `new` in the place of `path`.
async fn replace(path: &Path, new: &Path) -> io::Result<()> {
    discard(path).await?;
    tokio::fs::rename(new, path).await
}

/// Takes the mirror at `path` away, whole: a removal that is cut short leaves none that looks like one.
pub(super) async fn discard(path: &Path) -> io::Result<()> {
    let old = path.with_extension("old");
    remove(&old).await?;
    match tokio::fs::rename(path, &old).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => remove(&old).await,
    }
}

/// Removes a directory that may not be there.
pub(super) async fn remove(dir: &Path) -> io::Result<()> {
    match tokio::fs::remove_dir_all(dir).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
