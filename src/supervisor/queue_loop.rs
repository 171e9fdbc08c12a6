//! The supervisor's own task: starts jobs, hears wishes, joins drivers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::config::Service;
use crate::domain::{Job, JobId, Phase, Reservation};
use crate::ports::{Change, Changed, End, QueuedJob, RunRef, StoreError};

use super::admission::{self, Budget};
use super::context::Context;
use super::driver::{Driver, not_started};
use super::handle::Readiness;
use super::message::{Message, StopWhy};
use super::prepare::{chain, patiently};
use super::recovery::{Left, reconcile};

/// A job with a driver.
struct Running {
    reservation: Reservation,
    stop: watch::Sender<Option<StopWhy>>,
}

/// The task that starts jobs and hears wishes.
pub struct QueueLoop {
    context: Arc<Context>,
    wishes: mpsc::Receiver<Message>,
    running: HashMap<JobId, Running>,
    drivers: JoinSet<(JobId, Vec<RunRef>)>,
    sweeps: JoinSet<()>,
    is_reconciled: bool,
}

impl Context {
    /// Keeps count of who waits, and rings whom a change concerns.
    pub(super) fn changed(&self, changed: &Changed) {
        let waits = |phase| matches!(phase, Phase::Pending | Phase::Queued | Phase::Held);
        if waits(changed.from) && !waits(changed.job.phase) {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        let reason = changed.job.outcome.as_ref().map(|outcome| outcome.reason.as_str());
        info!(
            job.id = %changed.job.id, job.phase = %changed.job.phase, job.reason = reason,
            "job {} moved from {} to {}", changed.job.id, changed.from, changed.job.phase
        );
        if changed.job.deletion.is_some() {
            self.shared.swept.notify_one();
        }
    }
}

impl QueueLoop {
    pub(super) fn new(context: Arc<Context>, wishes: mpsc::Receiver<Message>) -> Self {
        Self {
            context,
            wishes,
            running: HashMap::new(),
            drivers: JoinSet::new(),
            sweeps: JoinSet::new(),
            is_reconciled: false,
        }
    }

    /// Runs until dropped. Dropping it drops the drivers and leaves every run alone: the next start goes on with them.
    pub async fn run(mut self) {
        self.abort_left_over().await;
        let context = Arc::clone(&self.context);
        let mut readiness = context.shared.readiness.subscribe();
        let recovered = async {
            // Not before the backend has answered: only then is it known on which boot of which engine.
            drop(readiness.wait_for(|readiness| matches!(readiness, Readiness::Ready { .. })).await);
            reconcile(&context).await
        };
        tokio::pin!(recovered);
        let mut changes = context.shared.readiness.subscribe();
        loop {
            if self.is_reconciled {
                self.start_admitted().await;
            }
            tokio::select! {
                // Every branch is safe to cancel: channels, a join, a notification, a pinned future.
                left = &mut recovered, if !self.is_reconciled => self.adopt(left).await,
                Some(wish) = self.wishes.recv() => self.hear(wish).await,
                Some(ended) = self.drivers.join_next() => self.ended(ended),
                Some(swept) = self.sweeps.join_next() => report(swept),
                () = context.shared.wake.notified() => {}
                Ok(()) = changes.changed() => {}
            }
        }
    }

    /// Meets the wishes that a crash left between their note and the deed.
    async fn abort_left_over(&mut self) {
        match self.context.shared.store.abort_requested().await {
            Ok(jobs) => {
                for id in jobs {
                    self.end_waiting(id, StopWhy::Aborted).await;
                }
            }
            Err(error) => error!("jobs to be aborted cannot be read: {}", chain(&error)),
        }
    }

    async fn adopt(&mut self, left: Vec<Left>) {
        self.is_reconciled = true;
        for Left { job, adoption } in left {
            // Read again: a wish may have been stored since, when there was no driver to hear it.
            let job = self.context.shared.store.job(job.id).await.ok().flatten().unwrap_or(job);
            let Some(driver) = self.driver(job) else { continue };
            let id = driver.job.id;
            self.drivers.spawn(async move { (id, driver.run_adopted(adoption).await) });
        }
    }

    /// Makes the driver of a job and remembers it.
    fn driver(&mut self, job: Job) -> Option<Driver> {
        let service = self.service(&job)?;
        let (stop, signal) = watch::channel(StopWhy::stored(&job));
        self.running.insert(job.id, Running { reservation: job.reservation, stop });
        Some(Driver { context: Arc::clone(&self.context), job, service, stop: signal })
    }

