//! Where a job's source comes from.

use std::path::Path;

use async_trait::async_trait;

use crate::domain::Source;

/// A source that was checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The full hash of the commit that the ref led to.
    pub commit: String,
}

/// Why a source could not be checked out; the text is shown to the client and holds no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The URL or the ref cannot be used, or the repository said no: a second try will not help.
    #[error("{0}")]
    Refused(String),
    /// The network, the server or this host failed: a second try may help.
    #[error("{0}")]
    Network(String),
    /// It took longer than allowed.
    #[error("{0}")]
    TimedOut(String),
    /// There is no room for it.
    #[error("{0}")]
    DiskFull(String),
}

/// A source that could never be checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfitSource {
    /// Which part of it: `url` or `commit_ref`.
    pub field: &'static str,
    /// A sentence that says what is wrong and what would do.
    pub why: String,
}

/// Checks out sources.
#[async_trait]
pub trait Sources: Send + Sync {
    /// Refuses a source that could never be checked out (protocol, form), before a job is accepted.
    ///
    /// # Errors
    /// [`UnfitSource`].
    fn check(&self, source: &Source) -> Result<(), UnfitSource>;

    /// Checks `source` out into the empty directory `into`; the caller has checked that `source.url` is not empty.
    ///
    /// Dropping the future ends every process that it started. What a failed attempt left in `into` is the caller's
    /// to remove. Calling it again with an empty directory is safe.
    ///
    /// # Errors
    /// [`SourceError`], with git's own last words.
    async fn checkout(&self, source: &Source, into: &Path) -> Result<Checkout, SourceError>;

    /// Fetches everything of the repository at `url` that is not on this host yet, so that jobs need less of the network later.
    ///
    /// # Errors
    /// [`SourceError`]; refused where nothing is kept between jobs.
    async fn prefetch(&self, url: &str) -> Result<(), SourceError>;
}
