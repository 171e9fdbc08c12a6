//! A job, as the store keeps it.

use std::fmt;
use std::time::Duration;

use super::{JobId, JobResult, Outcome, OwnerId, Phase, Place, Reason, RunId, Timestamp, Upload, Work, shown_bytes};

/// What a job takes from the queue's budget while it runs, all replicas together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reservation {
    /// CPUs.
    pub cpus: f64,
    /// Memory in bytes.
    pub memory: u64,
}

/// What makes a request that is sent twice make one job: unique for each owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The client's key.
    pub key: String,
    /// A digest of what was asked for: the same key with another request is a mistake of the client's.
    pub fingerprint: [u8; 16],
}

/// A job that is about to be accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// The identifier.
    pub id: JobId,
    /// The service (job list) that it belongs to.
    pub service: String,
    /// The owner; `None` if the caller was anonymous.
    pub owner: Option<OwnerId>,
    /// The client's own name for it.
    pub run_id: Option<RunId>,
    /// The phase it begins in: PENDING or QUEUED.
    pub phase: Phase,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// The host's uptime then: from when on a QUEUED job has waited.
    pub since_boot: Duration,
    /// How long it may execute; `None`: without limit (UWS 1.1 §2.1.4).
    pub execution_duration: Option<Duration>,
    /// When it is destroyed; `None`: never (UWS 1.1 §2.1.5).
    pub destruction: Option<Timestamp>,
    /// What it takes from the queue's budget.
    pub reservation: Reservation,
    /// What it is asked to do.
    pub work: Work,
    /// The key of the request that makes it, if the client gave one.
    pub idempotency: Option<IdempotencyKey>,
    /// Whether it is refused while another job of its service is on its way.
    pub is_exclusive: bool,
}

impl NewJob {
    /// The job as it is once the store has accepted it under this sequence number.
    #[must_use]
    pub fn accepted(self, seq: i64) -> Job {
        Job {
            seq,
            id: self.id,
            service: self.service,
            owner: self.owner,
            run_id: self.run_id,
            phase: self.phase,
            created_at: self.created_at,
            started_at: None,
            ended_at: None,
            ran: None,
            execution_duration: self.execution_duration,
            destruction: self.destruction,
            reservation: self.reservation,
            work: self.work,
            facts: Facts::default(),
            outcome: None,
            results: Vec::new(),
            abort_requested: false,
            is_expired: false,
            limit_reached: false,
            overuse: None,
            held_from: None,
            suspension: Suspension::default(),
            cleaned_at: None,
            deletion: None,
        }
    }
}

/// What a queued job is doing, and how that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What it is doing.
    pub stage: Stage,
    /// How that goes, in a line for people; empty if there is nothing to tell.
    pub detail: String,
}

/// What a queued job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for a slot.
    Waiting,
    /// In a slot: its directories are being made.
    Preparing,
    /// In a slot: its image is being fetched.
    Pulling,
    /// In a slot: its source is being fetched.
    Cloning,
    /// In a slot: its container is being created.
    Creating,
}

impl Stage {
    /// The word that `jobInfo` shows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Preparing => "preparing",
            Self::Pulling => "pulling image",
            Self::Cloning => "fetching source",
            Self::Creating => "creating container",
        }
    }

    /// Whether it is the backend that the job waits for.
    #[must_use]
    pub const fn asks_backend(self) -> bool {
        match self {
            Self::Preparing | Self::Pulling | Self::Creating => true,
            Self::Waiting | Self::Cloning => false,
        }
    }
}

