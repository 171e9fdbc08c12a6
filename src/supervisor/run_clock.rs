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
}
