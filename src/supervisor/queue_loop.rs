//! The supervisor's own task: starts jobs, hears wishes, joins drivers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use crate::config::Service;
use crate::domain::{Job, JobId, Outcome, OwnerId, Phase, Reservation, RunId, chain};
use crate::ports::{Change, Changed, End, QueuedJob, RunRef, StoreError};

use super::admission::{self, Budget};
use super::context::Context;
use super::driver::Driver;
use super::ending::not_started;
use super::handle::Readiness;
use super::message::{Disobeyed, Message, Order, Ordered, StopWhy};
use super::overdue;
use super::recovery::{Found, Left, reconcile};
use crate::ports::Backoff;

/// How many wishes are met together, so that their writes share a commit.
const WISHES: usize = 64;
/// How soon the store is asked again after it failed.
const AGAIN: Duration = Duration::from_secs(1);
/// How many orders may wait for a driver; of more the last are refused.
const ORDERS: usize = 8;

/// A job with a driver.
struct Running {
    service: String,
    owner: Option<OwnerId>,
    reservation: Reservation,
    stop: watch::Sender<Option<StopWhy>>,
    orders: mpsc::Sender<Ordered>,
}

/// The task that starts jobs and hears wishes.
pub struct QueueLoop {
    context: Arc<Context>,
    wishes: mpsc::Receiver<Message>,
    running: HashMap<JobId, Running>,
    drivers: JoinSet<(JobId, Vec<RunRef>)>,
    sweeps: JoinSet<JobId>,
    /// How many runs of a job are being removed: it must not be started meanwhile, its new runs have the same names.
    swept: HashMap<JobId, u32>,
    is_reconciled: bool,
    /// The store failed in what must be done: do it again soon.
    is_behind: bool,
}