/// What became known about a job's run on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The host that runs it.
    pub host: Option<String>,
    /// The image as configured when the run was prepared; `None` if the backend uses none.
    pub image: Option<String>,
    /// The digest or id of the image that runs.
    pub image_digest: Option<String>,
    /// The commit that was checked out.
    pub commit: Option<String>,
    /// The boot id of the host when the run was launched.
    pub boot_id: Option<String>,
    /// What told the engine's start from others when the run was launched.
    pub engine_start: Option<String>,
    /// How long the host had been up when the run was launched: its limit goes on from there after a restart.
    pub launched_since_boot: Option<Duration>,
    /// Which boot of the daemon's host that was; not that of an engine elsewhere.
    pub launched_boot: Option<String>,
    /// Name and version of the engine that runs it.
    pub engine: Option<String>,
    /// The name that its image was pulled under, where that is another: a mirror's.
    pub image_source: Option<String>,
    /// The memory limit of each replica, in bytes.
    pub memory_limit: Option<u64>,
    /// The CPU limit of each replica, in thousandths of a CPU.
    pub cpu_limit_milli: Option<u32>,
    /// How many processes and threads each replica may have.
    pub pids_limit: Option<u32>,
    /// How much of the disk the job's files may take, in bytes; `None`: as much as there is, or it is not known.
    pub output_limit: Option<u64>,
    /// Whether some limit of the run could only be asked for and not enforced (`limits: advisory`).
    pub is_advisory: bool,
}

impl Facts {
    /// How long the launch was ago at this uptime of this boot of the host: by a clock that nobody sets. `None` if it was in
    /// another boot, or is not known.
    #[must_use]
    pub fn since_launch(&self, since_boot: Duration, boot: Option<&str>) -> Option<Duration> {
        let is_another = self.launched_boot.is_some() && self.launched_boot.as_deref() != boot;
        self.launched_since_boot.filter(|_| !is_another).and_then(|launched| since_boot.checked_sub(launched))
    }
}

/// How long a job has been SUSPENDED, by the host's uptime: its execution limit stands still meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Suspension {
    /// All the times that are over.
    pub total: Duration,
    /// The host's uptime when the present one began.
    pub since_boot: Option<Duration>,
}

/// Files that took too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overuse {
    /// How many bytes they might take.
    pub most: u64,
    /// How many they took: no more where the file system did not let them.
    pub found: u64,
}

impl fmt::Display for Overuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = shown_bytes(self.most);
        if self.found > self.most {
            write!(f, "its files took {} and may take {most}", shown_bytes(self.found))
        } else {
            write!(f, "its files took all of the {most} that they may take")
        }
    }
}

/// A client's or operator's wish that an active job be deleted, being carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Until when the JSON API still tells the truth about the job; unset until it has ended.
    pub visible_until: Option<Timestamp>,
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The store's sequence number: the order of acceptance.
    pub seq: i64,
    /// The identifier.
    pub id: JobId,
    /// The service (job list) that it belongs to.
    pub service: String,
    /// The owner; `None` if the creator was anonymous.
    pub owner: Option<OwnerId>,
    /// The client's own name for it.
    pub run_id: Option<RunId>,
    /// The phase.
    pub phase: Phase,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its command started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How long it executed, by a clock that nobody sets, once it has ended and if that is known.
    pub ran: Option<Duration>,
    /// How long it may execute; `None`: without limit.
    pub execution_duration: Option<Duration>,
    /// When it is destroyed; `None`: never.
    pub destruction: Option<Timestamp>,
    /// What it takes from the queue's budget.
    pub reservation: Reservation,
    /// What it is asked to do.
    pub work: Work,
    /// What became known about its run.
    pub facts: Facts,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
    /// The files it left, in name order: the position is the result's number.
    pub results: Vec<JobResult>,
    /// Set when a client asked to abort it: it ends as ABORTED even across a restart.
    pub abort_requested: bool,
    /// Set when its destruction time came before its end.
    pub is_expired: bool,
    /// Set when its execution limit was reached while it ran: it is stopped for that, also by a later daemon.
    pub limit_reached: bool,
    /// Set when its files took too much while it ran: it is stopped for that, also by a later daemon.
    pub overuse: Option<Overuse>,
    /// The phase from which an operator holds it, while one does: only an operator releases it then.
    pub held_from: Option<Phase>,
    /// How long it was SUSPENDED.
    pub suspension: Suspension,
    /// When its files were given up, if they were: for want of room, or as it was ARCHIVED.
    pub cleaned_at: Option<Timestamp>,
    /// Set when it was deleted.
    pub deletion: Option<Deletion>,
}

