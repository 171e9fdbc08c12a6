//! When a job is expected to end: an honest guess from the queue and from how long such jobs took, or none (UWS 1.1
//! §2.1.6).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::{Job, Phase, Timestamp};
use crate::ports::StoreError;

use super::handle::Handle;

/// From how many finished jobs a guess is made, at the least and at the most.
const FEWEST: usize = 5;
const MOST: u32 = 50;
/// How many jobs before it are counted.
const LONGEST_QUEUE: u32 = 10_000;
/// How long what was learnt of a service is used.
const FRESH: Duration = Duration::from_secs(10);

/// How long the jobs of each service take, as it was last looked.
#[derive(Debug, Default)]
pub(super) struct Experience(Mutex<HashMap<String, (Instant, Option<Duration>)>>);

/// What a guess is made from.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// How long such a job executes.
    typical: Duration,
    /// How many wait before it.
    before: u32,
    /// How many run at a time.
    slots: u32,
}

impl Handle {
    /// When the job is expected to end, if anything can be said: of a PENDING job, if it were run now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn quote(&self, job: &Job) -> Result<Option<Timestamp>, StoreError> {
        let is_ahead = matches!(job.phase, Phase::Pending | Phase::Queued | Phase::Executing);
        if !is_ahead {
            return Ok(None);
        }
        let Some(typical) = self.typical(&job.service).await? else { return Ok(None) };
        let shared = &self.shared;
        let before = match job.phase {
            Phase::Executing => 0,
            Phase::Queued => shared.store.queued_before(job.seq, LONGEST_QUEUE).await?,
            _ => shared.store.queued_before(i64::MAX, LONGEST_QUEUE).await?,
        };
        let config = shared.config.get();
        let of_service = config.services.get(&job.service).map_or(0, |service| service.max_running);
        let of_queue = config.queue.max_running;
        let slots = if of_service == 0 { of_queue } else { of_service.min(of_queue) };
        Ok(guess(job, shared.clock.now(), Known { typical, before, slots }))
    }

    /// The median of how long the service's last jobs executed.
    async fn typical(&self, service: &str) -> Result<Option<Duration>, StoreError> {
        let known = &self.shared.experience.0;
        let fresh = known.lock().unwrap_or_else(PoisonError::into_inner).get(service).copied();
        if let Some((_, typical)) = fresh.filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(typical);
        }
        let mut times = self.shared.store.run_times(service, MOST).await?;
        times.sort_unstable();
        let typical = (times.len() >= FEWEST).then(|| times[times.len() / 2]);
        known.lock().unwrap_or_else(PoisonError::into_inner).insert(service.to_owned(), (Instant::now(), typical));
        Ok(typical)
    }
}

/// The guess. A job that has taken longer than usual ends nobody knows when.
fn guess(job: &Job, now: Timestamp, known: Known) -> Option<Timestamp> {
    let Known { typical, before, slots } = known;
    let typical = job.execution_duration.map_or(typical, |limit| typical.min(limit));
    match (job.phase, job.started_at) {
        (Phase::Executing, Some(start)) => Some(start.after(typical)).filter(|end| *end > now),
        (Phase::Executing, None) => None,
        // With no slot nothing runs at all.
        _ if slots == 0 => None,
        _ => Some(now.after(typical.saturating_mul(before / slots + 1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_job(phase: Phase, started_at: Option<Timestamp>) -> Job {
        Job { started_at, execution_duration: Some(Duration::from_secs(60)), ..Job::example(phase) }
    }

    #[test]
    fn those_before_it_take_their_turns_first() {
        let now = Timestamp::from_millis(1_000_000);
        let known = |before, slots| Known { typical: Duration::from_secs(10), before, slots };
        let queued = a_job(Phase::Queued, None);
        let after = |seconds| Some(now.after(Duration::from_secs(seconds)));
        assert_eq!(guess(&queued, now, known(0, 2)), after(10));
        assert_eq!(guess(&queued, now, known(1, 2)), after(10));
        assert_eq!(guess(&queued, now, known(5, 2)), after(30));
        assert_eq!(guess(&queued, now, known(0, 0)), None);
        let long = Known { typical: Duration::from_secs(1000), before: 0, slots: 1 };
        assert_eq!(guess(&queued, now, long), after(60), "its own limit ends it");
    }

    #[test]
    fn one_that_runs_ends_as_the_others_did_or_nobody_knows() {
        let start = Timestamp::from_millis(1_000_000);
        let job = a_job(Phase::Executing, Some(start));
        let known = Known { typical: Duration::from_secs(10), before: 0, slots: 2 };
        let now = |seconds| start.after(Duration::from_secs(seconds));
        assert_eq!(guess(&job, now(4), known), Some(now(10)));
        assert_eq!(guess(&job, now(11), known), None);
    }
}
