//! Where jobs are kept.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{
    Facts, IdempotencyKey, Job, JobFilter, JobId, JobRef, JobResult, NewJob, Outcome, Overuse, OwnerId, Page, Phase,
    Reason, Reservation, RunId, Timestamp, Work,
};

use super::store_error::StoreError;

/// What a driver writes when a job begins to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// When it is launched; the true start replaces it at the end.
    pub started_at: Timestamp,
    /// What is known about the run.
    pub facts: Facts,
}

/// What a driver writes when a job has ended: one fact, one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// How it ended; decides the final phase.
    pub outcome: Outcome,
    /// When its command started, if it did and the backend knows better than [`Launch::started_at`].
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How long it executed, by a clock that nobody sets, if it did and that is known.
    pub ran: Option<Duration>,
    /// What it left, in name order.
    pub results: Vec<JobResult>,
    /// What became known about its run, if more than was written before.
    pub facts: Option<Facts>,
    /// If the job was deleted: until when the JSON API tells of its end.
    pub visible_for: Duration,
}

/// A change of a job's phase; compared and set.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// PENDING, or HELD by nobody any more, to QUEUED: the client commits it (UWS 1.1 §2.2.3.5).
    Run {
        /// The uptime of the host.
        since_boot: Duration,
        /// Whether that is refused while another job of its service is on its way.
        is_exclusive: bool,
    },
    /// PENDING or QUEUED to HELD: an operator keeps it from running.
    Hold,
    /// HELD by an operator while it was QUEUED: back to QUEUED at this uptime of the host.
    Release(Duration),
    /// EXECUTING to SUSPENDED at this uptime of the host.
    Suspend(Duration),
    /// SUSPENDED to EXECUTING at this uptime of the host.
    Resume(Duration),
    /// A final phase to ARCHIVED: its results are gone, its record is kept until then.
    Archive {
        /// When the record goes too.
        until: Timestamp,
    },
    /// QUEUED to EXECUTING.
    Launch(Box<Launch>),
    /// Any phase that is not final to the phase of the outcome's reason.
    End(Box<End>),
}

/// A change of a job that leaves its phase alone; in a later phase it is refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// What it is asked to do: while [`Job::is_open`] (UWS 1.1 §2.1.11).
    Work(Work, Reservation),
    /// The client's own name for it: while [`Job::is_open`].
    RunId(RunId),
    /// How long it may execute: until it executes (UWS 1.1 §2.2.3.4).
    ExecutionDuration(Option<Duration>),
    /// When it is destroyed: in any phase but ARCHIVED (UWS 1.1 §2.2.3.3).
    Destruction(Option<Timestamp>),
    /// Its files are given up for want of room: its results go from the record, and the files are to be removed; once it
    /// has ended.
    GiveUpFiles(Timestamp),
    /// An operator holds it no longer, but as it was PENDING before its client runs it: while HELD.
    LetGo,
    /// An operator puts it before others, from 0 to 100: until it executes.
    Priority(u32),
    /// Its execution limit was reached while it ran, and it is stopped for that now: while EXECUTING.
    LimitReached,
    /// Its files took too much while it ran, and it is stopped for that now: while EXECUTING or SUSPENDED.
    Overused(Overuse),
    /// None of its runs had been started, and they are now: while EXECUTING.
    LateStart {
        /// When they are.
        started_at: Timestamp,
        /// What is known about the run, the uptime of the host then with it.
        facts: Box<Facts>,
    },
}

impl Update {
    /// Whether a job as it stands may be changed so.
    #[must_use]
    pub const fn is_allowed(&self, job: &Job) -> bool {
        match self {
            Self::Work(..) | Self::RunId(_) => job.is_open(),
            Self::ExecutionDuration(_) | Self::Priority(_) => {
                matches!(job.phase, Phase::Pending | Phase::Held | Phase::Queued)
            }
            Self::Destruction(_) => !matches!(job.phase, Phase::Archived),
            Self::GiveUpFiles(_) => job.has_files(),
            Self::LetGo => matches!(job.phase, Phase::Held),
            Self::LateStart { .. } | Self::LimitReached => matches!(job.phase, Phase::Executing),
            Self::Overused(_) => matches!(job.phase, Phase::Executing | Phase::Suspended),
        }
    }
}

/// A job that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The job.
    pub job: Job,
    /// Whether it is the one that an earlier request with the same idempotency key made.
    pub is_replay: bool,
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The job after it.
    pub job: Job,
    /// The phase before it.
    pub from: Phase,
    /// Of a launch: how long the job had been QUEUED, by a clock that nobody sets.
    pub waited: Option<Duration>,
}

