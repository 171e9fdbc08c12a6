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
    /// What ran shorter than this, times of being SUSPENDED included, ended before.
    pub(super) with_pauses: Duration,
}

impl Limit {
    /// Whether its time has come.
    pub(super) fn is_reached(&self) -> bool {
        Instant::now() >= self.deadline
    }
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

    /// The clock of a job that was launched earlier; `since_boot` is the host's uptime in this `boot` now, `since_start` what
    /// the wall clock says for want of better.
    pub(super) fn adopted(job: &Job, since_boot: Duration, boot: Option<&str>, since_start: Duration) -> Self {
        let suspended = job.suspension;
        let until = suspended.since_boot.unwrap_or(since_boot);
        let used = job.facts.since_launch(until, boot).unwrap_or(since_start);
        let running_since = suspended.since_boot.is_none().then(Instant::now);
        Self { used: used.saturating_sub(suspended.total), running_since }
    }

    /// Whether it stands still.
    pub(super) const fn is_halted(&self) -> bool {
        self.running_since.is_none()
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
        let with_pauses = whole + job.suspension.total;
        Some(Limit { whole, deadline: self.deadline(whole)?, with_pauses })
    }

    fn deadline(&self, limit: Duration) -> Option<Instant> {
        self.running_since.map(|since| since + limit.saturating_sub(self.used))
    }

    fn used(&self) -> Duration {
        self.used + self.running_since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// How long a job executed that was launched at `launched_at` and is heard `now` to have ended, `most` after its launch by a
/// clock that nobody sets.
///
/// The backend's `stamps` of start and end are exact also of what ended while nobody looked, but by the wall clock: they count
/// unless that was set meanwhile, or they lie about what the other proves.
pub(super) fn ran(
    stamps: Option<(Timestamp, Timestamp)>,
    launched_at: Timestamp,
    now: Timestamp,
    most: Duration,
) -> Duration {
    // A clock that is slewed gains or loses up to 0.05 %.
    let slack = Duration::from_secs(1) + most / 1000;
    let drift = Duration::from_millis(now.millis().abs_diff(launched_at.after(most).millis()));
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
        let seconds = |(from, to)| Some((at(1_000_000 + from), at(1_000_000 + to)));
        let hour = 3_600_000;
        // (stamps, now, how long)
        for (stamps, now, expected) in [
            // Looked at as it ended, and an hour later.
            (seconds((200, 6200)), (1_006_500, 506), 6_000),
            (seconds((200, 6200)), (1_000_000 + hour, 500 + 3600), 6_000),
            // Set forward or back meanwhile, before its start was seen or after.
            (seconds((200, 6200 + hour)), (1_006_500 + hour, 506), 6_000),
            (seconds((200 - hour, 6200 - hour)), (1_006_500 - hour, 506), 6_000),
            (seconds((200, 6200 - hour)), (1_006_500 - hour, 506), 6_000),
            // Set forward and back again.
            (seconds((200, 6200 + hour)), (1_006_500, 506), 6_000),
            // A backend without stamps.
            (None, (1_007_000, 507), 7_000),
            // Slewed over a day.
            (seconds((0, 86_430_000)), (1_000_000 + 86_430_000, 500 + 86_400), 86_430_000),
        ] {
            let (now, up) = now;
            let ran = ran(stamps, at(1_000_000), at(now), Duration::from_secs(up - 500));
            assert_eq!(ran, Duration::from_millis(expected), "{stamps:?} {now} {up}");
        }
    }
}
