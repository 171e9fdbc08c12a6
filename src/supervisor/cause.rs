//! Why the runs of a job ended: by us, by themselves, or by what befell them; pure.

use std::time::Duration;

use super::message::StopWhy;
use crate::domain::{Job, Overuse, Timestamp};
use crate::ports::{BackendError, Ending, How, Update};

/// What a wait for a run came to.
pub(super) type Waited = Result<Ending, BackendError>;

/// Why the runs of a job were stopped by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Asked to.
    Asked(StopWhy),
    /// The execution limit, in whole. With `own_within` nothing ran any more when we came to stop it, and what ran shorter than
    /// that, or left nothing, ended by itself: the limit was noticed late.
    Limit { limit: Duration, own_within: Option<Duration> },
    /// Its files took too much.
    Output(Overuse),
    /// This replica failed, and the others were stopped for it.
    Replica(u32),
}

impl Cause {
    /// The cause for which an earlier daemon began to stop the job, if it noted one.
    pub(super) fn noted(job: &Job) -> Option<Self> {
        let limit = job.execution_duration.filter(|_| job.limit_reached);
        let limit = limit.map(|limit| Self::Limit { limit, own_within: None });
        job.overuse.map(Self::Output).or(limit)
    }

    /// What a later daemon could not see by itself, once the runs were stopped for this.
    pub(super) const fn to_note(self) -> Option<Update> {
        match self {
            Self::Limit { own_within: None, .. } => Some(Update::LimitReached),
            Self::Output(overuse) => Some(Update::Overused(overuse)),
            // The store knows it already, or it is told by the ends of the runs, or by their lack.
            Self::Asked(_) | Self::Limit { own_within: Some(_), .. } | Self::Replica(_) => None,
        }
    }

    /// Whether it is surely the cause of the end, whatever else befell the runs.
    pub(super) const fn is_sure(self) -> bool {
        match self {
            Self::Asked(_) | Self::Output(_) | Self::Limit { own_within: None, .. } => true,
            Self::Limit { own_within: Some(_), .. } | Self::Replica(_) => false,
        }
    }

    /// Whether the runs had ended by themselves all the same: when the daemon was down or the engine silent meanwhile, what had
    /// ended before the limit keeps its own end.
    pub(super) fn came_late(self, waited: &[Waited]) -> bool {
        match self {
            Self::Limit { own_within: Some(most), .. } => {
                waited.iter().all(|one| ran_shorter(one, most) || has_left_nothing(one))
            }
            Self::Asked(_) | Self::Output(_) | Self::Limit { own_within: None, .. } | Self::Replica(_) => false,
        }
    }
}

/// Why the runs ended, where it is known at the end whether their files took all the room that they might. Who can write no more
/// did not end by itself, whatever it made of that: it may have failed, or gone on without what it could not write.
pub(super) fn or_full(cause: Option<Cause>, waited: &[Waited], full: Option<Overuse>) -> Option<Cause> {
    let by_itself = |waited: &Waited| match waited {
        Ok(ending) => match ending.how {
            How::Exited(_) | How::Signaled { .. } | How::OutOfMemory { .. } => true,
            How::NotStarted(_) | How::NoRoom(_) | How::HostRestarted | How::Unknown(_) | How::Vanished => false,
        },
        Err(_) => false,
    };
    match (cause, full) {
        (None | Some(Cause::Replica(_)), Some(full)) if waited.iter().all(by_itself) => Some(Cause::Output(full)),
        (cause, _) => cause,
    }
}

/// The failure that decides. Of several the one that is told to have been first: those whom it had stopped came after it, and
/// may be heard of before it. Where a time is missing, the one that was heard of first.
pub(super) fn first_failure(cause: Option<Cause>, waited: &[Waited]) -> Option<(u32, &Waited)> {
    let failures = || (0_u32..).zip(waited).filter(|(_, waited)| is_failure(waited));
    let ended_at = |waited: &Waited| waited.as_ref().ok().and_then(|ending| ending.ended_at);
    let times: Option<Vec<Timestamp>> = failures().map(|(_, waited)| ended_at(waited)).collect();
    let earliest = times.and_then(|times| times.into_iter().min());
    let first = || failures().filter(|(_, waited)| earliest.is_none() || ended_at(waited) == earliest);
    let is_heard_of = |position: u32| cause == Some(Cause::Replica(position));
    first().find(|(position, _)| is_heard_of(*position)).or_else(|| first().next())
}

/// Whether this end of a replica ends the job.
pub(super) fn is_failure(waited: &Waited) -> bool {
    !matches!(waited, Ok(Ending { how: How::Exited(0), .. }))
}

/// Whether a run is known to have taken less than that time: by the two stamps of its backend, since our own clock may be
/// another, or was set meanwhile.
fn ran_shorter(waited: &Waited, most: Duration) -> bool {
    matches!(waited, Ok(Ending { started_at: Some(start), ended_at: Some(end), .. }) if end.since(*start) < most)
}

/// Whether the run was taken away, by the host or by somebody: we leave what we stop until its end is written down.
const fn has_left_nothing(waited: &Waited) -> bool {
    matches!(waited, Ok(Ending { how: How::Vanished | How::HostRestarted, .. }))
}
