//! Bounds for what a job's files take, kept by the file system that they lie on.

use std::path::PathBuf;

use async_trait::async_trait;

use super::run::JobDirs;

/// Why a quota could not be read or set.
#[derive(Debug, thiserror::Error)]
#[error("the quota of {} failed while {doing}", path.display())]
pub struct QuotaError {
    /// The job's directory.
    pub path: PathBuf,
    /// What was being done.
    pub doing: &'static str,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// What the file system counts of a job's files, and the most that it lets them take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many bytes they may take.
    pub most: u64,
    /// How many bytes they take, with the directories that hold them.
    pub used: u64,
    /// How many bytes have to be left for the next write, or the next file, to be sure of its place.
    pub margin: u64,
}

impl Room {
    /// Whether less than that is left: the last write may have failed.
    #[must_use]
    pub const fn is_used_up(&self) -> bool {
        self.used.saturating_add(self.margin) > self.most
    }
}

/// A file system that can count what a job's directories take, and refuses what is too much, at once.
///
/// One job goes through `count`, `limit`, `room` (any number of times) and `release`. Each may be called again after it failed or
/// after a crash. Nothing about it is stored but with the directories themselves: so a daemon finds what an earlier one set.
#[async_trait]
pub trait Quotas: Send + Sync {
    /// Begins to count what comes to lie in the job's directories `src`, `out` and `home`, which are there and empty.
    ///
    /// # Errors
    /// [`QuotaError`]; then nothing is counted, or what is counted is given up by `release`.
    async fn count(&self, dirs: &JobDirs) -> Result<(), QuotaError>;

    /// Lets what is counted take `most` bytes from now on. It may take more already: then nothing more can be written.
    ///
    /// # Errors
    /// [`QuotaError`], also where nothing is counted.
    async fn limit(&self, dirs: &JobDirs, most: u64) -> Result<(), QuotaError>;

    /// What is counted, and its limit; `None` without one.
    ///
    /// # Errors
    /// [`QuotaError`], also where there is no such directory.
    async fn room(&self, dirs: &JobDirs) -> Result<Option<Room>, QuotaError>;

    /// Lifts the limit. Called before the directories are removed, so that a crash between the two leaves nothing; that there is
    /// no limit, or no directory, is success.
    ///
    /// # Errors
    /// [`QuotaError`].
    async fn release(&self, dirs: &JobDirs) -> Result<(), QuotaError>;
}
