//! How a run ended, read from the engine's words; pure.

use bollard::models::{ContainerState, ContainerStateStatusEnum as Status};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::domain::{LogBytes, PeakMemory, Timestamp};
use crate::ports::{Ending, How, LogLoss, RunState};

/// Where a container of this status stands; `None`: it is as good as gone.
pub(super) fn standing(state: &ContainerState) -> Option<RunState> {
    match state.status {
        Some(Status::CREATED) => Some(RunState::Created),
        Some(Status::EXITED) => Some(RunState::Ended),
        Some(Status::DEAD | Status::REMOVING) => None,
        // Paused, restarting, and what later engines add: its processes may be there.
        _ => Some(RunState::Running),
    }
}

/// What became of a run's logs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Logged {
    /// How long they are, `stdout` and `stderr`.
    pub(super) bytes: Option<[LogBytes; 2]>,
    /// Why they are not whole, if so.
    pub(super) error: Option<LogLoss>,
    /// Why they may not be, if that is not known.
    pub(super) gap: Option<String>,
    /// Whether the engine told otherwise than before, when it was asked anew.
    pub(super) is_cut: bool,
}

/// What is told of a cut log.
const CUT: &str = "the engine's log was cut: output is missing or repeated where a mark stands";

/// The end of a run whose container no longer runs; `was_away`: whether the engine was down meanwhile.
pub(super) fn ending(state: &ContainerState, peak_memory: Option<PeakMemory>, log: Logged, was_away: bool) -> Ending {
    let started_at = instant(state.started_at.as_deref());
    let how = match standing(state) {
        None => How::Vanished,
        Some(RunState::Created) => How::NotStarted(why_not_started(state)),
        Some(RunState::Running | RunState::Ended) => {
            if started_at.is_none() && !words(state).is_empty() {
                How::NotStarted(why_not_started(state))
            } else {
                how(state, was_away)
            }
        }
    };
    // The engine takes the two times apart, and of a very short run it may tell the end before the start.
    let ended_at =
        instant(state.finished_at.as_deref()).map(|ended| started_at.map_or(ended, |start| ended.max(start)));
    let Logged { bytes: logs, error: log_error, gap, is_cut } = log;
    let log_gap = if is_cut { Some(CUT.to_owned()) } else { gap };
    Ending { how, started_at, ended_at, peak_memory, logs, is_advisory: false, log_error, log_gap }
}

/// The end of a run that left nothing but what was taken of its log before.
pub(super) fn vanished(log: Logged) -> Ending {
    ending(&ContainerState { status: Some(Status::DEAD), ..ContainerState::default() }, None, log, false)
}

/// The exit code that the engine gives to what ended while it did not look.
pub(super) const UNKNOWN: i32 = 255;

/// The init process exits with 128+n when signal n killed the command, and the engine tells no more than that: so an
/// exit code of 129 to 159 counts as a signal, also where a shell gave it because of its own child or the command chose it.
/// Hence the code is told beside the signal.
///
/// An engine that was down at the end may tell [`UNKNOWN`], for want of a code.
fn how(state: &ContainerState, has_forgotten: bool) -> How {
    let code = state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
    // The engine tells an out-of-memory event of any process of the container; if the command got over it, it is none.
    if state.oom_killed == Some(true) && code != 0 {
        return How::OutOfMemory { exit_code: Some(code) };
    }
    match code {
        UNKNOWN if has_forgotten => {
            How::Unknown("the engine was down when it did, and tells 255 for the code that it missed".to_owned())
        }
        129..=159 => How::Signaled { signal: code - 128, exit_code: Some(code) },
        code => How::Exited(code),
    }
}

fn words(state: &ContainerState) -> &str {
    state.error.as_deref().unwrap_or_default().trim()
}

fn why_not_started(state: &ContainerState) -> String {
    let words = words(state);
    if words.is_empty() { "it was created and never started".to_owned() } else { words.to_owned() }
}

/// An instant as the engine writes it; the year 1 means none.
pub(super) fn instant(text: Option<&str>) -> Option<Timestamp> {
    let at = OffsetDateTime::parse(text?, &Rfc3339).ok()?;
    let millis = i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok()?;
    (millis > 0).then(|| Timestamp::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: &str = "0001-01-01T00:00:00Z";

    fn ended(exit_code: i64, oom_killed: bool) -> ContainerState {
        ContainerState {
            status: Some(Status::EXITED),
            exit_code: Some(exit_code),
            oom_killed: Some(oom_killed),
            error: Some(String::new()),
            started_at: Some("2026-11-23T02:24:58.545744132Z".into()),
            finished_at: Some("2026-11-23T02:24:59.000000001Z".into()),
            ..ContainerState::default()
        }
    }

    #[test]
    fn exit_codes_signals_and_memory_are_told_apart() {
        for (code, oom, how) in [
            (0, false, How::Exited(0)),
            (1, false, How::Exited(1)),
            (128, false, How::Exited(128)),
            (137, false, How::Signaled { signal: 9, exit_code: Some(137) }),
            (143, false, How::Signaled { signal: 15, exit_code: Some(143) }),
            (130, false, How::Signaled { signal: 2, exit_code: Some(130) }),
            (160, false, How::Exited(160)),
            (255, false, How::Exited(255)),
            (137, true, How::OutOfMemory { exit_code: Some(137) }),
            (7, true, How::OutOfMemory { exit_code: Some(7) }),
            (0, true, How::Exited(0)),
        ] {
            assert_eq!(ending(&ended(code, oom), None, Logged::default(), false).how, how);
        }
    }

    #[test]
    fn times_are_read_and_the_year_1_is_none() {
        let ending = ending(&ended(0, false), None, Logged::default(), false);
        assert_eq!(ending.started_at.expect("known").to_iso(), "2026-11-23T02:24:58.545Z");
        assert_eq!(ending.ended_at.expect("known").to_iso(), "2026-11-23T02:24:59.000Z");
        let hasty = ContainerState { finished_at: Some("2026-11-23T02:24:58.5Z".into()), ..ended(0, false) };
        let hasty = super::ending(&hasty, None, Logged::default(), false);
        assert_eq!(hasty.ended_at, hasty.started_at);
        assert_eq!(instant(Some(NEVER)), None);
        assert_eq!(instant(Some("")), None);
    }

    #[test]
    fn what_never_started_is_no_exit() {
        let state = ContainerState {
            status: Some(Status::CREATED),
            exit_code: Some(127),
            error: Some("exec: not found".into()),
            started_at: Some(NEVER.into()),
            ..ContainerState::default()
        };
        assert_eq!(ending(&state, None, Logged::default(), false).how, How::NotStarted("exec: not found".into()));
    }

    #[test]
    fn a_cut_log_is_told_and_leaves_the_exit_code_alone() {
        let cut = ending(&ended(255, false), None, Logged { is_cut: true, ..Logged::default() }, false);
        assert_eq!((cut.how, cut.log_gap.as_deref()), (How::Exited(255), Some(CUT)));
    }

    #[test]
    fn what_the_engine_gave_up_is_gone() {
        let state = ContainerState { status: Some(Status::DEAD), ..ended(0, false) };
        assert_eq!(ending(&state, None, Logged::default(), false).how, How::Vanished);
    }
}
