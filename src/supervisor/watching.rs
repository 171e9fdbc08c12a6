//! Waiting for the runs of a job, all together, and stopping them.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::config::Service;
use crate::domain::{Work, chain};
use crate::ports::{Backend, BackendError, RunSpec, RunState};

use super::cause::{Cause, Waited, is_failure, or_full};
use super::context::Context;
use super::driver::{StopSignal, asked};
use super::message::Ordered;
use super::room::RoomOf;
use super::run_clock::Limit;
use crate::ports::Backoff;

/// How long a run whose files take too much has between TERM and KILL, at the most: it may write on meanwhile.
const GRACE_OF_FULL: Duration = Duration::from_secs(2);

/// How often the runs of a SUSPENDED job are halted again, if somebody let them go on.
const HALT_AGAIN: Duration = Duration::from_secs(5);

/// What the clock of a job says when a wait for its runs begins.
#[derive(Clone, Copy)]
pub(super) struct Timing {
    /// When its limit is reached.
    pub(super) limit: Option<Limit>,
    /// Whether it stands still: then its runs do, too.
    pub(super) is_halted: bool,
}

/// The runs of a job, one a replica.
#[derive(Clone, Copy)]
pub(super) struct Watched<'a> {
    pub(super) backend: &'a dyn Backend,
    pub(super) specs: &'a [RunSpec],
    /// How long a run has between TERM and KILL.
    pub(super) grace: Duration,
    /// What the job's files may take.
    room: RoomOf<'a>,
}

/// What ended a wait.
pub(super) enum Until {
    /// Every run has ended: why, if it was by us, and how each.
    End(Option<Cause>, Vec<Waited>),
    /// An operator's order came first.
    Ordered(Ordered),
}

impl<'a> Watched<'a> {
    pub(super) fn of(context: &'a Context, service: &Service, work: &Work, specs: &'a [RunSpec]) -> Self {
        let grace = work.kill_grace.unwrap_or(service.kill_grace);
        Self { backend: &*context.backend, specs, grace, room: context.room(service) }
    }

    /// Waits until every run has ended, by itself or because of a cause: the limit, its
    /// files' room, a wish, or the first failure among several replicas. An order interrupts the wait, which may then be begun
    /// again. `noted` is the cause for which the runs are being stopped already; another one is given to `note` before they are.
    pub(super) async fn until_end(
        self,
        timing: Timing,
        noted: Option<Cause>,
        note: impl AsyncFnOnce(Cause),
        stop: &mut StopSignal,
        orders: &mut mpsc::Receiver<Ordered>,
    ) -> Until {
        let mut waits: FuturesUnordered<_> =
            self.specs.iter().enumerate().map(|numbered| self.wait(numbered)).collect();
        let mut waited: Vec<Option<Waited>> = self.specs.iter().map(|_| None).collect();
        let mut full = pin!(self.room.exceeded(self.specs));
        let cause = loop {
            if noted.is_some() {
                break noted;
            }
            tokio::select! {
                // In this order: what we stop must not be taken for an end of its own.
                // Every branch is safe to cancel: a wait goes on where it was, the others keep no state.
                biased;
                why = asked(stop) => break Some(Cause::Asked(why)),
                limit = reached(timing.limit) => {
                    let own_within = if self.runs_still().await { None } else { Some(limit.with_pauses) };
                    break Some(Cause::Limit { limit: limit.whole, own_within });
                }
                full = &mut full => break Some(Cause::Output(full)),
                ended = waits.next() => {
                    let Some((position, ending)) = ended else { break None };
                    let has_failed = self.specs.len() > 1 && is_failure(&ending);
                    keep(&mut waited, position, ending);
                    if has_failed {
                        break u32::try_from(position).ok().map(Cause::Replica);
                    }
                }
                never = self.keep_halted(timing.is_halted) => match never {},
                // A replica that has ended is told of again by the next wait.
                Some(ordered) = orders.recv() => return Until::Ordered(ordered),
            }
        };
        if let (None, Some(cause)) = (noted, cause) {
            note(cause).await;
        }
        // With a cause something may still run: stop it, while the waits take the last of its logs.
        let drained = async {
            while let Some((position, ending)) = waits.next().await {
                keep(&mut waited, position, ending);
            }
        };
        let is_full = matches!(cause, Some(Cause::Output(_)));
        let stopping = if is_full { Self { grace: self.grace.min(GRACE_OF_FULL), ..self } } else { self };
        stopping.while_stopping(cause.is_some(), drained).await;
        crate::crash::point("stopped");
        let gone = || Err(self.refused("nothing was told of its end"));
        let waited: Vec<Waited> = waited.into_iter().map(|waited| waited.unwrap_or_else(gone)).collect();
        // It may have ended because it could write no more, and before that was seen.
        let is_full = self.room.used_up(self.specs).await;
        Until::End(or_full(cause, &waited, is_full), waited)
    }

