//! How a driver obeys an operator's orders.

use tracing::warn;

use crate::domain::{Phase, chain};
use crate::ports::{Change, RunSpec};

use super::driver::Driver;
use super::message::{Disobeyed, Order, Ordered};
use super::run_clock::RunClock;

impl Driver {
    /// Ends the preparation: the job is HELD.
    pub(super) async fn hold(&mut self, ordered: Ordered) {
        let is_held = self.commit(Change::Hold).await.is_some();
        ordered.answer(if is_held { Ok(()) } else { Err(Disobeyed::WrongPhase) });
    }

    /// Suspends or resumes the runs. The phase follows the effect: nobody is told of a halt that is none. What cannot be
    /// written down is undone at once: meanwhile nobody watches the runs.
    pub(super) async fn obey(&mut self, specs: &[RunSpec], clock: &mut RunClock, ordered: Ordered) {
        let since_boot = || self.context.shared.clock.since_boot();
        let (change, phase) = match (ordered.order, self.job.phase) {
            (Order::Suspend, Phase::Executing) => match self.watched(specs).pause().await {
                Ok(()) => (Change::Suspend(since_boot()), Phase::Suspended),
                Err(error) => return ordered.answer(Err(Disobeyed::Backend(chain(&error)))),
            },
            (Order::Resume, Phase::Suspended) => match self.watched(specs).resume().await {
                Ok(()) => (Change::Resume(since_boot()), Phase::Executing),
                Err(error) => return ordered.answer(Err(Disobeyed::Backend(chain(&error)))),
            },
            // Asked twice is asked once.
            (Order::Suspend, Phase::Suspended) | (Order::Resume, Phase::Executing) => return ordered.answer(Ok(())),
            (Order::Hold | Order::Suspend | Order::Resume, _) => {
                return ordered.answer(Err(Disobeyed::WrongPhase));
            }
        };
        let before = *clock;
        if phase == Phase::Suspended {
            clock.halt();
        } else {
            clock.go_on();
        }
        let shared = &self.context.shared;
        match shared.store.change(self.job.id, change, shared.clock.now()).await {
            Ok(changed) => {
                self.context.changed(&changed);
                (self.job.phase, self.job.suspension) = (phase, changed.job.suspension);
                ordered.answer(Ok(()));
            }
            Err(error) => {
                *clock = before;
                self.keep_as_stored(specs).await;
                ordered.answer(Err(Disobeyed::Store(error)));
            }
        }
    }

    /// A crash may have come between the effect of an order and its commit, or that failed: the runs follow what is stored.
    pub(super) async fn keep_as_stored(&self, specs: &[RunSpec]) {
        let watched = self.watched(specs);
        let kept = if self.job.phase == Phase::Suspended { watched.halt().await } else { watched.resume().await };
        if let Err(error) = kept {
            warn!("job {} may not be as halted as it is told to be: {}", self.job.id, chain(&error));
        }
    }
}
