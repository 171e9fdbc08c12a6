//! From the ends of its runs to the end of a job: pure.

use nix::sys::signal::Signal;

pub(super) use crate::domain::shown_bytes as bytes;
use crate::domain::{Outcome, PeakMemory, Phase, Reason, ReplicaEnd, SummaryKind, Timestamp, chain};
use crate::ports::{BackendError, Ending, How};

use super::cause::{Cause, Waited, first_failure};
use super::message::StopWhy;

/// What a job's end is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) started_at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) is_advisory: bool,
    /// Whether we surely ended it: then a restart of the engine did not.
    pub(super) is_ours: bool,
}

/// The end of a job whose replicas came to `waited`; `memory` is the limit in bytes.
pub(super) fn verdict(cause: Option<Cause>, waited: &[Waited], memory: u64) -> Verdict {
    let endings = || waited.iter().filter_map(|waited| waited.as_ref().ok());
    let cause = cause.filter(|cause| !cause.came_late(waited));
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
        Some(Cause::Replica(_)) | None => {
            let replica = |replica| (waited.len() > 1).then_some(replica);
            match first_failure(cause, waited) {
                Some((position, failed)) => of_one(failed, memory, replica(position)),
                None => Outcome { exit_code: Some(0), ..Outcome::new(Reason::Ok, "") },
            }
        }
    };
    if let (Reason::Ok, Some(loss)) = (outcome.reason, endings().find_map(|ending| ending.log_error.as_ref())) {
        // A success of which the log is not whole is not told as one.
        let reason = if loss.is_full { Reason::DiskFull } else { Reason::EngineError };
        let message = format!("its log is not whole: {}", loss.why);
        outcome = Outcome { exit_code: Some(0), ..Outcome::new(reason, message) };
    }
    if outcome.reason.phase() == Phase::Aborted {
        (outcome.exit_code, outcome.signal) = codes_of_all(waited);
    }
    outcome.peak_memory = endings().filter_map(|ending| ending.peak_memory).reduce(PeakMemory::or_higher);
    outcome.replicas = waited.iter().map(|waited| waited.as_ref().map(replica).unwrap_or_default()).collect();
    Verdict {
        outcome,
        started_at: endings().filter_map(|ending| ending.started_at).min(),
        ended_at: endings().filter_map(|ending| ending.ended_at).max(),
        is_advisory: endings().any(|ending| ending.is_advisory),
        is_ours: cause.is_some_and(Cause::is_sure),
    }
}

/// The end of a job that was stopped before its command began.
pub(super) fn not_started(why: StopWhy) -> Outcome {
    match why {
        StopWhy::Aborted => Outcome::new(Reason::Aborted, ""),
        StopWhy::Expired => Outcome::new(Reason::Expired, "its destruction time came before its command began"),
    }
}

fn codes(ending: &Ending) -> (Option<i32>, Option<i32>) {
    match &ending.how {
        How::Exited(code) => (Some(*code), None),
        How::Signaled { signal, exit_code } => (*exit_code, Some(*signal)),
        How::OutOfMemory { exit_code } => (*exit_code, None),
        How::NotStarted(_) | How::NoRoom(_) | How::HostRestarted | How::Unknown(_) | How::Vanished => (None, None),
    }
}

/// What the commands made of it that we ended them is a fact all the same, where they agree; else each replica's tells it.
fn codes_of_all(waited: &[Waited]) -> (Option<i32>, Option<i32>) {
    let mut all = waited.iter().map(|waited| waited.as_ref().map_or((None, None), codes));
    let first = all.next().unwrap_or_default();
    if all.all(|codes| codes == first) { first } else { (None, None) }
}

/// What is known of one of them.
fn replica(ending: &Ending) -> ReplicaEnd {
    let (exit_code, signal) = codes(ending);
    let Ending { peak_memory, logs, log_gap, log_error, .. } = ending;
    let log_gap = log_error.as_ref().map(|loss| &loss.why).or(log_gap.as_ref()).cloned();
    ReplicaEnd { exit_code, signal, peak_memory: *peak_memory, logs: *logs, log_gap }
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
                Some(code) => {
                    format!("{who} ended with code {code}, as one that was killed by signal {signal} ({name})")
                }
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
        How::NoRoom(why) => Outcome::new(Reason::DiskFull, format!("{who} could not be started: {why}")),
        How::HostRestarted => {
            Outcome::new(Reason::HostRestart, format!("the host or the engine was restarted while {who} ran"))
        }
        How::Unknown(why) => Outcome::new(Reason::EngineError, format!("{who} ended, and nobody knows how: {why}")),
        How::Vanished => vanished(replica),
    };
    let (exit_code, signal) = codes(ending);
    Outcome { exit_code, signal, ..outcome }
}