impl Context {
    /// Keeps count of who waits, and rings whom a change concerns.
    pub(super) fn changed(&self, changed: &Changed) {
        self.shared.waiters.ring(changed.job.id);
        let waits = |phase| matches!(phase, Phase::Pending | Phase::Queued | Phase::Held);
        if waits(changed.from) && !waits(changed.job.phase) {
            let one_less = |waiting: u64| Some(waiting.saturating_sub(1));
            let _ = self.shared.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less); // always Some
        }
        let reason = changed.job.outcome.as_ref().map(|outcome| outcome.reason.as_str());
        let run_id = changed.job.run_id.as_ref().map(RunId::as_str);
        let owner = changed.job.owner.as_ref().map(OwnerId::as_str);
        info!(
            job.id = %changed.job.id, service = changed.job.service, owner, job.run_id = run_id, job.phase = %changed.job.phase, job.reason = reason,
            "job {} moved from {} to {}", changed.job.id, changed.from, changed.job.phase
        );
        if changed.job.deletion.is_some() || (changed.job.is_expired && changed.job.phase.is_final()) {
            self.shared.swept.notify_one();
        }
    }

    /// Ends a job that has no run. `Ok(None)`: it is not there, has ended, or has a run whose driver does it.
    async fn end_waiting(&self, id: JobId, why: StopWhy) -> Result<Option<Job>, StoreError> {
        let Some(job) = self.shared.store.job(id).await? else { return Ok(None) };
        // Of a job that executes the driver comes with recovery, which reads the stored wish.
        if job.phase.is_final() || matches!(job.phase, Phase::Executing | Phase::Suspended) {
            return Ok(None);
        }
        self.end_unstarted(id, not_started(StopWhy::stored(&job).unwrap_or(why))).await
    }

    /// Ends a job that has no run; returns it, unless it has gone on meanwhile.
    pub(super) async fn end_unstarted(&self, id: JobId, outcome: Outcome) -> Result<Option<Job>, StoreError> {
        let now = self.shared.clock.now();
        let end = End {
            outcome,
            started_at: None,
            ended_at: now,
            ran: None,
            results: Vec::new(),
            facts: None,
            visible_for: self.visible_for(),
        };
        match self.shared.store.change(id, Change::End(Box::new(end)), now).await {
            Ok(changed) => {
                self.changed(&changed);
                Ok(Some(changed.job))
            }
            Err(StoreError::PhaseChanged { .. } | StoreError::NoSuchJob(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Obeys an order to a job that has no run.
    async fn order_waiting(&self, id: JobId, ordered: Ordered) {
        let result = match ordered.order {
            Order::Suspend | Order::Resume => Err(Disobeyed::WrongPhase),
            Order::Hold => match self.shared.store.change(id, Change::Hold, self.shared.clock.now()).await {
                Ok(changed) => {
                    self.changed(&changed);
                    Ok(())
                }
                Err(error) => Err(Disobeyed::Store(error)),
            },
        };
        ordered.answer(result);
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
            swept: HashMap::new(),
            is_reconciled: false,
            is_behind: true,
        }
    }

    /// Runs until dropped. Dropping it drops the drivers and leaves every run alone: the next start goes on with them.
    pub async fn run(mut self) {
        let context = Arc::clone(&self.context);
        let mut readiness = context.shared.readiness.subscribe();
        let recovered = async {
            // Not before the backend has answered: only then is it known on which boot of which engine.
            drop(readiness.wait_for(|readiness| matches!(readiness, Readiness::Ready { .. })).await);
            reconcile(&context).await
        };
        tokio::pin!(recovered);
        let mut changes = context.shared.readiness.subscribe();
        let mut reloads = context.shared.config.subscribe();
        let mut wishes = Vec::with_capacity(WISHES);
        let mut look = tokio::time::interval(overdue::LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.is_behind {
                self.is_behind = self.meet_stored_wishes().await.is_err();
            }
            if self.is_reconciled && self.start_admitted().await.is_err() {
                self.is_behind = true;
            }
            tokio::select! {
                // Every branch is safe to cancel: channels, a join, a notification, a timer, a pinned future.
                found = &mut recovered, if !self.is_reconciled => self.adopt(found).await,
                _ = self.wishes.recv_many(&mut wishes, WISHES) => self.hear(&mut wishes).await,
                Some(ended) = self.drivers.join_next() => self.ended(ended),
                Some(swept) = self.sweeps.join_next() => self.swept(swept),
                () = context.shared.wake.notified() => {}
                Ok(()) = changes.changed() => {}
                Ok(()) = reloads.changed() => {}
                _ = look.tick(), if context.limits_the_wait() => self.end_overdue().await,
                () = tokio::time::sleep(AGAIN), if self.is_behind => {}
            }
        }
    }

    /// Meets the wishes that are stored and were not met: a crash or a failure of the store came between.
    async fn meet_stored_wishes(&self) -> Result<(), StoreError> {
        let result = async {
            for id in self.context.shared.store.abort_requested().await? {
                match self.running.get(&id) {
                    Some(running) => {
                        let job = self.context.shared.store.job(id).await?;
                        wish(running, job.and_then(|job| StopWhy::stored(&job)).unwrap_or(StopWhy::Aborted));
                    }
                    None => drop(self.context.end_waiting(id, StopWhy::Aborted).await?),
                }
            }
            Ok(())
        };
        result.await.inspect_err(|error| error!("jobs cannot be aborted yet: {}", chain(error)))
    }

    async fn end_overdue(&self) {
        if let Err(error) = self.context.end_overdue(|id| self.running.contains_key(id)).await {
            error!("jobs that have waited too long cannot be ended yet: {}", chain(&error));
        }
    }

    async fn adopt(&mut self, found: Found) {
        self.is_reconciled = true;
        self.context.shared.is_reconciled.store(true, Ordering::Release);
        for run in found.to_sweep {
            self.sweep(run);
        }
        for Left { job, adoption } in found.left {
            // Read again: a wish may have been stored since, when there was no driver to hear it.
            let Some(now) = self.read(job.id).await else { continue };
            let job = Job { facts: job.facts, ..now };
            let Some(driver) = self.driver(job) else { continue };
            let id = driver.job.id;
            self.drivers.spawn(async move { (id, driver.run_adopted(adoption).await) });
        }
    }

    /// Reads a job, however long the store takes to answer.
    async fn read(&self, id: JobId) -> Option<Job> {
        let mut backoff = Backoff::new();
        loop {
            match self.context.shared.store.job(id).await {
                Ok(job) => return job,
                Err(error) => error!("job {id} cannot be read: {}", chain(&error)),
            }
            backoff.wait().await;
        }
    }

    /// Makes the driver of a job and remembers it.
    fn driver(&mut self, job: Job) -> Option<Driver> {
        let service = self.service(&job)?;
        let (stop, signal) = watch::channel(StopWhy::stored(&job));
        let (orders, received) = mpsc::channel(ORDERS);
        let (service_name, owner) = (job.service.clone(), job.owner.clone());
        let running = Running { service: service_name, owner, reservation: job.reservation, stop, orders };
        self.running.insert(job.id, running);
        self.note_taken();
        Some(Driver::new(Arc::clone(&self.context), job, service, signal, received))
    }

    fn note_taken(&self) {
        self.context.shared.noted.taken(self.running.values().map(|running| running.reservation));
    }

    /// The service of a job. One that is no longer configured is lent the settings of another: its runs must not be
    /// left without an end. What its files may take is none of the other's business.
    fn service(&self, job: &Job) -> Option<Service> {
        let config = self.context.shared.config.get();
        if let Some(service) = config.services.get(&job.service) {
            return Some(service.clone());
        }
        warn!("job {} belongs to service {:?}, which is not configured any more", job.id, job.service);
        config.services.values().next().map(|other| Service { max_output: None, ..other.clone() })
    }

    /// Meets wishes: of running jobs their drivers do it, of waiting ones we do, all in one commit.
    async fn hear(&mut self, wishes: &mut Vec<Message>) {
        let mut replies = Vec::new();
        for message in wishes.drain(..) {
            match message {
                Message::Stop { id, why, reply } => {
                    if let Some(running) = self.running.get(&id) {
                        wish(running, why);
                        // The one who asked may have gone away, here and below.
                        drop(reply.send(None));
                    } else {
                        let context = Arc::clone(&self.context);
                        replies.push(async move { (reply, context.end_waiting(id, why).await) });
                    }
                }
                Message::Order { id, ordered } => match self.running.get(&id) {
                    // A driver that ends just now, or has too much to obey, closes the reply without a word.
                    Some(running) => drop(running.orders.try_send(ordered)),
                    None => self.context.order_waiting(id, ordered).await,
                },
            }
        }
        let mut is_behind = false;
        for (reply, ended) in join_all(replies).await {
            let ended = ended.unwrap_or_else(|error| {
                error!("a job could not be ended yet: {}", chain(&error));
                is_behind = true;
                None
            });
            drop(reply.send(ended));
        }
        self.is_behind |= is_behind;
    }

    async fn start_admitted(&mut self) -> Result<(), StoreError> {
        let queue = &self.context.shared.config.get().queue;
        let jobs = usize::try_from(queue.max_running).unwrap_or(usize::MAX);
        let is_ready = matches!(*self.context.shared.readiness.borrow(), Readiness::Ready { .. });
        let is_drained = self.context.shared.drained.borrow().is_some();
        if !is_ready || is_drained || self.running.len() >= jobs {
            return Ok(());
        }
        let budget = Budget { jobs, cpus: queue.cpus, memory: queue.memory };
        // Again as long as something starts: a service that has its share by then hides no other any more.
        while self.start_some(budget).await? > 0 {}
        Ok(())
    }

    /// Starts those of the queue's head that fit; returns how many.
    async fn start_some(&mut self, budget: Budget) -> Result<usize, StoreError> {
        let config = self.context.shared.config.get();
        let services = &config.services;
        let share = |name: &str| services.get(name).map_or(admission::Share::NONE, admission::Share::of);
        let of_service = |name: &str| self.running.values().filter(|running| running.service == name).count();
        let has_its_share = |name: &&String| share(name).jobs.is_some_and(|most| of_service(name) >= most);
        let without: Vec<String> = services.keys().filter(has_its_share).cloned().collect();
        // Jobs that are being prepared are QUEUED too, so there may be as many of them before the next one.
        let since_boot = self.context.shared.clock.since_boot();
        let limit = u32::try_from(self.running.len() + budget.jobs).unwrap_or(u32::MAX).min(1000);
        let queued = self.context.shared.store.queued(&without, limit, since_boot).await;
        let queued = queued.inspect_err(|error| error!("the queue cannot be read: {}", chain(error)))?;
        let queued: Vec<QueuedJob> = queued
            .into_iter()
            .filter(|job| !self.running.contains_key(&job.id) && !self.swept.contains_key(&job.id))
            .collect();
        let running: Vec<admission::Running<'_>> = self
            .running
            .values()
            .map(|Running { service, owner, reservation, .. }| admission::Running {
                service,
                owner: owner.as_ref(),
                reservation: *reservation,
            })
            .collect();
        let admitted = admission::admit(budget, share, config.queue.aging, &running, &queued);
        let mut started = 0;
        for position in admitted {
            let id = queued[position].id;
            let job = self.context.shared.store.job(id).await;
            let job = job.inspect_err(|error| error!("job {id} cannot be read: {}", chain(error)))?;
            let Some(job) = job.filter(|job| job.phase == Phase::Queued) else { continue };
            let Some(driver) = self.driver(job) else { continue };
            self.drivers.spawn(async move { (id, driver.run_new().await) });
            started += 1;
        }
        Ok(started)
    }

    /// Gives a job's place to the next; its runs are removed meanwhile.
    fn ended(&mut self, ended: Result<(JobId, Vec<RunRef>), JoinError>) {
        let (id, runs) = match ended {
            Ok(ended) => ended,
            // A bug: the process goes down, and the next one finds the job as it is.
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        let gone = self.running.remove(&id);
        self.note_taken();
        // A wish that came while its driver committed something else is met now.
        self.is_behind |= gone.is_some_and(|gone| gone.stop.borrow().is_some());
        for run in runs {
            self.sweep(run);
        }
    }

    /// Removes a run, however often that fails.
    fn sweep(&mut self, run: RunRef) {
        let context = Arc::clone(&self.context);
        *self.swept.entry(run.job).or_default() += 1;
        self.sweeps.spawn(async move {
            let mut backoff = Backoff::new();
            while let Err(error) = context.backend.remove(&run).await {
                warn!("{} could not be removed yet: {}", run.name(), chain(&error));
                backoff.wait().await;
            }
            context.shared.swept.notify_one();
            run.job
        });
    }

    fn swept(&mut self, swept: Result<JobId, JoinError>) {
        let job = match swept {
            Ok(job) => job,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        if let Entry::Occupied(mut left) = self.swept.entry(job) {
            *left.get_mut() -= 1;
            if *left.get() == 0 {
                left.remove();
            }
        }
    }
}

/// Tells a driver to stop its job; the first wish decides.
fn wish(running: &Running, why: StopWhy) {
    running.stop.send_if_modified(|before| before.is_none() && before.replace(why).is_none());
}
