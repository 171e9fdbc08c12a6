//! The store's methods, one short one an operation.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{IdempotencyKey, Job, JobFilter, JobId, JobRef, NewJob, OwnerId, Page, Timestamp};
use crate::ports::{
    Accepted, Change, Changed, DeletedJob, Destroyed, Event, ImageFacts, ImageOfFiles, Images, JobCount, PulledImage,
    QueuedJob, Store, StoreError, Totals, Update,
};

use super::error::OpenError;
use super::jobs::Inserted;
use super::opened::OpenedFile;
use super::readers::Readers;
use super::reserve::Reserve;
use super::thread::Writer;
use super::{changes, counts, events, images, jobs, list, meta, open, retention};

/// Jobs in a SQLite database.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    instance_id: String,
    file: OpenedFile,
}

impl SqliteStore {
    /// Opens the database at `path`, makes it if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`], whose text says what to do.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = open::open_writer(path)?;
        let unseen = |source| OpenError::Io { path: path.to_owned(), source };
        let file = OpenedFile::at(path).map_err(unseen)?;
        let instance_id =
            meta::instance_id(&connection).map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
        let readers = Readers::open(path)?;
        let writer = Writer::start(connection, Reserve::of(path)).map_err(unseen)?;
        Ok(Self { writer, readers, instance_id, file })
    }

    /// The identity of this installation, made with the database.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        &self.instance_id
    }

    /// Waits until the writing thread has ended, which it only does by a panic while the store is open.
    pub async fn ended(&self) {
        self.writer.ended().await;
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn submit(&self, job: NewJob) -> Result<Accepted, StoreError> {
        let job = Arc::new(job);
        let new = Arc::clone(&job);
        let inserted = self.writer.write("accepting a job", move |c| jobs::insert(c, &new)).await?;
        Ok(match inserted {
            Inserted::New(seq) => Accepted { job: Arc::unwrap_or_clone(job).accepted(seq), is_replay: false },
            Inserted::Before(job) => Accepted { job: *job, is_replay: true },
        })
    }

    async fn made_by(&self, owner: Option<&OwnerId>, key: &IdempotencyKey) -> Result<Option<Job>, StoreError> {
        let (owner, key) = (owner.cloned(), key.clone());
        self.readers.read(move |c| jobs::made_by(c, owner.as_ref(), &key)).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.writer.forget_failure();
        let file = self.file.clone();
        let doing = "looking whether it can be written";
        self.writer.write(doing, move |c| file.must_be_there().and_then(|()| open::rewrite_version(c))).await
    }

    async fn unwritable(&self) -> StoreError {
        self.writer.failure().await
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.readers.read(move |c| jobs::load(c, id)).await
    }

    async fn destroyed(&self, id: JobId) -> Result<Option<Destroyed>, StoreError> {
        self.readers.read(move |c| retention::destroyed(c, id)).await
    }

    async fn jobs(&self, filter: &JobFilter, page: Page) -> Result<Vec<Job>, StoreError> {
        let filter = filter.clone();
        self.readers.read(move |c| list::page(c, &filter, page)).await
    }

    async fn job_refs(&self, filter: &JobFilter, page: Page) -> Result<Vec<JobRef>, StoreError> {
        let filter = filter.clone();
        self.readers.read(move |c| list::page_of_refs(c, &filter, page)).await
    }

    async fn run_times(&self, service: &str, limit: u32) -> Result<Vec<Duration>, StoreError> {
        let service = service.to_owned();
        self.readers.read(move |c| list::run_times(c, &service, limit)).await
    }

    async fn queued_before(&self, before: i64, limit: u32) -> Result<u32, StoreError> {
        self.readers.read(move |c| list::queued_before(c, before, limit)).await
    }

    async fn change(&self, id: JobId, change: Change, now: Timestamp) -> Result<Changed, StoreError> {
        self.writer.write("changing a job's phase", move |c| changes::change(c, id, &change, now)).await
    }

    async fn update(&self, id: JobId, updates: Vec<Update>) -> Result<Job, StoreError> {
        self.writer.write("changing a job", move |c| jobs::update(c, id, &updates)).await
    }

    async fn request_abort(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.writer.write("noting that a job is to be aborted", move |c| jobs::request_abort(c, id)).await
    }

    async fn request_deletion(&self, id: JobId, now: Timestamp) -> Result<Option<Job>, StoreError> {
        self.writer.write("noting that a job is deleted", move |c| jobs::request_deletion(c, id, now)).await
    }

    async fn queued(&self, without: &[String], limit: u32, since_boot: Duration) -> Result<Vec<QueuedJob>, StoreError> {
        let without = without.to_vec();
        self.readers.read(move |c| list::queued(c, &without, limit, since_boot)).await
    }

    async fn overdue(
        &self,
        service: &str,
        wait: Duration,
        since_boot: Duration,
        limit: u32,
    ) -> Result<Vec<JobId>, StoreError> {
        let service = service.to_owned();
        self.readers.read(move |c| list::overdue(c, &service, wait, since_boot, limit)).await
    }

    async fn executing(&self) -> Result<Vec<Job>, StoreError> {
        self.readers.read(list::executing).await
    }

    async fn abort_requested(&self) -> Result<Vec<JobId>, StoreError> {
        self.readers.read(list::abort_requested).await
    }

    async fn request_expiry(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.writer.write("noting that a job's time is over", move |c| jobs::request_expiry(c, id)).await
    }

    async fn due_for_destruction(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<(Vec<JobId>, Option<Timestamp>), StoreError> {
        self.readers.read(move |c| retention::due_for_destruction(c, now, limit)).await
    }

    async fn ended_before(&self, at: Timestamp, limit: u32) -> Result<Vec<JobId>, StoreError> {
        self.readers.read(move |c| retention::ended_before(c, at, limit)).await
    }

    async fn deleted(&self, after: i64, limit: u32) -> Result<Vec<DeletedJob>, StoreError> {
        self.readers.read(move |c| retention::deleted(c, after, limit)).await
    }

    async fn files_removed(&self, id: JobId) -> Result<(), StoreError> {
        self.writer.write("noting that a job's files are gone", move |c| retention::files_removed(c, id)).await
    }

    async fn forget(&self, now: Timestamp, limit: u32) -> Result<(u32, Option<Timestamp>), StoreError> {
        self.writer.write("forgetting deleted jobs", move |c| retention::forget(c, now, limit)).await
    }

    async fn drained(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers.read(meta::drained).await
    }

    async fn set_drained(&self, since: Option<Timestamp>) -> Result<Option<Timestamp>, StoreError> {
        self.writer.write("noting whether the daemon is drained", move |c| meta::set_drained(c, since)).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.readers.read(list::totals).await
    }

    async fn count_active(&self) -> Result<Vec<JobCount>, StoreError> {
        self.readers.read(counts::active).await
    }

    async fn count_ended(&self) -> Result<Vec<JobCount>, StoreError> {
        self.readers.read(counts::ended).await
    }

    async fn events(&self, after: i64, limit: u32) -> Result<Vec<Event>, StoreError> {
        self.readers.read(move |c| events::after(c, after, limit)).await
    }
}

#[async_trait]
impl Images for SqliteStore {
    async fn pulling(&self, names: Vec<String>, now: Timestamp) -> Result<(), StoreError> {
        self.writer.write("noting that an image is pulled", move |c| images::pulling(c, &names, now)).await
    }

    async fn used(&self, name: String, facts: ImageFacts, now: Timestamp) -> Result<Option<String>, StoreError> {
        self.writer.write("noting that an image is used", move |c| images::used(c, &name, &facts, now)).await
    }

    async fn still_used(&self, name: String, now: Timestamp) -> Result<(), StoreError> {
        self.writer.write("noting that an image is still used", move |c| images::still_used(c, &name, now)).await
    }

    async fn pulled(&self, name: String, id: String) -> Result<(), StoreError> {
        self.writer.write("noting that an image was pulled", move |c| images::pulled(c, &name, &id)).await
    }

    async fn unused_since(&self, before: Timestamp) -> Result<Vec<PulledImage>, StoreError> {
        self.readers.read(move |c| images::unused_since(c, before)).await
    }

    async fn of_files(&self) -> Result<Vec<ImageOfFiles>, StoreError> {
        self.readers.read(images::of_files).await
    }

    async fn forget_image(&self, name: String) -> Result<(), StoreError> {
        self.writer.write("forgetting an image", move |c| images::forget(c, &name)).await
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_file_that_is_removed_or_replaced_is_told_until_it_is_back() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (path, aside) = (dir.path().join("uwsd.db"), dir.path().join("aside"));
        let store = SqliteStore::open(&path).expect("made");
        store.check().await.expect("it is there");
        fs::rename(&path, &aside).expect("moved");
        let is_told = async || matches!(store.check().await, Err(StoreError::Replaced { path: at }) if at == path);
        assert!(is_told().await, "there is none");
        fs::copy(&aside, &path).expect("copied");
        assert!(is_told().await, "another one says the same");
        fs::rename(&aside, &path).expect("moved back");
        store.check().await.expect("it is there again");
    }
}