    /// Whether something of the job still runs, asked until there is an answer.
    async fn runs_still(self) -> bool {
        let mut backoff = Backoff::new();
        loop {
            match self.backend.find_runs().await {
                Ok(found) => {
                    return found.iter().any(|found| {
                        found.state != RunState::Ended && self.specs.iter().any(|spec| spec.run == found.run)
                    });
                }
                Err(error) => warn!("a limit is reached, and what runs is not known yet: {}", chain(&error)),
            }
            backoff.wait().await;
        }
    }

    /// Sees that what is halted is not let go on by others. Never resolves.
    async fn keep_halted(self, is_halted: bool) -> Infallible {
        if !is_halted {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(HALT_AGAIN).await;
            if let Err(error) = self.halt().await {
                warn!("it is not known whether a run is still halted: {}", chain(&error));
            }
        }
    }

    /// Halts every run. If one does not obey, those that did go on again.
    pub(super) async fn pause(self) -> Result<(), BackendError> {
        for spec in self.specs {
            if let Err(error) = self.backend.pause(&spec.run).await {
                self.resume().await.unwrap_or_else(|error| warn!("a run may stay halted: {}", chain(&error)));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Halts every run, as far as it can: of a job that is to stand still nothing goes on because another run did not obey.
    pub(super) async fn halt(self) -> Result<(), BackendError> {
        let mut result = Ok(());
        for spec in self.specs {
            if let Err(error) = self.backend.pause(&spec.run).await {
                result = Err(error);
            }
        }
        result
    }

    /// Lets every run go on, as far as it can.
    pub(super) async fn resume(self) -> Result<(), BackendError> {
        let mut result = Ok(());
        for spec in self.specs {
            if let Err(error) = self.backend.resume(&spec.run).await {
                result = Err(error);
            }
        }
        result
    }

    /// Stops every run and waits for the last of their logs; how each ended.
    pub(super) async fn stop_and_drain(self) -> Vec<Waited> {
        let waits: FuturesUnordered<_> = self.specs.iter().enumerate().map(|numbered| self.wait(numbered)).collect();
        let mut waited = Vec::with_capacity(self.specs.len());
        self.while_stopping(true, async { waited = waits.collect().await }).await;
        waited.sort_unstable_by_key(|(position, _)| *position);
        waited.into_iter().map(|(_, ending)| ending).collect()
    }

    /// Stops every run for as long as `drained` has not seen all of them end.
    async fn while_stopping(self, is_stopping: bool, drained: impl Future<Output = ()>) {
        if !is_stopping {
            return drained.await;
        }
        let stopped = async {
            let stops: FuturesUnordered<_> = self.specs.iter().map(|spec| self.stop(spec)).collect();
            stops.collect::<()>().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = drained => {}
            // Dropped once all have ended: what it still tried has become needless.
            () = stopped => {}
        }
    }

    /// Stops one run, however often that fails.
    async fn stop(self, spec: &RunSpec) {
        let mut backoff = Backoff::new();
        while let Err(error) = self.backend.stop(&spec.run, self.grace).await {
            warn!("{} could not be stopped yet: {}", spec.run.name(), chain(&error));
            backoff.wait().await;
        }
    }

    async fn wait(self, (position, spec): (usize, &RunSpec)) -> (usize, Waited) {
        let waited = self.backend.wait(&spec.run, &spec.dirs).await;
        if let Err(error) = &waited {
            error!("the end of {} cannot be told: {}", spec.run.name(), chain(error));
        }
        (position, waited)
    }

    fn refused(&self, why: &str) -> BackendError {
        BackendError::Refused { backend: self.backend.kind(), doing: "waiting", why: why.to_owned() }
    }
}

fn keep(waited: &mut [Option<Waited>], position: usize, ending: Waited) {
    if let Some(place) = waited.get_mut(position) {
        *place = Some(ending);
    }
}

/// Resolves once the limit is reached; never without one.
async fn reached(limit: Option<Limit>) -> Limit {
    match limit {
        Some(limit) => {
            // A timer tells of a time that has passed a little later, and the end that an earlier daemon brought about may be
            // told before it.
            if !limit.is_reached() {
                tokio::time::sleep_until(limit.deadline).await;
            }
            limit
        }
        None => std::future::pending().await,
    }
}
