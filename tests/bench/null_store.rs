//! A store that keeps nothing: what is left of a submission's cost is the HTTP stack's.

use std::time::Duration;

use async_trait::async_trait;
use uwsd::domain::{IdempotencyKey, Job, JobFilter, JobId, JobRef, NewJob, OwnerId, Page, Timestamp};
use uwsd::ports::{
    Accepted, Change, Changed, DeletedJob, Destroyed, Event, ImageFacts, ImageOfFiles, Images, JobCount, PulledImage,
    QueuedJob, Store, StoreError, Totals, Update,
};

pub struct NullStore;

#[async_trait]
impl Store for NullStore {
    async fn drained(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    async fn set_drained(&self, since: Option<Timestamp>) -> Result<Option<Timestamp>, StoreError> {
        Ok(since)
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
    async fn unwritable(&self) -> StoreError {
        std::future::pending().await
    }
    async fn submit(&self, job: NewJob) -> Result<Accepted, StoreError> {
        Ok(Accepted { job: job.accepted(0), is_replay: false })
    }

    async fn made_by(&self, _: Option<&OwnerId>, _: &IdempotencyKey) -> Result<Option<Job>, StoreError> {
        Ok(None)
    }

    async fn job(&self, _: JobId) -> Result<Option<Job>, StoreError> {
        Ok(None)
    }

    async fn destroyed(&self, _: JobId) -> Result<Option<Destroyed>, StoreError> {
        Ok(None)
    }

    async fn jobs(&self, _: &JobFilter, _: Page) -> Result<Vec<Job>, StoreError> {
        Ok(Vec::new())
    }

    async fn job_refs(&self, _: &JobFilter, _: Page) -> Result<Vec<JobRef>, StoreError> {
        Ok(Vec::new())
    }

    async fn run_times(&self, _: &str, _: u32) -> Result<Vec<Duration>, StoreError> {
        Ok(Vec::new())
    }

    async fn queued_before(&self, _: i64, _: u32) -> Result<u32, StoreError> {
        Ok(0)
    }

    async fn change(&self, id: JobId, _: Change, _: Timestamp) -> Result<Changed, StoreError> {
        Err(StoreError::NoSuchJob(id))
    }

    async fn update(&self, id: JobId, _: Vec<Update>) -> Result<Job, StoreError> {
        Err(StoreError::NoSuchJob(id))
    }

    async fn request_abort(&self, _: JobId) -> Result<Option<Job>, StoreError> {
        Ok(None)
    }

    async fn request_deletion(&self, _: JobId, _: Timestamp) -> Result<Option<Job>, StoreError> {
        Ok(None)
    }

    async fn queued(&self, _: &[String], _: u32, _: Duration) -> Result<Vec<QueuedJob>, StoreError> {
        Ok(Vec::new())
    }

    async fn overdue(&self, _: &str, _: Duration, _: Duration, _: u32) -> Result<Vec<JobId>, StoreError> {
        Ok(Vec::new())
    }

    async fn executing(&self) -> Result<Vec<Job>, StoreError> {
        Ok(Vec::new())
    }

    async fn abort_requested(&self) -> Result<Vec<JobId>, StoreError> {
        Ok(Vec::new())
    }

    async fn request_expiry(&self, _: JobId) -> Result<Option<Job>, StoreError> {
        Ok(None)
    }

    async fn due_for_destruction(&self, _: Timestamp, _: u32) -> Result<(Vec<JobId>, Option<Timestamp>), StoreError> {
        Ok((Vec::new(), None))
    }

    async fn ended_before(&self, _: Timestamp, _: u32) -> Result<Vec<JobId>, StoreError> {
        Ok(Vec::new())
    }

    async fn deleted(&self, _: i64, _: u32) -> Result<Vec<DeletedJob>, StoreError> {
        Ok(Vec::new())
    }

    async fn files_removed(&self, _: JobId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn forget(&self, _: Timestamp, _: u32) -> Result<(u32, Option<Timestamp>), StoreError> {
        Ok((0, None))
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        Ok(Totals::default())
    }

    async fn count_active(&self) -> Result<Vec<JobCount>, StoreError> {
        Ok(Vec::new())
    }

    async fn count_ended(&self) -> Result<Vec<JobCount>, StoreError> {
        Ok(Vec::new())
    }

    async fn events(&self, _: i64, _: u32) -> Result<Vec<Event>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Images for NullStore {
    async fn pulling(&self, _: Vec<String>, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn used(&self, _: String, _: ImageFacts, _: Timestamp) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn still_used(&self, _: String, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn pulled(&self, _: String, _: String) -> Result<(), StoreError> {
        Ok(())
    }

    async fn unused_since(&self, _: Timestamp) -> Result<Vec<PulledImage>, StoreError> {
        Ok(Vec::new())
    }

    async fn of_files(&self) -> Result<Vec<ImageOfFiles>, StoreError> {
        Ok(Vec::new())
    }

    async fn forget_image(&self, _: String) -> Result<(), StoreError> {
        Ok(())
    }
}
