//! The checkout itself: clone everything, find what the ref leads to, check that out.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::address::Address;
use super::git::Git;
use super::reference::{Reference, is_abbreviated_hash};
use super::settings::{Settings, SetupError};
use super::words::Secrets;
use super::{leftovers, lfs, size};
use crate::config;
use crate::domain::{Source, strip_credentials};
use crate::ports::{Checkout, SourceError, Sources};

/// Checks out git repositories with the `git` executable.
///
/// The whole repository is cloned, with every branch, tag and the history, as commands in jobs may ask for them
/// (`git describe`). A ref is then looked up as `git checkout` would after a clone: the default branch, else a tag,
/// else a branch, else a commit hash, full or abbreviated to 7 digits or more. `refs/heads/NAME` and `refs/tags/NAME` say
/// which one is meant. A branch is checked out as a branch that tracks its origin; anything else is a detached HEAD.
#[derive(Debug)]
pub struct GitSources {
    settings: Settings,
    timeout: Duration,
    max_size: u64,
    submodules: bool,
    lfs: bool,
    proxy: Option<String>,
}

/// What is checked out.
enum Found {
    /// The branch of this name.
    Branch(String),
    /// A tag or commit.
    Detached(String),
}

impl GitSources {
    /// Makes `scratch` ready, a private directory that no other daemon uses, and ends the git processes that an earlier
    /// daemon with the same directory left behind. Touches files: to be called at start, not on a busy runtime.
    ///
    /// # Errors
    /// [`SetupError`] with the key of the configuration.
    pub fn new(config: config::Sources, scratch: impl Into<PathBuf>) -> Result<Self, SetupError> {
        let settings = Settings::prepare(&config, &scratch.into())?;
        leftovers::end(&settings.scratch);
        Ok(Self {
            settings,
            timeout: config.clone_timeout,
            max_size: config.max_size,
            submodules: config.submodules,
            lfs: config.lfs,
            proxy: config.proxy,
        })
    }

    fn parse(&self, source: &Source) -> Result<(Address, Reference), String> {
        Ok((Address::parse(&source.url, &self.settings.protocols)?, Reference::parse(&source.commit_ref)?))
    }

    async fn fetch(
        &self,
        git: &Git<'_>,
        address: &Address,
        reference: &Reference,
        shown: &str,
    ) -> Result<String, SourceError> {
        if self.lfs {
            lfs::ensure_there(git).await?;
        }
        let arguments: Vec<&OsStr> = ["clone", "--quiet", "--no-checkout", "--template=", "--origin=origin", "--"]
            .into_iter()
            .map(OsStr::new)
            .chain([OsStr::new(&address.url), git.directory.as_os_str()])
            .collect();
        let done = git.outside(&arguments).await?;
        if !done.status.success() {
            return Err(git.failure(&format!("{shown} could not be cloned"), &done));
        }
        let (found, commit) = find(git, reference, shown).await?;
        check_out(git, &found, shown).await?;
        // Whatever was written between: what is there is what was asked for, or the job does not run.
        if git.commit("HEAD").await?.as_deref() != Some(commit.as_str()) {
            return Err(SourceError::Refused(format!("the checkout of {shown} did not lead to commit {commit}")));
        }
        if self.submodules {
            let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
            git.must(&format!("the submodules of {shown} could not be fetched"), &update).await?;
        }
        if self.lfs {
            lfs::fetch(git).await?;
        }
        Ok(commit)
    }

    fn too_large(&self, shown: &str) -> SourceError {
        let limit = self.max_size;
        SourceError::Refused(format!("{shown} takes more than {limit} bytes, the limit for sources (sources.max_size)"))
    }
}

#[async_trait]
impl Sources for GitSources {
    fn check(&self, source: &Source) -> Result<(), String> {
        if source.url.is_empty() {
            return Ok(());
        }
        self.parse(source).map(drop)
    }

    async fn checkout(&self, source: &Source, into: &Path) -> Result<Checkout, SourceError> {
        let (address, reference) = self.parse(source).map_err(SourceError::Refused)?;
        let shown = strip_credentials(&source.url);
        let directory = std::path::absolute(into)
            .map_err(|error| SourceError::Refused(format!("the directory for the source is unusable: {error}")))?;
        let git = Git {
            settings: &self.settings,
            login: address.login.clone(),
            secrets: Secrets::of([source.url.as_str()].into_iter().chain(self.proxy.as_deref())),
            directory: &directory,
        };
        // Whichever branch loses is dropped, and with it every process of git's ends.
        let commit = tokio::select! {
            done = self.fetch(&git, &address, &reference, &shown) => done?,
            () = size::grows_above(&directory, self.max_size) => return Err(self.too_large(&shown)),
            () = tokio::time::sleep(self.timeout) => {
                let limit = self.timeout.as_secs_f64();
                return Err(SourceError::TimedOut(format!("{shown} was not checked out within {limit} s")));
            }
        };
        if size::is_above(directory.clone(), self.max_size).await {
            return Err(self.too_large(&shown));
        }
        Ok(Checkout { commit })
    }
}

