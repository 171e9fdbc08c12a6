//! Files that clients hand in: kept by the daemon from their arrival until their job goes.
//!
//! ```text
//! {state_dir}/uploads/.new-{uuid}/{file}   while a request is read; gone with it unless its job is accepted
//! {state_dir}/uploads/{job-id}/{file}      durable before the job is; copied to the job's `in` when it runs
//! ```
//! What a crash left between the two is removed at the next start.

use std::io;
use std::path::{Path, PathBuf};

use ring::digest::{self, Digest};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use tracing::warn;
use uuid::Uuid;

use crate::domain::{JobId, Upload, Work};
use crate::ports::{Store, StoreError};

use super::gate::Gate;

const NEW: &str = ".new-";

/// The directory of all uploads.
#[derive(Debug, Clone)]
pub struct Uploads {
    root: PathBuf,
    gate: Gate,
}

/// Files that have arrived and belong to no job yet; removed after they are dropped.
#[derive(Debug)]
pub struct Staged {
    dir: PathBuf,
    files: Vec<Upload>,
    /// A digest of the content of each.
    digests: Vec<Digest>,
}

/// A file that is arriving.
pub struct Arriving {
    file: File,
    upload: Upload,
    digest: digest::Context,
}

impl Uploads {
    /// Uploads below `root`, which is made when there is one.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, gate: Gate::default() }
    }

    /// A place for the files of one request.
    ///
    /// # Errors
    /// The system's.
    pub async fn stage(&self) -> io::Result<Staged> {
        let dir = self.root.join(format!("{NEW}{}", Uuid::new_v4().as_simple()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).await?;
        Ok(Staged { dir, files: Vec::new(), digests: Vec::new() })
    }

    /// Where the uploads of a job are, below [`Self::root`].
    #[must_use]
    pub fn below(job: JobId) -> PathBuf {
        PathBuf::from(job.to_string())
    }

    /// The directory of all uploads.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What reads of them go through.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(super) fn path(&self, job: JobId, upload: &Upload) -> PathBuf {
        self.root.join(Self::below(job)).join(&upload.file)
    }

    /// Gives staged files to a job, durably.
    pub(super) async fn adopt(&self, job: JobId, staged: &Staged) -> io::Result<()> {
        let dir = self.root.join(Self::below(job));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).await?;
        for upload in &staged.files {
            fs::rename(staged.dir.join(&upload.file), dir.join(&upload.file)).await?;
        }
        File::open(&dir).await?.sync_all().await?;
        File::open(&self.root).await?.sync_all().await
    }

    /// Removes uploads that a job has no longer.
    pub(super) async fn discard(&self, job: JobId, uploads: impl Iterator<Item = &Upload>) {
        for upload in uploads {
            let path = self.path(job, upload);
            if let Err(error) = fs::remove_file(&path).await
                && error.kind() != io::ErrorKind::NotFound
            {
                warn!("{} could not be removed: {error}", path.display());
            }
        }
    }

    /// Removes all uploads of a job.
    pub(super) async fn remove(&self, job: JobId) -> io::Result<()> {
        absent_is_fine(fs::remove_dir_all(self.root.join(Self::below(job))).await)
    }

    /// Removes what no job has: requests that a crash cut short.
    pub(super) async fn sweep(&self, store: &dyn Store) -> Result<(), StoreError> {
        let Ok(mut entries) = fs::read_dir(&self.root).await else { return Ok(()) };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_owned = match name.parse() {
                Ok(job) => store.job(job).await?.is_some(),
                Err(_) => !name.starts_with(NEW),
            };
            if !is_owned && let Err(error) = absent_is_fine(fs::remove_dir_all(entry.path()).await) {
                warn!("{} could not be removed: {error}", entry.path().display());
            }
        }
        Ok(())
    }
}

impl Staged {
    /// Begins a file.
    ///
    /// # Errors
    /// The system's.
    pub async fn begin(
        &self,
        name: String,
        media_type: Option<String>,
        source: Option<String>,
    ) -> io::Result<Arriving> {
        let upload = Upload { name, media_type, size: 0, file: Uuid::new_v4().as_simple().to_string(), source };
        let path = self.dir.join(&upload.file);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).await?;
        Ok(Arriving { file, upload, digest: digest::Context::new(&digest::SHA256) })
    }

    /// Keeps a file that is whole, and makes it durable.
    ///
    /// # Errors
    /// The system's.
    pub async fn keep(&mut self, arriving: Arriving) -> io::Result<()> {
        let Arriving { mut file, upload, digest } = arriving;
        file.flush().await?;
        file.sync_all().await?;
        self.files.push(upload);
        self.digests.push(digest.finish());
        Ok(())
    }

    /// What has arrived.
    #[must_use]
    pub fn files(&self) -> &[Upload] {
        &self.files
    }

    /// What has arrived, each with a digest of its content.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&Upload, &[u8])> {
        self.files.iter().zip(self.digests.iter().map(AsRef::as_ref))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What was adopted is no longer in it.
        if std::fs::remove_dir(&self.dir).is_ok() {
            return;
        }
        // All that a request brought which was refused: the next start sweeps what is not removed any more.
        let dir = std::mem::take(&mut self.dir);
        let remove = move || drop(std::fs::remove_dir_all(dir));
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

impl Arriving {
    /// Appends to it.
    ///
    /// # Errors
    /// The system's.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await?;
        self.upload.size += bytes.len() as u64;
        self.digest.update(bytes);
        Ok(())
    }
}

/// Uploads of `before` that are not in `after`.
pub(super) fn replaced<'a>(before: &'a Work, after: &'a Work) -> impl Iterator<Item = &'a Upload> {
    before.uploads.iter().filter(|old| !after.uploads.iter().any(|new| new.file == old.file))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
