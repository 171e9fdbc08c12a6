//! From the ends of its runs to the end of a job: pure.

use std::time::Duration;

use nix::sys::signal::Signal;

pub(super) use crate::domain::shown_bytes as bytes;
use crate::domain::{Outcome, PeakMemory, Reason, ReplicaEnd, SummaryKind, Timestamp, chain};
use crate::ports::{BackendError, Ending, How};

use super::message::StopWhy;
use super::room::Full;

/// Why the runs of a job were stopped by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Asked to.
    Asked(StopWhy),
    /// The execution limit, in whole. With `own_until` everything had ended when we came to stop it, and what ended before that
    /// time did so by itself: the limit was noticed late.
    Limit { limit: Duration, own_until: Option<Timestamp> },
    /// Its files took too much.
    Output(Full),
    /// This replica failed first.
    Replica(u32),
}

/// What a wait for a run came to.
pub(super) type Waited = Result<Ending, BackendError>;

/// What a job's end is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) started_at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) is_advisory: bool,
}

/// The end of a job whose replicas came to `waited`; `memory` is the limit in bytes.
pub(super) fn verdict(cause: Option<Cause>, waited: &[Waited], memory: u64) -> Verdict {
    let endings = || waited.iter().filter_map(|waited| waited.as_ref().ok());
    // When the daemon was down or the engine silent meanwhile, what had ended by itself before the limit keeps its own end.
    let is_own = |cause: &Cause| match cause {
        Cause::Limit { own_until: Some(until), .. } => waited.iter().all(|one| ended_before(one, *until)),
        _ => false,
    };
    let cause = cause.filter(|cause| !is_own(cause));
    let mut outcome = match cause {
        Some(Cause::Asked(StopWhy::Aborted)) => Outcome::new(Reason::Aborted, ""),
        Some(Cause::Asked(StopWhy::Expired)) => {
            Outcome::new(Reason::Expired, "its destruction time came while it was executing")
        }
        Some(Cause::Limit { limit, .. }) => {
            let message = format!("the execution limit of {} s was reached", limit.as_secs_f64());
            Outcome::new(Reason::Timeout, message)
        }
        Some(Cause::Output(full)) => Outcome::new(Reason::OutputTooLarge, full.to_string()),
        Some(Cause::Replica(replica)) => {
            let position = usize::try_from(replica).expect("few replicas");
            waited.get(position).map_or_else(|| vanished(Some(replica)), |waited| of_one(waited, memory, Some(replica)))
        }
        None => {
            let first_failure = (0_u32..).zip(waited).find(|(_, waited)| is_failure(waited));
            let replica = |replica| (waited.len() > 1).then_some(replica);
            match first_failure {
                Some((position, failed)) => of_one(failed, memory, replica(position)),
                None => Outcome { exit_code: Some(0), ..Outcome::new(Reason::Ok, "") },
            }
        }
    };
    if let (Reason::Ok, Some(why)) = (outcome.reason, endings().find_map(|ending| ending.log_error.as_deref())) {
        // A success of which the log is not whole is not told as one.
        outcome =
            Outcome { exit_code: Some(0), ..Outcome::new(Reason::DiskFull, format!("its log is not whole: {why}")) };
    }
    if outcome.exit_code.is_none() && outcome.signal.is_none() {
        // Ended by us: what the command made of it is a fact all the same.
        (outcome.exit_code, outcome.signal) = endings().next().map_or((None, None), codes);
    }
    outcome.peak_memory = endings().filter_map(|ending| ending.peak_memory).reduce(PeakMemory::or_higher);
    outcome.replicas = waited.iter().map(|waited| waited.as_ref().map(replica).unwrap_or_default()).collect();
    Verdict {
        outcome,
        started_at: endings().filter_map(|ending| ending.started_at).min(),
        ended_at: endings().filter_map(|ending| ending.ended_at).max(),
        is_advisory: endings().any(|ending| ending.is_advisory),
    }
}

/// Why the runs ended, where it is known at the end whether their files took all the room that they might. Who can write no more
/// did not end by itself, whatever it made of that: it may have failed, or gone on without what it could not write.
pub(super) fn or_full(cause: Option<Cause>, waited: &[Waited], full: Option<Full>) -> Option<Cause> {
    let by_itself = |waited: &Waited| match waited {
        Ok(ending) => match ending.how {
            How::Exited(_) | How::Signaled { .. } | How::OutOfMemory { .. } => true,
            How::NotStarted(_) | How::HostRestarted | How::Unknown(_) | How::Vanished => false,
        },
        Err(_) => false,
    };
    match (cause, full) {
        (None | Some(Cause::Replica(_)), Some(full)) if waited.iter().all(by_itself) => Some(Cause::Output(full)),
        (cause, _) => cause,
    }
}

/// Whether a run is known to have ended before that time.
fn ended_before(waited: &Waited, time: Timestamp) -> bool {
    matches!(waited, Ok(Ending { ended_at: Some(end), .. }) if *end < time)
}