/// One committed change of a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The event's sequence number.
    pub seq: i64,
    /// The job.
    pub job: JobId,
    /// When it was committed.
    pub at: Timestamp,
    /// The phase before; `None` at creation.
    pub from: Option<Phase>,
    /// The phase after.
    pub to: Phase,
    /// Why, for a final phase.
    pub reason: Option<Reason>,
}

/// A job that waits for its turn: as much as admission needs.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuedJob {
    /// The order of acceptance.
    pub seq: i64,
    /// The job.
    pub id: JobId,
    /// The service (job list) that it belongs to.
    pub service: String,
    /// The owner; `None` if the creator was anonymous.
    pub owner: Option<OwnerId>,
    /// What it would take from the budget.
    pub reservation: Reservation,
    /// How much an operator puts it before others.
    pub priority: u32,
    /// How long it has been QUEUED.
    pub waited: Duration,
}

/// A job that was deleted and whose files are still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedJob {
    /// The order of acceptance.
    pub seq: i64,
    /// The job.
    pub id: JobId,
    /// The image that ran it, if it came that far.
    pub image: Option<String>,
    /// Whether its files were given up for want of room.
    pub is_given_up: bool,
}

/// What is left of a job that was destroyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroyed {
    /// The service (job list) that it belonged to.
    pub service: String,
    /// The owner; `None` if the creator was anonymous.
    pub owner: Option<OwnerId>,
    /// When it was destroyed, by its destruction time or a client: not before its end. Of one that has still to be brought
    /// to its end, since when that is so.
    pub at: Timestamp,
    /// How far that is.
    pub progress: Destruction,
}

/// How far the destruction of a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destruction {
    /// A client deleted the job, which has still to be brought to its end.
    Deleted,
    /// The destruction time of the job has come, which has still to be brought to its end.
    Expired,
    /// The job has ended.
    Done,
}

/// How many jobs there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Jobs that wait: PENDING, QUEUED, HELD.
    pub waiting: u64,
    /// Jobs that execute or are suspended.
    pub executing: u64,
}

/// How many jobs of a service are in a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobCount {
    /// The service.
    pub service: String,
    /// The phase.
    pub phase: Phase,
    /// How many.
    pub jobs: u64,
}

/// Where jobs are kept. Each method is one fact, committed and durable when it returns, or not written at all.
#[async_trait]
pub trait Store: Send + Sync {
    /// Writes something that changes nothing: whether it can, and whether that lasts.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Unwritable`], [`StoreError::Replaced`], [`StoreError::Failed`].
    async fn check(&self) -> Result<(), StoreError>;

    /// Waits for a write that fails because nothing can be written, also one that has since the last [`Store::check`] began;
    /// returns its error. Dropping the future is safe.
    async fn unwritable(&self) -> StoreError;

    /// Accepts a job, with the event of its creation; with an idempotency key that the owner has used before nothing is
    /// written, and the first job is the answer.
    ///
    /// # Errors
    /// [`StoreError::KeyReused`], [`StoreError::Busy`], [`StoreError::Full`], [`StoreError::Failed`].
    async fn submit(&self, job: NewJob) -> Result<Accepted, StoreError>;

    /// The job that a request of this owner with this idempotency key made.
    ///
    /// # Errors
    /// [`StoreError::KeyReused`] if that was another request; [`StoreError::Failed`].
    async fn made_by(&self, owner: Option<&OwnerId>, key: &IdempotencyKey) -> Result<Option<Job>, StoreError>;

    /// The job, also one that was deleted and not yet forgotten: look at [`Job::deletion`].
    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreError>;

    /// What is left of a job that was destroyed: of one that is deleted, and of the last ones that were forgotten.
    async fn destroyed(&self, id: JobId) -> Result<Option<Destroyed>, StoreError>;

    /// A page of the jobs that `filter` lets through, newest first; without deleted ones.
    async fn jobs(&self, filter: &JobFilter, page: Page) -> Result<Vec<Job>, StoreError>;

    /// The same page in the short form, read from an index.
    async fn job_refs(&self, filter: &JobFilter, page: Page) -> Result<Vec<JobRef>, StoreError>;

    /// How long the last `limit` jobs of the service that COMPLETED have executed, the newest first.
    async fn run_times(&self, service: &str, limit: u32) -> Result<Vec<Duration>, StoreError>;

    /// How many jobs are QUEUED with a smaller sequence number than `before`; counts no further than `limit`.
    async fn queued_before(&self, before: i64, limit: u32) -> Result<u32, StoreError>;

