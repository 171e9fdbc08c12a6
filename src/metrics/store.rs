//! A store whose writes are timed and whose changes of phases are counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::exposition::Metrics;
use crate::domain::{IdempotencyKey, Job, JobFilter, JobId, JobRef, NewJob, OwnerId, Page, Timestamp};
use crate::ports::{
    Accepted, Change, Changed, DeletedJob, Destroyed, Event, JobCount, QueuedJob, Store, StoreError, Totals, Update,
};

/// Passes everything on to another store. Since every change of a phase goes through a store, whoever asks for it, none
/// is missed and none counted twice.
pub struct MeasuredStore {
    inner: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

impl MeasuredStore {
    /// Counts what is written to `inner`.
    #[must_use]
    pub const fn new(inner: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }

    async fn write<T>(&self, write: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        let began = Instant::now();
        let result = write.await;
        self.metrics.database.wrote(began.elapsed());
        result.inspect_err(|error| self.metrics.database.failed(error))
    }

    async fn read<T>(&self, read: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        read.await.inspect_err(|error| self.metrics.database.failed(error))
    }
}

#[async_trait]
impl Store for MeasuredStore {
    async fn check(&self) -> Result<(), StoreError> {
        self.write(self.inner.check()).await
    }

    async fn unwritable(&self) -> StoreError {
        self.inner.unwritable().await
    }

    async fn drained(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(self.inner.drained()).await
    }

    async fn set_drained(&self, since: Option<Timestamp>) -> Result<Option<Timestamp>, StoreError> {
        self.write(self.inner.set_drained(since)).await
    }

    async fn submit(&self, job: NewJob) -> Result<Accepted, StoreError> {
        self.write(self.inner.submit(job)).await.inspect(|accepted| self.metrics.jobs.accepted(accepted))
    }

    async fn made_by(&self, owner: Option<&OwnerId>, key: &IdempotencyKey) -> Result<Option<Job>, StoreError> {
        self.read(self.inner.made_by(owner, key)).await
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.read(self.inner.job(id)).await
    }

    async fn destroyed(&self, id: JobId) -> Result<Option<Destroyed>, StoreError> {
        self.read(self.inner.destroyed(id)).await
    }

    async fn jobs(&self, filter: &JobFilter, page: Page) -> Result<Vec<Job>, StoreError> {
        self.read(self.inner.jobs(filter, page)).await
    }

    async fn job_refs(&self, filter: &JobFilter, page: Page) -> Result<Vec<JobRef>, StoreError> {
        self.read(self.inner.job_refs(filter, page)).await
    }

    async fn run_times(&self, service: &str, limit: u32) -> Result<Vec<Duration>, StoreError> {
        self.read(self.inner.run_times(service, limit)).await
    }

    async fn queued_before(&self, before: i64, limit: u32) -> Result<u32, StoreError> {
        self.read(self.inner.queued_before(before, limit)).await
    }

    async fn change(&self, id: JobId, change: Change, now: Timestamp) -> Result<Changed, StoreError> {
        self.write(self.inner.change(id, change, now)).await.inspect(|changed| self.metrics.jobs.changed(changed))
    }

    async fn update(&self, id: JobId, updates: Vec<Update>) -> Result<Job, StoreError> {
        self.write(self.inner.update(id, updates)).await
    }

    async fn request_abort(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.write(self.inner.request_abort(id)).await
    }

    async fn request_deletion(&self, id: JobId, now: Timestamp) -> Result<Option<Job>, StoreError> {
        self.write(self.inner.request_deletion(id, now)).await
    }

    async fn queued(&self, without: &[String], limit: u32, since_boot: Duration) -> Result<Vec<QueuedJob>, StoreError> {
        self.read(self.inner.queued(without, limit, since_boot)).await
    }

    async fn overdue(
        &self,
        service: &str,
        wait: Duration,
        since_boot: Duration,
        limit: u32,
    ) -> Result<Vec<JobId>, StoreError> {
        self.read(self.inner.overdue(service, wait, since_boot, limit)).await
    }

    async fn executing(&self) -> Result<Vec<Job>, StoreError> {
        self.read(self.inner.executing()).await
    }

    async fn abort_requested(&self) -> Result<Vec<JobId>, StoreError> {
        self.read(self.inner.abort_requested()).await
    }

    async fn request_expiry(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.write(self.inner.request_expiry(id)).await
    }

    async fn due_for_destruction(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<(Vec<JobId>, Option<Timestamp>), StoreError> {
        self.read(self.inner.due_for_destruction(now, limit)).await
    }

    async fn ended_before(&self, at: Timestamp, limit: u32) -> Result<Vec<JobId>, StoreError> {
        self.read(self.inner.ended_before(at, limit)).await
    }

    async fn deleted(&self, after: i64, limit: u32) -> Result<Vec<DeletedJob>, StoreError> {
        self.read(self.inner.deleted(after, limit)).await
    }

    async fn files_removed(&self, id: JobId) -> Result<(), StoreError> {
        self.write(self.inner.files_removed(id)).await
    }

    async fn forget(&self, now: Timestamp, limit: u32) -> Result<(u32, Option<Timestamp>), StoreError> {
        self.write(self.inner.forget(now, limit)).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.read(self.inner.totals()).await
    }

    async fn count_active(&self) -> Result<Vec<JobCount>, StoreError> {
        self.read(self.inner.count_active()).await
    }

    async fn count_ended(&self) -> Result<Vec<JobCount>, StoreError> {
        self.read(self.inner.count_ended()).await
    }

    async fn events(&self, after: i64, limit: u32) -> Result<Vec<Event>, StoreError> {
        self.read(self.inner.events(after, limit)).await
    }
}