/// The end of a job that was stopped before its command began.
pub(super) fn not_started(why: StopWhy) -> Outcome {
    match why {
        StopWhy::Aborted => Outcome::new(Reason::Aborted, ""),
        StopWhy::Expired => Outcome::new(Reason::Expired, "its destruction time came before its command began"),
    }
}

/// Whether this end of a replica ends the job.
pub(super) fn is_failure(waited: &Waited) -> bool {
    !matches!(waited, Ok(Ending { how: How::Exited(0), .. }))
}

fn codes(ending: &Ending) -> (Option<i32>, Option<i32>) {
    match &ending.how {
        How::Exited(code) => (Some(*code), None),
        How::Signaled { signal, exit_code } => (*exit_code, Some(*signal)),
        How::OutOfMemory { exit_code } => (*exit_code, None),
        How::NotStarted(_) | How::HostRestarted | How::Unknown(_) | How::Vanished => (None, None),
    }
}

/// What is known of one of them.
fn replica(ending: &Ending) -> ReplicaEnd {
    let (exit_code, signal) = codes(ending);
    let Ending { peak_memory, logs, log_gap, .. } = ending;
    ReplicaEnd { exit_code, signal, peak_memory: *peak_memory, logs: *logs, log_gap: log_gap.clone() }
}

fn vanished(replica: Option<u32>) -> Outcome {
    let run = replica.map_or_else(|| "its run".to_owned(), |n| format!("the run of replica {n}"));
    Outcome::new(Reason::Lost, format!("{run} vanished without a trace"))
}

fn of_one(waited: &Waited, memory: u64, replica: Option<u32>) -> Outcome {
    let who = replica.map_or_else(|| "the command".to_owned(), |n| format!("the command of replica {n}"));
    let ending = match waited {
        Ok(ending) => ending,
        Err(error) => return refused(error),
    };
    let outcome = match &ending.how {
        How::Exited(0) => Outcome::new(Reason::Ok, ""),
        How::Exited(code) => Outcome::new(Reason::Nonzero, format!("{who} exited with code {code}")),
        How::Signaled { signal, exit_code } => {
            let name = Signal::try_from(*signal).map_or("unknown", Signal::as_str);
            let killed = match exit_code {
                // The engine tells a death by signal in this form, and cannot tell it from an exit with that code.
                Some(code) => format!("{who} ended with code {code}: killed by signal {signal} ({name})"),
                None => format!("{who} was killed by signal {signal} ({name})"),
            };
            Outcome::new(Reason::Signal, killed)
        }
        How::OutOfMemory { .. } => {
            let peak = ending.peak_memory.map_or_else(String::new, |peak| {
                let used = if peak.is_sampled { "was seen using" } else { "used up to" };
                format!(", it {used} {}", bytes(peak.bytes))
            });
            Outcome::new(Reason::Oom, format!("{who} ran out of its memory limit of {}{peak}", bytes(memory)))
        }
        How::NotStarted(why) => Outcome::new(Reason::EngineError, format!("{who} could not be started: {why}")),
        How::HostRestarted => {
            Outcome::new(Reason::HostRestart, format!("the host or the engine was restarted while {who} ran"))
        }
        How::Unknown(why) => Outcome::new(Reason::EngineError, format!("{who} ended, and nobody knows how: {why}")),
        How::Vanished => vanished(replica),
    };
    let (exit_code, signal) = codes(ending);
    Outcome { exit_code, signal, ..outcome }
}