/// What it comes to if the engine took the runs down with it, or may have: no exit code that is told then is the command's.
pub(super) fn host_restarted(outcome: Outcome) -> Outcome {
    let message = "the host or the engine was restarted while the command ran";
    let without_codes = |end: ReplicaEnd| ReplicaEnd { exit_code: None, signal: None, ..end };
    Outcome {
        peak_memory: outcome.peak_memory,
        replicas: outcome.replicas.into_iter().map(without_codes).collect(),
        ..Outcome::new(Reason::HostRestart, message)
    }
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

/// The end of a job whose command ended well and whose output could not be brought home: of an image that a helper is made of
/// it is told, but that is not the one that it was to run.
pub(super) fn not_had(error: &BackendError) -> Outcome {
    match error {
        BackendError::Image { .. } | BackendError::PullTimedOut { .. } => {
            let message = format!("its output could not be brought home: {}", chain(error));
            Outcome::new(Reason::EngineError, message)
        }
        BackendError::DiskFull { .. }
        | BackendError::Io { .. }
        | BackendError::Refused { .. }
        | BackendError::Unreachable { .. } => refused(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::cause::or_full;
    use super::*;
    use crate::domain::Overuse;
    use crate::ports::LogLoss;

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
                Some("the command ended with code 137, as one that was killed by signal 9 (SIGKILL)"),
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
    fn of_replicas_that_failed_the_first_to_end_decides_whichever_was_heard_of_first() {
        let at = |millis, how| Ok(Ending { ended_at: Some(Timestamp::from_millis(millis)), ..ended(how) });
        let killed = || How::Signaled { signal: 15, exit_code: None };
        let waited = [at(3000, killed()), at(2000, How::Exited(7)), at(3001, killed())];
        for cause in [None, Some(Cause::Replica(0)), Some(Cause::Replica(1))] {
            assert_eq!(verdict(cause, &waited, 1).outcome.exit_code, Some(7), "{cause:?}");
        }
        // Of what left no time, the one that was heard of.
        let gone = || Ok(Ending { ended_at: None, ..ended(How::Vanished) });
        let waited = [at(3000, killed()), gone()];
        assert_eq!(verdict(Some(Cause::Replica(1)), &waited, 1).outcome.reason, Reason::Lost);
        assert_eq!(verdict(None, &waited, 1).outcome.reason, Reason::Signal);
    }

    #[test]
    fn who_could_write_no_more_did_not_end_by_itself() {
        let full = Some(Overuse { most: 4096, found: 4096 });
        let output = Some(Cause::Output(Overuse { most: 4096, found: 4096 }));
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
    fn of_several_no_code_is_told_that_is_not_of_the_one_that_decided() {
        let told = |cause, ends: [How; 2]| {
            let outcome = verdict(cause, &ends.map(|how| Ok(ended(how))), 1).outcome;
            (outcome.reason, outcome.exit_code, outcome.signal)
        };
        let term = || How::Signaled { signal: 15, exit_code: Some(143) };
        let failed = Some(Cause::Replica(1));
        assert_eq!(told(failed, [How::Exited(0), How::Vanished]), (Reason::Lost, None, None));
        assert_eq!(told(failed, [How::Exited(0), How::OutOfMemory { exit_code: None }]), (Reason::Oom, None, None));
        let aborted = Some(Cause::Asked(StopWhy::Aborted));
        assert_eq!(told(aborted, [term(), term()]), (Reason::Aborted, Some(143), Some(15)));
        assert_eq!(told(aborted, [How::Exited(0), term()]), (Reason::Aborted, None, None));
        let gone = Ending { ended_at: None, ..ended(How::Vanished) };
        let outcome = verdict(failed, &[Ok(ended(term())), Ok(gone)], 1).outcome;
        assert_eq!((outcome.reason, outcome.exit_code, outcome.signal), (Reason::Lost, None, None));
    }

    #[test]
    fn what_we_stopped_is_never_complete() {
        for (cause, reason) in [
            (Cause::Asked(StopWhy::Aborted), Reason::Aborted),
            (Cause::Asked(StopWhy::Expired), Reason::Expired),
            // However soon after the start its end is told to have been.
            (Cause::Limit { limit: Duration::from_secs(20), own_within: None }, Reason::Timeout),
        ] {
            let outcome = verdict(Some(cause), &[Ok(ended(How::Exited(0)))], 1).outcome;
            assert_eq!((outcome.reason, outcome.reason.phase()), (reason, Phase::Aborted));
            assert_eq!(outcome.exit_code, Some(0));
        }
    }

    #[test]
    fn what_had_ended_before_its_limit_keeps_its_own_end() {
        let late = |most| {
            let own_within = Some(Duration::from_millis(most));
            Some(Cause::Limit { limit: Duration::from_secs(2), own_within })
        };
        let stopped_by_one_that_died = verdict(late(2000), &[Ok(ended(How::Exited(0)))], 1);
        assert_eq!(stopped_by_one_that_died.outcome.reason, Reason::Timeout);
        let late = late(2001);
        assert_eq!(verdict(late, &[Ok(ended(How::Exited(0)))], 1).outcome.reason, Reason::Ok);
        assert_eq!(verdict(late, &[Ok(ended(How::Exited(3)))], 1).outcome.reason, Reason::Nonzero);
        let unknown = Ending { ended_at: None, ..ended(How::Exited(0)) };
        assert_eq!(verdict(late, &[Ok(unknown)], 1).outcome.reason, Reason::Timeout);
        // Nor did we take away what is gone.
        for (how, reason) in [(How::Vanished, Reason::Lost), (How::HostRestarted, Reason::HostRestart)] {
            let gone = Ending { ended_at: None, ..ended(how) };
            assert_eq!(verdict(late, &[Ok(gone)], 1).outcome.reason, reason);
        }
    }

    #[test]
    fn only_what_we_surely_ended_was_not_ended_by_the_engines_restart() {
        let is_ours = |cause| verdict(cause, &[Ok(ended(How::Exited(0)))], 1).is_ours;
        let limit = |own_within| Some(Cause::Limit { limit: Duration::from_secs(2), own_within });
        assert!(is_ours(Some(Cause::Asked(StopWhy::Aborted))) && is_ours(limit(None)));
        assert!(!is_ours(None) && !is_ours(Some(Cause::Replica(0))));
        assert!(!is_ours(limit(Some(Duration::from_secs(2)))), "it was seen late, and may have ended otherwise");
    }

    #[test]
    fn after_a_restart_of_the_engine_no_code_is_told() {
        let outcome = verdict(None, &[Ok(ended(How::Exited(0))), Ok(ended(How::Exited(143)))], 1).outcome;
        let outcome = host_restarted(outcome);
        assert_eq!((outcome.reason, outcome.exit_code, outcome.signal), (Reason::HostRestart, None, None));
        assert!(outcome.peak_memory.is_some());
        assert!(outcome.replicas.iter().all(|end| (end.exit_code, end.signal) == (None, None)));
    }

    #[test]
    fn a_success_without_its_whole_log_is_none() {
        for (is_full, reason) in [(true, Reason::DiskFull), (false, Reason::EngineError)] {
            let loss = || Some(LogLoss { why: "no more of it".to_owned(), is_full });
            let cut = Ending { log_error: loss(), ..ended(How::Exited(0)) };
            let outcome = verdict(None, &[Ok(cut)], 1).outcome;
            assert_eq!((outcome.reason, outcome.exit_code), (reason, Some(0)));
            // Another end stays what it is, and tells of the log beside it.
            let cut = Ending { log_error: loss(), ..ended(How::Exited(3)) };
            let outcome = verdict(None, &[Ok(cut)], 1).outcome;
            assert_eq!((outcome.reason, outcome.log_gap()), (Reason::Nonzero, Some("no more of it")));
        }
    }

    #[test]
    fn an_image_that_is_not_had_tells_whether_to_try_again() {
        let why = || "no".to_owned();
        let image = |is_transient| BackendError::Image { image: "x".to_owned(), why: why(), is_transient };
        let late = BackendError::PullTimedOut { image: "x".to_owned(), limit: Duration::from_secs(1), why: why() };
        for (error, reason, kind) in [
            (image(false), Reason::PullFailed, SummaryKind::Fatal),
            (image(true), Reason::PullFailed, SummaryKind::Transient),
            (late, Reason::PullTimeout, SummaryKind::Transient),
            (BackendError::DiskFull { doing: "pulling", why: why() }, Reason::DiskFull, SummaryKind::Transient),
        ] {
            let outcome = refused(&error);
            assert_eq!((outcome.reason, outcome.summary.map(|summary| summary.kind)), (reason, Some(kind)), "{error}");
        }
    }

    #[test]
    fn an_engine_that_denies_is_transient() {
        let refused = Err(BackendError::Refused { backend: "docker", doing: "waiting", why: "on fire".to_owned() });
        let outcome = verdict(None, &[refused], 1).outcome;
        assert_eq!(outcome.reason, Reason::EngineError);
        assert_eq!(outcome.summary.expect("one").kind, SummaryKind::Transient);
    }
}
