//! A store before the real one, as request handlers see it, and where a test wants it the supervisor too: it counts pages and
//! breaks where a test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use uwsd::domain::{IdempotencyKey, Job, JobFilter, JobId, JobRef, NewJob, OwnerId, Page, Timestamp};
use uwsd::ports::{
    Accepted, Change, Changed, DeletedJob, Destroyed, Event, JobCount, QueuedJob, Store, StoreError, Totals, Update,
};
use uwsd::sqlite::SqliteStore;

use crate::bed::{Bed, Daemon};

pub struct OddStore {
    real: Arc<SqliteStore>,
    /// How many pages of jobs were read.
    pub pages: AtomicU32,
    /// The most bytes of work that one of them held.
    pub largest: AtomicUsize,
    /// Whether looking at a job panics.
    pub panics: AtomicBool,
    /// Whether the list breaks after its first page, and looking at a job fails.
    pub fails: AtomicBool,
    /// Whether there is no room for a change of a phase.
    pub is_full: AtomicBool,
    /// What a change of a job's terms waits for; it panics if that is closed.
    pub updates: Semaphore,
}

impl OddStore {
    pub fn new(real: Arc<SqliteStore>) -> Self {
        Self {
            real,
            pages: AtomicU32::new(0),
            largest: AtomicUsize::new(0),
            panics: AtomicBool::new(false),
            fails: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            updates: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }
}

/// A daemon whose request handlers see such a store.
pub async fn odd(bed: Bed) -> (Daemon, Arc<OddStore>) {
    let mut odd = None;
    let daemon = bed
        .start_over(|real| {
            let store = Arc::new(OddStore::new(real));
            odd = Some(Arc::clone(&store));
            store as Arc<dyn Store>
        })
        .await;
    (daemon, odd.expect("made"))
}

fn broken(doing: &'static str) -> StoreError {
    StoreError::Failed { doing, source: "disk I/O error on /secret/path".into() }
}

#[async_trait]
impl Store for OddStore {
    async fn check(&self) -> Result<(), StoreError> {
        self.real.check().await
    }

    async fn unwritable(&self) -> StoreError {
        self.real.unwritable().await
    }

    async fn drained(&self) -> Result<Option<Timestamp>, StoreError> {
        self.real.drained().await
    }

    async fn set_drained(&self, since: Option<Timestamp>) -> Result<Option<Timestamp>, StoreError> {
        self.real.set_drained(since).await
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        assert!(!self.panics.load(Ordering::SeqCst), "the test wants it");
        if self.fails.load(Ordering::SeqCst) { Err(broken("reading a job")) } else { self.real.job(id).await }
    }

    async fn destroyed(&self, id: JobId) -> Result<Option<Destroyed>, StoreError> {
        self.real.destroyed(id).await
    }

    async fn jobs(&self, filter: &JobFilter, page: Page) -> Result<Vec<Job>, StoreError> {
        let before = self.pages.fetch_add(1, Ordering::SeqCst);
        if before > 0 && self.fails.load(Ordering::SeqCst) {
            return Err(broken("listing jobs"));
        }
        let jobs = self.real.jobs(filter, page).await?;
        self.largest.fetch_max(jobs.iter().map(|job| job.work.size()).sum(), Ordering::SeqCst);
        Ok(jobs)
    }

    async fn job_refs(&self, filter: &JobFilter, page: Page) -> Result<Vec<JobRef>, StoreError> {
        self.real.job_refs(filter, page).await
    }
    async fn run_times(&self, service: &str, limit: u32) -> Result<Vec<Duration>, StoreError> {
        self.real.run_times(service, limit).await
    }
    async fn queued_before(&self, before: i64, limit: u32) -> Result<u32, StoreError> {
        self.real.queued_before(before, limit).await
    }
    async fn request_expiry(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.real.request_expiry(id).await
    }
    async fn made_by(&self, owner: Option<&OwnerId>, key: &IdempotencyKey) -> Result<Option<Job>, StoreError> {
        self.real.made_by(owner, key).await
    }
    async fn submit(&self, job: NewJob) -> Result<Accepted, StoreError> {
        self.real.submit(job).await
    }
    async fn change(&self, id: JobId, change: Change, now: Timestamp) -> Result<Changed, StoreError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(StoreError::Full { doing: "changing a job's phase" });
        }
        self.real.change(id, change, now).await
    }
    async fn update(&self, id: JobId, updates: Vec<Update>) -> Result<Job, StoreError> {
        let _turn = self.updates.acquire().await.expect("the test closes it for a panic");
        self.real.update(id, updates).await
    }

    async fn request_abort(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.real.request_abort(id).await
    }
    async fn request_deletion(&self, id: JobId, now: Timestamp) -> Result<Option<Job>, StoreError> {
        self.real.request_deletion(id, now).await
    }
    async fn queued(&self, without: &[String], limit: u32, since_boot: Duration) -> Result<Vec<QueuedJob>, StoreError> {
        self.real.queued(without, limit, since_boot).await
    }
    async fn overdue(
        &self,
        service: &str,
        wait: Duration,
        since_boot: Duration,
        limit: u32,
    ) -> Result<Vec<JobId>, StoreError> {
        self.real.overdue(service, wait, since_boot, limit).await
    }
    async fn executing(&self) -> Result<Vec<Job>, StoreError> {
        self.real.executing().await
    }
    async fn abort_requested(&self) -> Result<Vec<JobId>, StoreError> {
        self.real.abort_requested().await
    }
    async fn due_for_destruction(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<(Vec<JobId>, Option<Timestamp>), StoreError> {
        self.real.due_for_destruction(now, limit).await
    }
    async fn ended_before(&self, at: Timestamp, limit: u32) -> Result<Vec<JobId>, StoreError> {
        self.real.ended_before(at, limit).await
    }
    async fn deleted(&self, after: i64, limit: u32) -> Result<Vec<DeletedJob>, StoreError> {
        self.real.deleted(after, limit).await
    }
    async fn files_removed(&self, id: JobId) -> Result<(), StoreError> {
        self.real.files_removed(id).await
    }
    async fn forget(&self, now: Timestamp, limit: u32) -> Result<(u32, Option<Timestamp>), StoreError> {
        self.real.forget(now, limit).await
    }
    async fn totals(&self) -> Result<Totals, StoreError> {
        self.real.totals().await
    }
    async fn count_active(&self) -> Result<Vec<JobCount>, StoreError> {
        self.real.count_active().await
    }
    async fn count_ended(&self) -> Result<Vec<JobCount>, StoreError> {
        self.real.count_ended().await
    }
    async fn events(&self, after: i64, limit: u32) -> Result<Vec<Event>, StoreError> {
        self.real.events(after, limit).await
    }
}