/// The end of a job that the backend could not prepare or start.
pub(super) fn refused(error: &BackendError) -> Outcome {
    let message = chain(error);
    match error {
        BackendError::Image { is_transient, .. } => {
            let kind = if *is_transient { SummaryKind::Transient } else { SummaryKind::Fatal };
            Outcome::new(Reason::PullFailed, message).of_kind(kind)
        }
        BackendError::PullTimedOut { .. } => Outcome::new(Reason::PullTimeout, message),
        BackendError::DiskFull { .. } => Outcome::new(Reason::DiskFull, message),
        BackendError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            Outcome::new(Reason::DiskFull, message)
        }
        BackendError::Io { .. } | BackendError::Refused { .. } | BackendError::Unreachable { .. } => {
            Outcome::new(Reason::EngineError, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Phase, SummaryKind};

    fn ended(how: How) -> Ending {
        Ending {
            how,
            started_at: Some(Timestamp::from_millis(1000)),
            ended_at: Some(Timestamp::from_millis(3000)),
            peak_memory: Some(PeakMemory { bytes: 1 << 29, is_sampled: false }),
            logs: None,
            is_advisory: false,
            log_error: None,
            log_gap: None,
        }
    }

    #[test]
    fn each_end_has_its_reason_and_one_sentence() {
        for (how, reason, sentence) in [
            (How::Exited(0), Reason::Ok, None),
            (How::Exited(3), Reason::Nonzero, Some("the command exited with code 3")),
            (
                How::Signaled { signal: 9, exit_code: None },
                Reason::Signal,
                Some("the command was killed by signal 9 (SIGKILL)"),
            ),
            (
                How::Signaled { signal: 9, exit_code: Some(137) },
                Reason::Signal,
                Some("the command ended with code 137: killed by signal 9 (SIGKILL)"),
            ),
            (
                How::OutOfMemory { exit_code: Some(137) },
                Reason::Oom,
                Some("the command ran out of its memory limit of 4.0 GiB, it used up to 512.0 MiB"),
            ),
            (
                How::NotStarted("no such file".to_owned()),
                Reason::EngineError,
                Some("the command could not be started: no such file"),
            ),
            (
                How::HostRestarted,
                Reason::HostRestart,
                Some("the host or the engine was restarted while the command ran"),
            ),
            (How::Vanished, Reason::Lost, Some("its run vanished without a trace")),
        ] {
            let outcome = verdict(None, &[Ok(ended(how))], 4 << 30).outcome;
            assert_eq!(outcome.reason, reason);
            assert_eq!(outcome.summary.map(|summary| summary.message).as_deref(), sentence);
        }
    }

    #[test]
    fn the_first_failure_of_a_replica_decides() {
        let killed = How::Signaled { signal: 15, exit_code: None };
        let waited = [killed, How::Exited(7), How::Exited(0)].map(|how| Ok(ended(how)));
        let outcome = verdict(Some(Cause::Replica(1)), &waited, 1).outcome;
        assert_eq!((outcome.reason, outcome.exit_code), (Reason::Nonzero, Some(7)));
        assert_eq!(outcome.summary.expect("one").message, "the command of replica 1 exited with code 7");
    }

    #[test]
    fn who_could_write_no_more_did_not_end_by_itself() {
        let full = Some(Full { most: 4096, found: 4096 });
        let output = Some(Cause::Output(Full { most: 4096, found: 4096 }));
        for how in [How::Exited(0), How::Exited(1), How::Signaled { signal: 25, exit_code: None }] {
            let waited = [Ok(ended(how))];
            assert_eq!(or_full(None, &waited, None), None);
            let cause = or_full(None, &waited, full);
            assert_eq!(cause, output);
            let outcome = verdict(cause, &waited, 1).outcome;
            assert_eq!((outcome.reason, outcome.reason.phase()), (Reason::OutputTooLarge, Phase::Aborted));
            assert_eq!((outcome.exit_code, outcome.signal), codes(waited[0].as_ref().expect("ended")));
            assert_eq!(outcome.summary.expect("one").message, "its files took all of the 4.0 KiB that they may take");
            assert_eq!(or_full(Some(Cause::Replica(0)), &waited, full), output);
            let asked = Some(Cause::Asked(StopWhy::Aborted));
            assert_eq!(or_full(asked, &waited, full), asked);
        }
        for how in [How::Vanished, How::HostRestarted, How::NotStarted(String::new())] {
            assert_eq!(or_full(None, &[Ok(ended(how))], full), None);
        }
    }

    #[test]
    fn what_we_stopped_is_never_complete() {
        for (cause, reason) in [
            (Cause::Asked(StopWhy::Aborted), Reason::Aborted),
            (Cause::Asked(StopWhy::Expired), Reason::Expired),
            // However soon after the start its end is told to have been.
            (Cause::Limit { limit: Duration::from_secs(20), own_until: None }, Reason::Timeout),
        ] {
            let outcome = verdict(Some(cause), &[Ok(ended(How::Exited(0)))], 1).outcome;
            assert_eq!((outcome.reason, outcome.reason.phase()), (reason, Phase::Aborted));
            assert_eq!(outcome.exit_code, Some(0));
        }
    }

    #[test]
    fn what_had_ended_before_its_limit_keeps_its_own_end() {
        let late = |until| {
            let own_until = Some(Timestamp::from_millis(until));
            Some(Cause::Limit { limit: Duration::from_secs(2), own_until })
        };
        let stopped_by_one_that_died = verdict(late(3000), &[Ok(ended(How::Exited(0)))], 1);
        assert_eq!(stopped_by_one_that_died.outcome.reason, Reason::Timeout);
        let late = late(3001);
        assert_eq!(verdict(late, &[Ok(ended(How::Exited(0)))], 1).outcome.reason, Reason::Ok);
        assert_eq!(verdict(late, &[Ok(ended(How::Exited(3)))], 1).outcome.reason, Reason::Nonzero);
        let unknown = Ending { ended_at: None, ..ended(How::Exited(0)) };
        assert_eq!(verdict(late, &[Ok(unknown)], 1).outcome.reason, Reason::Timeout);
    }

    #[test]
    fn a_success_without_its_whole_log_is_none() {
        let cut = Ending { log_error: Some("no room left".to_owned()), ..ended(How::Exited(0)) };
        let outcome = verdict(None, &[Ok(cut)], 1).outcome;
        assert_eq!((outcome.reason, outcome.exit_code), (Reason::DiskFull, Some(0)));
    }

    #[test]
    fn an_engine_that_denies_is_transient() {
        let refused = Err(BackendError::Refused { backend: "docker", doing: "waiting", why: "on fire".to_owned() });
        let outcome = verdict(None, &[refused], 1).outcome;
        assert_eq!(outcome.reason, Reason::EngineError);
        assert_eq!(outcome.summary.expect("one").kind, SummaryKind::Transient);
    }
}
