//! Phases in the words of this API (contract §7): a client that waits is never stranded and never misled.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Job, Outcome, Phase, Timestamp};

/// A phase as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Phase)]
pub(super) enum PhaseWord {
    /// Accepted, not committed by the client.
    Pending,
    /// Waiting for its turn, or held.
    Queued,
    /// Its command runs or is suspended, or it was deleted and is being stopped.
    Executing,
    /// Ended with exit code 0.
    Completed,
    /// Failed.
    Error,
    /// Stopped by the client, an operator or a limit.
    Aborted,
}

impl PhaseWord {
    /// The word for a phase; `outcome` tells what an archived job ended in.
    pub(super) fn of(phase: Phase, outcome: Option<&Outcome>) -> Self {
        match phase {
            Phase::Pending => Self::Pending,
            Phase::Queued | Phase::Held => Self::Queued,
            // The client takes `unknown` for an end, so that whatever runs or may run reads as running.
            Phase::Executing | Phase::Suspended | Phase::Unknown => Self::Executing,
            Phase::Completed => Self::Completed,
            Phase::Error => Self::Error,
            Phase::Aborted => Self::Aborted,
            Phase::Archived => match outcome.map(|outcome| outcome.reason.phase()) {
                Some(Phase::Completed) => Self::Completed,
                Some(Phase::Error) => Self::Error,
                Some(_) | None => Self::Aborted,
            },
        }
    }
}

/// What a GET shows of a job at `now`; `None`: it is not there any more.
///
/// A deleted job that was active reads `executing` until it is verified gone, and its end for `visible` after that.
pub(super) fn shown(job: &Job, now: Timestamp, visible: Duration) -> Option<PhaseWord> {
    let truth = PhaseWord::of(job.phase, job.outcome.as_ref());
    let Some(deletion) = job.deletion else { return Some(truth) };
    if visible.is_zero() {
        return None;
    }
    if !job.phase.is_final() {
        return Some(PhaseWord::Executing);
    }
    deletion.visible_until.is_some_and(|until| now < until).then_some(truth)
}

/// The phases that a word of `?phase=` asks for, in any case of letters.
pub(super) fn asked_for(word: &str) -> Option<&'static [Phase]> {
    let phase = Phase::ALL.into_iter().find(|phase| phase.as_str().eq_ignore_ascii_case(word))?;
    Some(match phase {
        Phase::Pending => &[Phase::Pending],
        Phase::Queued => &[Phase::Queued, Phase::Held],
        Phase::Executing => &[Phase::Executing, Phase::Suspended],
        Phase::Completed => &[Phase::Completed],
        Phase::Error => &[Phase::Error],
        Phase::Aborted => &[Phase::Aborted],
        Phase::Unknown => &[Phase::Unknown],
        Phase::Held => &[Phase::Held],
        Phase::Suspended => &[Phase::Suspended],
        Phase::Archived => &[Phase::Archived],
    })
}

/// The words that `?phase=` takes, for the text of a refusal.
pub(super) fn words() -> String {
    Phase::ALL.map(|phase| phase.as_str().to_ascii_lowercase()).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Deletion, Reason};

    #[test]
    fn a_client_only_ever_reads_words_that_it_knows() {
        let word = |phase| serde_json::to_value(PhaseWord::of(phase, None)).expect("a word");
        for (phase, expected) in [
            (Phase::Pending, "pending"),
            (Phase::Queued, "queued"),
            (Phase::Held, "queued"),
            (Phase::Executing, "executing"),
            (Phase::Suspended, "executing"),
            (Phase::Unknown, "executing"),
            (Phase::Completed, "completed"),
            (Phase::Error, "error"),
            (Phase::Aborted, "aborted"),
        ] {
            assert_eq!(word(phase), expected, "{phase}");
        }
    }

    #[test]
    fn an_archived_job_reads_as_it_ended() {
        for reason in Reason::ALL {
            let outcome = Outcome::new(reason, "why");
            let expected = PhaseWord::of(reason.phase(), None);
            assert_eq!(PhaseWord::of(Phase::Archived, Some(&outcome)), expected, "{reason}");
        }
    }

    #[test]
    fn a_deleted_job_tells_its_end_for_a_while() {
        let minute = Duration::from_secs(60);
        let at = Timestamp::from_millis;
        let deleted = |phase, until: Option<i64>| {
            let mut job = Job::example(phase);
            job.deletion = Some(Deletion { requested_at: at(1000), visible_until: until.map(at) });
            job
        };
        assert_eq!(shown(&Job::example(Phase::Queued), at(0), minute), Some(PhaseWord::Queued));
        for phase in [Phase::Pending, Phase::Queued, Phase::Held, Phase::Executing, Phase::Suspended] {
            assert_eq!(shown(&deleted(phase, None), at(2000), minute), Some(PhaseWord::Executing), "{phase}");
        }
        let ended = deleted(Phase::Aborted, Some(61_000));
        assert_eq!(shown(&ended, at(60_999), minute), Some(PhaseWord::Aborted));
        assert_eq!(shown(&ended, at(61_000), minute), None);
        assert_eq!(shown(&ended, at(2000), Duration::ZERO), None);
        assert_eq!(shown(&deleted(Phase::Completed, Some(1000)), at(1000), minute), None);
    }

    #[test]
    fn a_filter_includes_what_reads_the_same() {
        assert_eq!(asked_for("queued"), Some(&[Phase::Queued, Phase::Held][..]));
        assert_eq!(asked_for("EXECUTING"), Some(&[Phase::Executing, Phase::Suspended][..]));
        assert_eq!(asked_for("done"), None);
        assert_eq!(asked_for(""), None);
    }
}