    /// Changes the phase of a job, with the event of it, if the transition table allows it from where the job is.
    ///
    /// # Errors
    /// [`StoreError::PhaseChanged`] if not; [`StoreError::Busy`], [`StoreError::NoSuchJob`].
    async fn change(&self, id: JobId, change: Change, now: Timestamp) -> Result<Changed, StoreError>;

    /// Changes a job without moving it, in all these ways or in none.
    ///
    /// # Errors
    /// [`StoreError::PhaseChanged`], with the phase as both ends, if it is too late; [`StoreError::NoSuchJob`].
    async fn update(&self, id: JobId, updates: Vec<Update>) -> Result<Job, StoreError>;

    /// Notes that an abort of the job was asked for; of a job that has ended nothing is noted. Returns the job.
    async fn request_abort(&self, id: JobId) -> Result<Option<Job>, StoreError>;

    /// Notes that the job is deleted. A job that is not final is also noted as to be aborted. The first note stays.
    async fn request_deletion(&self, id: JobId, now: Timestamp) -> Result<Option<Job>, StoreError>;

    /// Jobs that are QUEUED at this uptime of the host, of none of the services `without`, oldest first: of each service and
    /// owner the first `limit`, those before others that an operator put there.
    async fn queued(&self, without: &[String], limit: u32, since_boot: Duration) -> Result<Vec<QueuedJob>, StoreError>;

    /// At most `limit` QUEUED jobs of the service that at this uptime of the host have waited for `wait`; since its boot, if
    /// they were queued before that.
    async fn overdue(
        &self,
        service: &str,
        wait: Duration,
        since_boot: Duration,
        limit: u32,
    ) -> Result<Vec<JobId>, StoreError>;

    /// Every job that is EXECUTING or SUSPENDED, oldest first.
    async fn executing(&self) -> Result<Vec<Job>, StoreError>;

    /// Every job that has not ended and whose abort was asked for: a crash may have come between the wish and the deed.
    async fn abort_requested(&self) -> Result<Vec<JobId>, StoreError>;

    /// Notes that the destruction time of a job came before its end: it is to be aborted, and archived then.
    async fn request_expiry(&self, id: JobId) -> Result<Option<Job>, StoreError>;

    /// At most `limit` jobs whose destruction time has come, or that of their record if they are ARCHIVED, not deleted
    /// yet nor on their way to it, and the next such time after `now`.
    async fn due_for_destruction(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<(Vec<JobId>, Option<Timestamp>), StoreError>;

    /// At most `limit` jobs that have ended before `at` and still have their files, those that ended first.
    async fn ended_before(&self, at: Timestamp, limit: u32) -> Result<Vec<JobId>, StoreError>;

    /// At most `limit` final jobs, deleted, ARCHIVED or without claim to their files, with a greater sequence number than `after` whose files are to be
    /// removed, oldest first.
    async fn deleted(&self, after: i64, limit: u32) -> Result<Vec<DeletedJob>, StoreError>;

    /// Notes that the files of a deleted or ARCHIVED job, or one that gave them up, are gone.
    async fn files_removed(&self, id: JobId) -> Result<(), StoreError>;

    /// Forgets at most `limit` deleted jobs whose files are gone and whose visibility ended before `now`, fewer of jobs with many
    /// results; returns how many, and when the next one is due. What [`Store::destroyed`] tells stays.
    async fn forget(&self, now: Timestamp, limit: u32) -> Result<(u32, Option<Timestamp>), StoreError>;

    /// Since when an operator drains the daemon, if that is so.
    async fn drained(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Notes since when an operator drains the daemon, or that nobody does any more. The first time stays; returns what is
    /// noted now.
    async fn set_drained(&self, since: Option<Timestamp>) -> Result<Option<Timestamp>, StoreError>;

    /// How many jobs there are.
    async fn totals(&self) -> Result<Totals, StoreError>;

    /// How many jobs have not ended, deleted ones too, by service and phase. Takes as long as these are many.
    async fn count_active(&self) -> Result<Vec<JobCount>, StoreError>;

    /// How many jobs have ended and were not deleted, by service and phase. Takes as long as all jobs are many, 0.1 to
    /// 0.3 s for a million.
    async fn count_ended(&self) -> Result<Vec<JobCount>, StoreError>;

    /// At most `limit` events with a greater sequence number than `after`, oldest first.
    async fn events(&self, after: i64, limit: u32) -> Result<Vec<Event>, StoreError>;
}
