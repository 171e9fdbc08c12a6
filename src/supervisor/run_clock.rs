//! How much of its execution limit a job has used: a monotonic clock that stands still while the job is SUSPENDED.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::{Job, Timestamp};

/// When a job's execution limit is reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// The limit.
    pub(super) whole: Duration,
    /// When it is reached.
    pub(super) deadline: Instant,
    /// The same by the wall clock: nobody stopped the job before.
    pub(super) by_wall_clock: Option<Timestamp>,
}

/// The clock of one job.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunClock {
    used: Duration,
    running_since: Option<Instant>,
}

impl RunClock {
    /// The clock of a job that begins now.
    pub(super) fn started() -> Self {
        Self { used: Duration::ZERO, running_since: Some(Instant::now()) }
    }

    /// The clock of a job that was launched earlier; `since_boot` is the host's uptime now, `since_start` what the wall
    /// clock says for want of better.
    pub(super) fn adopted(job: &Job, since_boot: Duration, since_start: Duration) -> Self {
        let suspended = job.suspension;
        let until = suspended.since_boot.unwrap_or(since_boot);
        let used = job.facts.launched_since_boot.map_or(since_start, |launched| until.saturating_sub(launched));
        let running_since = suspended.since_boot.is_none().then(Instant::now);
        Self { used: used.saturating_sub(suspended.total), running_since }
    }

    /// It stands still from now on.
    pub(super) fn halt(&mut self) {
        self.used = self.used();
        self.running_since = None;
    }

    /// It goes on from now on.
    pub(super) fn go_on(&mut self) {
        self.running_since.get_or_insert_with(Instant::now);
    }

    /// When the limit of `job` is reached if the clock goes on like this; `None` while it stands still, or without a limit.
    pub(super) fn limit(&self, job: &Job) -> Option<Limit> {
        let whole = job.execution_duration?;
        let by_wall_clock = job.started_at.map(|launched| launched.after(whole + job.suspension.total));
        Some(Limit { whole, deadline: self.deadline(whole)?, by_wall_clock })
    }

    fn deadline(&self, limit: Duration) -> Option<Instant> {
        self.running_since.map(|since| since + limit.saturating_sub(self.used))
    }

    fn used(&self) -> Duration {
        self.used + self.running_since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// An instant by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// By the wall clock.
    pub(super) at: Timestamp,
    /// By the uptime of the host, which nobody sets.
    pub(super) since_boot: Duration,
}

/// How long a job executed that was launched at `launched` and has ended by `now`, in the same boot of the host.
///
/// The backend's `stamps` of start and end are exact also of what ended while nobody looked, but by the wall clock: they count
/// unless that was set meanwhile, or they lie about what the uptime proves.
pub(super) fn ran(stamps: Option<(Timestamp, Timestamp)>, launched: Moment, now: Moment) -> Duration {
    let most = now.since_boot.saturating_sub(launched.since_boot);
    // A clock that is slewed gains or loses up to 0.05 %.
    let slack = Duration::from_secs(1) + most / 1000;
    let drift = Duration::from_millis(now.at.millis().abs_diff(launched.at.after(most).millis()));
    let by_stamps = stamps.map(|(started_at, ended_at)| ended_at.since(started_at));
    by_stamps.filter(|time| drift <= slack && *time <= most + slack).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_halted_uses_nothing() {
        let second = Duration::from_secs(1);
        let mut clock = RunClock::started();
        tokio::time::advance(2 * second).await;
        assert_eq!(clock.deadline(5 * second), Some(Instant::now() + 3 * second));
        clock.halt();
        tokio::time::advance(100 * second).await;
        assert_eq!(clock.deadline(5 * second), None);
        clock.go_on();
        clock.go_on();
        assert_eq!(clock.deadline(5 * second), Some(Instant::now() + 3 * second));
        tokio::time::advance(second).await;
        assert_eq!(clock.deadline(5 * second), Some(Instant::now() + 2 * second));
        assert_eq!(clock.deadline(second), Some(Instant::now() - second), "it is over already");
    }

    #[test]
    fn a_wall_clock_that_is_set_makes_no_duration() {
        let at = Timestamp::from_millis;
        let moment = |millis, secs| Moment { at: at(millis), since_boot: Duration::from_secs(secs) };
        let launched = moment(1_000_000, 500);
        let seconds = |(from, to)| Some((at(1_000_000 + from), at(1_000_000 + to)));
        let hour = 3_600_000;
        // (stamps, now, how long)
        for (stamps, now, expected) in [
            // Looked at as it ended, and an hour later.
            (seconds((200, 6200)), moment(1_006_500, 506), 6_000),
            (seconds((200, 6200)), moment(1_000_000 + hour, 500 + 3600), 6_000),
            // Set forward or back meanwhile, before its start was seen or after.
            (seconds((200, 6200 + hour)), moment(1_006_500 + hour, 506), 6_000),
            (seconds((200 - hour, 6200 - hour)), moment(1_006_500 - hour, 506), 6_000),
            (seconds((200, 6200 - hour)), moment(1_006_500 - hour, 506), 6_000),
            // Set forward and back again.
            (seconds((200, 6200 + hour)), moment(1_006_500, 506), 6_000),
            // A backend without stamps.
            (None, moment(1_007_000, 507), 7_000),
            // Slewed over a day.
            (seconds((0, 86_430_000)), moment(1_000_000 + 86_430_000, 500 + 86_400), 86_430_000),
        ] {
            assert_eq!(ran(stamps, launched, now), Duration::from_millis(expected), "{stamps:?} {now:?}");
        }
    }
}
