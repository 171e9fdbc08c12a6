//! A job that an earlier process of this daemon launched.

use std::time::Duration;

use tracing::{Instrument, info};

use crate::ports::{Ending, How, RunRef, RunSpec, Update};

use super::cause::{Cause, Waited};
use super::context::runs;
use super::driver::Driver;
use super::ending::verdict;
use super::plan;
use super::plan::Invocation;
use super::run_clock::RunClock;

/// What recovery found out about the runs of an adopted job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Adoption {
    /// Its host and engine are the ones that it was launched on.
    SameHost {
        /// The runs that were made and never started: the crash came between the commit and the start.
        unstarted: Vec<RunRef>,
    },
    /// The host or the engine was started anew since: whatever is told of its runs now is no end of its own making.
    Restarted,
}

impl Driver {
    /// Goes on with a job that an earlier process of this daemon launched. Returns the runs that are left to be removed.
    pub(super) async fn run_adopted(mut self, adoption: Adoption) -> Vec<RunRef> {
        let span = self.context.span(&self.job);
        async move {
            let dirs = self.context.dirs(self.job.id);
            // Its runs were made as the service was then: what they run is asked only of those that are still to be made.
            let invocation = Invocation::of(&self.job, &self.service);
            let invocation = invocation.unwrap_or_else(|_| Invocation::of_old(&self.job, &self.service));
            let spec = |run| {
                let spec = plan::run_spec(&self.job, &self.service, &invocation, run, dirs.clone());
                // Helpers are made of the image that the job runs in.
                RunSpec { image: self.facts.image.clone().unwrap_or(spec.image), ..spec }
            };
            let specs: Vec<RunSpec> = runs(&self.job).map(spec).collect();
            info!("job {} was running before the start; going on with it", self.job.id);
            match adoption {
                Adoption::SameHost { unstarted } => {
                    let is_stopped = self.stop.borrow().is_some();
                    let is_late = !is_stopped && specs.iter().all(|spec| unstarted.contains(&spec.run));
                    if is_late {
                        self.note_late_start().await;
                    }
                    let to_start = specs.iter().filter(|spec| !is_stopped && unstarted.contains(&spec.run));
                    let clock = (!is_late).then(|| self.adopted_clock());
                    let (started, clock) = self.start_all(to_start, clock).await;
                    self.keep_as_stored(&specs).await;
                    self.watch(&specs, started, clock).await;
                }
                Adoption::Restarted => self.end_restarted(&specs).await,
            }
            runs(&self.job).collect()
        }
        .instrument(span)
        .await
    }

    /// Of a job whose every run is started only now, nothing is used of its limit yet: neither for this process nor for one
    /// that adopts it from this one.
    async fn note_late_start(&mut self) {
        let write = || {
            let (started_at, facts) = self.launched_now();
            let late = Update::LateStart { started_at, facts: Box::new(facts) };
            self.context.shared.store.update(self.job.id, vec![late])
        };
        // If it is somebody else's by now, its end will not be written either.
        let Some(started) = self.written(write).await else { return };
        self.job.started_at = started.started_at;
        self.job.facts.clone_from(&started.facts);
        self.facts = started.facts;
        crate::crash::point("late");
    }

    /// How much of the execution limit a job that is adopted has used, by a clock that nobody sets.
    fn adopted_clock(&self) -> RunClock {
        let clock = &self.context.shared.clock;
        let since_start = self.job.started_at.map_or(Duration::ZERO, |start| clock.now().since(start));
        RunClock::adopted(&self.job, clock.since_boot(), clock.boot(), since_start)
    }

    /// Ends a job that was executing when its host or engine went down.
    async fn end_restarted(&mut self, specs: &[RunSpec]) {
        // Nothing of it may go on, whatever the engine made of it after its restart.
        let waited = self.watched(specs).stop_and_drain().await;
        let restarted = |ending: Ending| Ending { how: How::HostRestarted, started_at: self.job.started_at, ..ending };
        let waited: Vec<Waited> = waited.into_iter().map(|waited| waited.map(restarted)).collect();
        // Who was to stop before that was to end, and has.
        let cause = Cause::noted(&self.job).or_else(|| self.stop.borrow().map(Cause::Asked));
        self.end(specs, verdict(cause, &waited, 0)).await;
    }
}