    /// The service of a job. One that is no longer configured is lent the settings of another: its runs must not be
    /// left without an end.
    fn service(&self, job: &Job) -> Option<Service> {
        let services = &self.context.shared.services;
        let service = services.get(&job.service).or_else(|| {
            warn!("job {} belongs to service {:?}, which is not configured any more", job.id, job.service);
            services.values().next()
        });
        service.cloned()
    }

    async fn hear(&mut self, wish: Message) {
        let Message::Stop { id, why, reply } = wish;
        let ended = match self.running.get(&id) {
            Some(running) => {
                // The first wish decides.
                running.stop.send_if_modified(|before| before.is_none() && before.replace(why).is_none());
                None
            }
            None => self.end_waiting(id, why).await,
        };
        // The one who asked may have gone away.
        drop(reply.send(ended));
    }

    /// Ends a job that has no run.
    async fn end_waiting(&mut self, id: JobId, why: StopWhy) -> Option<Job> {
        let now = self.context.shared.clock.now();
        let why = match self.context.shared.store.job(id).await {
            // It has a run, and its driver comes with recovery, which reads the stored wish.
            Ok(Some(job)) if matches!(job.phase, Phase::Executing | Phase::Suspended) => return None,
            Ok(Some(job)) => StopWhy::stored(&job).unwrap_or(why),
            Ok(None) => return None,
            Err(error) => {
                error!("job {id} cannot be read: {}", chain(&error));
                return None;
            }
        };
        let end = End {
            outcome: not_started(why),
            started_at: None,
            ended_at: now,
            results: Vec::new(),
            facts: None,
            visible_for: self.context.visible_for,
        };
        match self.context.shared.store.change(id, Change::End(Box::new(end)), now).await {
            Ok(changed) => {
                self.context.changed(&changed);
                Some(changed.job)
            }
            Err(StoreError::PhaseChanged { .. } | StoreError::NoSuchJob(_)) => None,
            Err(error) => {
                error!("job {id} could not be ended: {}", chain(&error));
                None
            }
        }
    }

    async fn start_admitted(&mut self) {
        if !matches!(*self.context.shared.readiness.borrow(), Readiness::Ready { .. }) {
            return;
        }
        let queue = &self.context.shared.queue;
        let jobs = usize::try_from(queue.max_running).unwrap_or(usize::MAX);
        if self.running.len() >= jobs {
            return;
        }
        let budget = Budget { jobs, cpus: queue.cpus, memory: queue.memory };
        // Jobs that are being prepared are QUEUED too, so there may be as many of them before the next one.
        let limit = u32::try_from(self.running.len() + jobs).unwrap_or(u32::MAX).min(1000);
        let queued: Vec<QueuedJob> = match self.context.shared.store.queued(0, limit).await {
            Ok(queued) => queued.into_iter().filter(|job| !self.running.contains_key(&job.id)).collect(),
            Err(error) => return error!("the queue cannot be read: {}", chain(&error)),
        };
        let reserved: Vec<Reservation> = self.running.values().map(|running| running.reservation).collect();
        let admitted = admission::admit(budget, &reserved, &queued);
        for next in queued.into_iter().take(admitted) {
            self.start(next.id).await;
        }
    }

    async fn start(&mut self, id: JobId) {
        let job = match self.context.shared.store.job(id).await {
            Ok(Some(job)) if job.phase == Phase::Queued => job,
            Ok(_) => return,
            Err(error) => return error!("job {id} cannot be read: {}", chain(&error)),
        };
        let Some(driver) = self.driver(job) else { return };
        self.drivers.spawn(async move { (id, driver.run_new().await) });
    }

    /// Gives a job's place to the next; its runs are removed meanwhile.
    fn ended(&mut self, ended: Result<(JobId, Vec<RunRef>), tokio::task::JoinError>) {
        let (id, runs) = match ended {
            Ok(ended) => ended,
            // A bug: the process goes down, and the next one finds the job as it is.
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        self.running.remove(&id);
        let context = Arc::clone(&self.context);
        self.sweeps.spawn(async move {
            for run in runs {
                if let Err(error) = patiently(|| context.backend.remove(&run)).await {
                    error!("{} could not be removed: {}", run.name(), chain(&error));
                }
            }
            context.shared.swept.notify_one();
        });
    }
}

fn report(swept: Result<(), tokio::task::JoinError>) {
    if let Err(panicked) = swept {
        std::panic::resume_unwind(panicked.into_panic());
    }
}