impl Job {
    /// Where it stands in lists.
    #[must_use]
    pub const fn place(&self) -> Place {
        Place { created_at: self.created_at, seq: self.seq }
    }

    /// How long it has executed at this instant and this uptime of this boot of the host, or did in all: not by the wall clock, which may
    /// be set meanwhile, as far as better is known.
    #[must_use]
    pub fn executed(&self, now: Timestamp, since_boot: Duration, boot: Option<&str>) -> Option<Duration> {
        let started_at = self.started_at?;
        Some(match self.ended_at {
            // When host or engine went down nobody looked.
            Some(_)
                if self.ran.is_none() && self.outcome.as_ref().is_some_and(|end| end.reason == Reason::HostRestart) =>
            {
                return None;
            }
            Some(ended_at) => self.ran.unwrap_or_else(|| ended_at.since(started_at)),
            None => self.facts.since_launch(since_boot, boot).unwrap_or_else(|| now.since(started_at)),
        })
    }

    /// Whether it has ended and its results, logs and uploads are there.
    #[must_use]
    pub const fn has_files(&self) -> bool {
        self.phase.is_final() && !matches!(self.phase, Phase::Archived) && self.cleaned_at.is_none()
    }

    /// The files that came with it, as long as they are there.
    #[must_use]
    pub fn uploads(&self) -> &[Upload] {
        if self.phase == Phase::Archived || self.cleaned_at.is_some() { &[] } else { &self.work.uploads }
    }

    /// Whether its client may still change what it is asked to do (UWS 1.1 §2.1.11) and run it: it is PENDING, or was
    /// when an operator held it, and is HELD by nobody any more.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Pending | Phase::Held) && self.held_from.is_none()
    }
}

#[cfg(test)]
impl Job {
    /// A job of the OCPS service as tests need one: of `true`, accepted at the beginning of time.
    pub(crate) fn example(phase: Phase) -> Self {
        let created_at = Timestamp::from_millis(0);
        let new = NewJob {
            id: JobId::new(created_at),
            service: "ocps".to_owned(),
            owner: None,
            run_id: None,
            phase,
            created_at,
            since_boot: Duration::ZERO,
            execution_duration: None,
            destruction: None,
            reservation: Reservation { cpus: 1.0, memory: 1 },
            work: Work::of_command("true"),
            idempotency: None,
            is_exclusive: false,
        };
        new.accepted(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uptime_tells_how_long_a_job_runs_only_within_its_boot() {
        let seconds = Duration::from_secs;
        let mut job = Job::example(Phase::Executing);
        job.started_at = Some(Timestamp::from_millis(0));
        job.facts.launched_since_boot = Some(seconds(100));
        job.facts.launched_boot = Some("one".to_owned());
        let now = Timestamp::from_millis(3_600_000);
        assert_eq!(job.executed(now, seconds(107), Some("one")), Some(seconds(7)), "the wall clock was set");
        // The daemon's host was started anew, while an engine elsewhere ran on.
        for up in [3, 900] {
            assert_eq!(job.executed(now, seconds(up), Some("two")), Some(seconds(3600)));
        }
        assert_eq!(job.executed(now, seconds(900), None), Some(seconds(3600)));
        // What an older daemon launched names no boot.
        job.facts.launched_boot = None;
        assert_eq!(job.executed(now, seconds(107), Some("two")), Some(seconds(7)));
        assert_eq!(job.executed(now, seconds(99), Some("two")), Some(seconds(3600)));
    }
}