/// What `reference` leads to, and the commit behind it.
async fn find(git: &Git<'_>, reference: &Reference, shown: &str) -> Result<(Found, String), SourceError> {
    let found = match reference {
        Reference::Default => find_default(git).await?,
        Reference::Commit(hash) => find_commit(git, hash).await?,
        Reference::Branch(name) => find_branch(git, name).await?,
        Reference::Tag(name) => find_tag(git, name).await?,
        Reference::Name(name) => find_name(git, name).await?,
    };
    found.ok_or_else(|| {
        SourceError::Refused(match reference {
            Reference::Default => format!("{shown} has no commit on its default branch; name a branch, tag or commit"),
            Reference::Commit(hash) => format!("{shown} has no commit {hash}"),
            Reference::Branch(name) => format!("{shown} has no branch {name:?}"),
            Reference::Tag(name) => format!("{shown} has no tag {name:?}"),
            Reference::Name(name) => format!("{shown} has no branch, tag or commit {name:?} (commit_ref)"),
        })
    })
}

async fn find_default(git: &Git<'_>) -> Result<Option<(Found, String)>, SourceError> {
    let Some(commit) = git.commit("HEAD").await? else { return Ok(None) };
    // Set by the clone as the remote's is; a remote may be on no branch.
    let branch = default_branch(git).await?;
    Ok(Some((branch.map_or_else(|| Found::Detached(commit.clone()), Found::Branch), commit)))
}

async fn default_branch(git: &Git<'_>) -> Result<Option<String>, SourceError> {
    let done = git.inside(&["symbolic-ref", "--quiet", "HEAD"]).await?;
    Ok(done.stdout.trim().strip_prefix("refs/heads/").map(str::to_owned))
}

async fn find_name(git: &Git<'_>, name: &str) -> Result<Option<(Found, String)>, SourceError> {
    if default_branch(git).await?.as_deref() == Some(name) {
        return find_branch(git, name).await;
    }
    if let Some(found) = find_tag(git, name).await? {
        return Ok(Some(found));
    }
    if let Some(found) = find_branch(git, name).await? {
        return Ok(Some(found));
    }
    if name.starts_with("origin/") {
        // As a clone names it; checked out without a branch of its own, as git does.
        let commit = git.commit(&format!("refs/remotes/{name}")).await?;
        return Ok(commit.map(|commit| (Found::Detached(commit.clone()), commit)));
    }
    if is_abbreviated_hash(name) {
        let commit = git.commit(name).await?;
        return Ok(commit.map(|commit| (Found::Detached(commit.clone()), commit)));
    }
    Ok(None)
}

async fn find_tag(git: &Git<'_>, name: &str) -> Result<Option<(Found, String)>, SourceError> {
    let tag = format!("refs/tags/{name}");
    Ok(git.commit(&tag).await?.map(|commit| (Found::Detached(tag), commit)))
}

async fn find_branch(git: &Git<'_>, name: &str) -> Result<Option<(Found, String)>, SourceError> {
    let commit = git.commit(&format!("refs/remotes/origin/{name}")).await?;
    Ok(commit.map(|commit| (Found::Branch(name.to_owned()), commit)))
}

async fn find_commit(git: &Git<'_>, hash: &str) -> Result<Option<(Found, String)>, SourceError> {
    let found = |commit: String| (Found::Detached(commit.clone()), commit);
    if let Some(commit) = git.commit(hash).await? {
        return Ok(Some(found(commit)));
    }
    // On no branch and under no tag: many servers give it all the same. If not, it is not there.
    let done = git.inside(&["fetch", "--quiet", "--no-tags", "--", "origin", hash]).await?;
    if done.status.success() {
        return Ok(git.commit(hash).await?.map(found));
    }
    match git.failure(&format!("commit {hash} could not be fetched"), &done) {
        SourceError::Refused(_) => Ok(None),
        error @ (SourceError::Network(_) | SourceError::TimedOut(_) | SourceError::DiskFull(_)) => Err(error),
    }
}

async fn check_out(git: &Git<'_>, found: &Found, shown: &str) -> Result<(), SourceError> {
    let doing = format!("{shown} could not be checked out");
    let done = match found {
        Found::Branch(name) => {
            let origin = format!("refs/remotes/origin/{name}");
            git.must(&doing, &["checkout", "--quiet", "--force", "--track", "-B", name, &origin, "--"]).await
        }
        Found::Detached(what) => git.must(&doing, &["checkout", "--quiet", "--force", "--detach", what, "--"]).await,
    };
    done.map(drop)
}
