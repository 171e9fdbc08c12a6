//! One task per running job; it alone changes that job's phase.
//!
//! ```text
//! new ──prepare──► commit EXECUTING ──► start ──┐         ┌─ suspend, resume ─┐
//!        └─ hold ─► commit HELD                 │         ▼                   │
//! adopted ───────────────────────────► start ───┴───► watch ──────────────────┴► take back ──► commit the end
//! ```
//! The runs are swept by the queue loop.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{Instrument, error, info, warn};

use crate::config::Service;
use crate::domain::{Facts, Job, JobResult, Outcome, Phase, Reason, Timestamp, chain};
use crate::ports::{BackendError, Change, End, Launch, RunRef, RunSpec, StoreError};

use super::cause::Cause;
use super::context::{Context, runs};
use super::ending::{Verdict, host_restarted, not_had, not_started, refused, verdict};
use super::message::{Disobeyed, Order, Ordered, StopWhy};
use super::prepare::prepare;
use super::recovery::is_another;
use super::run_clock::{self, RunClock};
use super::watching::Until;
use super::{output, watching};
use crate::ports::Backoff;

/// What a driver is told while it works: to stop its job, and why.
pub(super) type StopSignal = watch::Receiver<Option<StopWhy>>;

/// How long it may take to note why a job is about to be stopped.
const NOTING: Duration = Duration::from_secs(5);

/// Drives one job to its end.
pub(super) struct Driver {
    pub(super) context: Arc<Context>,
    pub(super) job: Job,
    pub(super) service: Service,
    pub(super) stop: StopSignal,
    pub(super) orders: mpsc::Receiver<Ordered>,
    pub(super) facts: Facts,
}

/// How the preparation of a job came to an end.
enum Prepared {
    /// Its runs can be started.
    Ready(Vec<RunSpec>),
    /// It cannot run, or is not to.
    Ended(Box<Outcome>),
    /// An operator holds it.
    Held(Ordered),
    /// The daemon was drained meanwhile: it stays in the queue.
    Drained,
}

impl Driver {
    pub(super) fn new(
        context: Arc<Context>,
        job: Job,
        service: Service,
        stop: StopSignal,
        orders: mpsc::Receiver<Ordered>,
    ) -> Self {
        let facts = job.facts.clone();
        Self { context, job, service, stop, orders, facts }
    }

    /// Runs a queued job. Returns the runs that are left to be removed.
    pub(super) async fn run_new(mut self) -> Vec<RunRef> {
        let span = self.context.span(&self.job);
        async move {
            match self.prepare().await {
                Prepared::Ready(specs) => self.launch(specs).await,
                Prepared::Ended(outcome) => self.end_unstarted(*outcome).await,
                Prepared::Held(ordered) => self.hold(ordered).await,
                Prepared::Drained => info!("job {} goes back into the queue: the daemon is drained", self.job.id),
            }
            self.context.shared.set_stage(self.job.id, None);
            runs(&self.job).collect()
        }
        .instrument(span)
        .await
    }

    /// Dropping the preparation stops it; what it made is swept by the names of its runs.
    async fn prepare(&mut self) -> Prepared {
        let Self { context, job, service, stop, orders, facts } = self;
        let mut drained = context.shared.drained.subscribe();
        let mut preparing = pin!(prepare(context, job, service, facts));
        loop {
            tokio::select! {
                // A wish to stop outdoes an order that came with it.
                biased;
                why = asked(stop) => return Prepared::Ended(Box::new(not_started(why))),
                Ok(_) = drained.wait_for(Option::is_some) => return Prepared::Drained,
                prepared = &mut preparing => {
                    return prepared.map_or_else(Prepared::Ended, Prepared::Ready);
                }
                Some(ordered) = orders.recv() => match ordered.order {
                    Order::Hold => return Prepared::Held(ordered),
                    Order::Suspend | Order::Resume => ordered.answer(Err(Disobeyed::WrongPhase)),
                },
            }
        }
    }

    async fn launch(&mut self, specs: Vec<RunSpec>) {
        // A wish to stop that came with the last step of the preparation.
        let wish = *self.stop.borrow();
        if let Some(why) = wish {
            return self.end_unstarted(not_started(why)).await;
        }
        while let Ok(ordered) = self.orders.try_recv() {
            match ordered.order {
                Order::Hold => return self.hold(ordered).await,
                Order::Suspend | Order::Resume => ordered.answer(Err(Disobeyed::WrongPhase)),
            }
        }
        // Intent before effect: a crash from here on leaves an executing job whose runs have known names.
        let launch = || {
            let (started_at, facts) = self.launched_now();
            Change::Launch(Box::new(Launch { started_at, facts }))
        };
        let Some(launched) = self.commit_made(launch).await else { return };
        // It may have been changed as long as the job was queued.
        self.job.execution_duration = launched.execution_duration;
        self.context.shared.set_stage(self.job.id, None);
        self.job.started_at = launched.started_at;
        self.facts = launched.facts;
        self.job.phase = Phase::Executing;
        crate::crash::point("launched");
        let (started, clock) = self.start_all(specs.iter(), None).await;
        crate::crash::point("started");
        self.watch(&specs, started, clock).await;
    }

    /// What is written of a launch at this moment.
    pub(super) fn launched_now(&self) -> (Timestamp, Facts) {
        let clock = &self.context.shared.clock;
        let launched_boot = clock.boot().map(str::to_owned);
        let launched = Facts { launched_since_boot: Some(clock.since_boot()), launched_boot, ..self.facts.clone() };
        (clock.now(), launched)
    }

    /// Starts the runs, one after the other, until the job is to be stopped; whoever watches them then sees why. Its clock is
    /// `clock`, else it begins with the first of them.
    pub(super) async fn start_all(
        &self,
        specs: impl Iterator<Item = &RunSpec>,
        clock: Option<RunClock>,
    ) -> (Result<(), BackendError>, RunClock) {
        let mut clock = clock;
        for spec in specs {
            let is_over = clock.and_then(|clock| clock.limit(&self.job)).is_some_and(|limit| limit.is_reached());
            if is_over || self.stop.borrow().is_some() {
                break;
            }
            if let Err(error) = self.context.patiently(|| self.context.backend.start(spec)).await {
                return (Err(error), clock.unwrap_or_else(RunClock::started));
            }
            clock.get_or_insert_with(RunClock::started);
            crate::crash::point("started-one");
        }
        (Ok(()), clock.unwrap_or_else(RunClock::started))
    }

    /// Waits for the runs, within what is left of the execution limit and until asked to stop, then ends the job.
    pub(super) async fn watch(&mut self, specs: &[RunSpec], started: Result<(), BackendError>, mut clock: RunClock) {
        if let Err(error) = started {
            // Of several replicas some may run: they end, with the last of their logs, before the job does.
            drop(self.watched(specs).stop_and_drain().await);
            let verdict = Verdict {
                outcome: refused(&error),
                started_at: None,
                ended_at: None,
                is_advisory: false,
                is_ours: false,
            };
            return self.end(specs, verdict).await;
        }
        loop {
            let timing = watching::Timing { limit: clock.limit(&self.job), is_halted: clock.is_halted() };
            // Not by `watched`: the wait needs other parts of this driver for itself.
            let watched = watching::Watched::of(&self.context, &self.service, &self.job.work, specs);
            let (shared, id) = (Arc::clone(&self.context.shared), self.job.id);
            let note = async move |cause: Cause| {
                let Some(update) = cause.to_note() else { return };
                // Without it the job is stopped all the same: only a daemon that comes after a kill of this one must guess then.
                match tokio::time::timeout(NOTING, shared.store.update(id, vec![update])).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => warn!("it is not noted why job {id} is stopped: {}", chain(&error)),
                    Err(_) => warn!("it is not noted why job {id} is stopped: the database takes too long"),
                }
            };
            let noted = Cause::noted(&self.job);
            match watched.until_end(timing, noted, note, &mut self.stop, &mut self.orders).await {
                Until::Ordered(ordered) => self.obey(specs, &mut clock, ordered).await,
                Until::End(cause, waited) => {
                    crate::crash::point("ended");
                    // The limit of a run that was adopted is that of its launch, whatever the service says now.
                    let memory = self.facts.memory_limit.or_else(|| specs.first().map(|spec| spec.memory));
                    return self.end(specs, verdict(cause, &waited, memory.unwrap_or_default())).await;
                }
            }
        }
    }

    pub(super) fn watched<'a>(&'a self, specs: &'a [RunSpec]) -> watching::Watched<'a> {
        watching::Watched::of(&self.context, &self.service, &self.job.work, specs)
    }

    /// How long the job executed that is heard now to have ended; `stamps`: what its backend says of start and end.
    fn ran(&self, stamps: Option<(Timestamp, Timestamp)>) -> Option<Duration> {
        let clock = &self.context.shared.clock;
        match self.facts.since_launch(clock.since_boot(), clock.boot()) {
            Some(most) => Some(run_clock::ran(stamps, self.job.started_at?, clock.now(), most)),
            // The daemon's host was started anew, the engine's was not.
            None => stamps.map(|(started_at, ended_at)| ended_at.since(started_at)),
        }
    }

    /// Brings the output home and commits the end.
    pub(super) async fn end(&mut self, specs: &[RunSpec], verdict: Verdict) {
        let Verdict { mut outcome, started_at, ended_at, is_advisory, is_ours } = verdict;
        // Not later: to bring the output home may take long.
        let (heard_at, ran) = (self.context.shared.clock.now(), self.ran(started_at.zip(ended_at)));
        let ((results, complaint), is_restarted) = tokio::join!(self.take_results(specs), self.engine_was_restarted());
        if is_restarted && !is_ours {
            outcome = host_restarted(outcome);
        } else if let (Some(complaint), Reason::Ok) = (complaint, outcome.reason) {
            // A success whose results cannot be had is none.
            outcome = Outcome { summary: complaint.summary, reason: complaint.reason, ..outcome };
        }
        self.facts.is_advisory |= is_advisory;
        let end = End {
            outcome,
            started_at,
            ended_at: ended_at.unwrap_or(heard_at),
            ran: ran.filter(|_| !is_restarted),
            results,
            facts: Some(self.facts.clone()),
            visible_for: self.context.visible_for(),
        };
        crate::crash::point("harvested");
        self.commit(Change::End(Box::new(end))).await;
        crate::crash::point("committed");
    }

    /// Whether the engine that answers now is another start of it than the one that ran the job.
    async fn engine_was_restarted(&self) -> bool {
        match self.context.patiently(|| self.context.backend.identify()).await {
            Ok(engine) => is_another(&self.facts, &engine),
            Err(error) => {
                warn!("it is not known whether the engine was restarted: {}", chain(&error));
                false
            }
        }
    }

    /// Brings the output home. What keeps a success from being one is the second value: files that cannot be had, or that take
    /// too much, where that is only seen now.
    async fn take_results(&self, specs: &[RunSpec]) -> (Vec<JobResult>, Option<Outcome>) {
        let Some(first) = specs.first() else { return (Vec::new(), None) };
        // Replicas share the output directory, unless each has its own on another host.
        let apart = if self.context.backend.shares_files() { &specs[..1] } else { specs };
        let mut stop = self.stop.clone();
        let mut complaint = None;
        let mut taken = 0;
        for spec in apart {
            match self.context.take_back(spec, &mut stop).await {
                Ok(()) => taken += 1,
                Err(error) => complaint = complaint.or_else(|| Some(not_had(&error))),
            }
        }
        if taken == 0 {
            return (Vec::new(), complaint);
        }
        if complaint.is_none() && !self.context.sees_files(first.user) {
            let full = self.context.room(&self.service).used_up(specs).await;
            complaint = full.map(|full| Outcome::new(Reason::OutputTooLarge, full.to_string()));
        }
        let (path, dotfiles) = (first.dirs.output(), self.service.dotfiles);
        match self.context.shared.gate.pass(move || output::collect(&path, dotfiles)).await {
            Ok((results, left_out)) => {
                if let Some(left_out) = left_out {
                    warn!("{left_out}");
                }
                (results, complaint)
            }
            Err(source) => {
                let error = BackendError::Io { doing: "reading the job's output directory", source };
                (Vec::new(), complaint.or_else(|| Some(refused(&error))))
            }
        }
    }

    /// Ends a job whose command never started.
    async fn end_unstarted(&mut self, outcome: Outcome) {
        let end = End {
            outcome,
            started_at: None,
            ended_at: self.context.shared.clock.now(),
            ran: None,
            results: Vec::new(),
            facts: Some(self.facts.clone()),
            visible_for: self.context.visible_for(),
        };
        self.commit(Change::End(Box::new(end))).await;
    }

    /// Commits a change, however long the store takes to have room again. Returns the job if it is in that phase now.
    pub(super) async fn commit(&self, change: Change) -> Option<Job> {
        self.commit_made(|| change.clone()).await
    }

    /// The same of a change that is another at each try.
    async fn commit_made(&self, change: impl Fn() -> Change) -> Option<Job> {
        let shared = &self.context.shared;
        let write = || shared.store.change(self.job.id, change(), shared.clock.now());
        let changed = self.written(write).await?;
        self.context.changed(&changed);
        Some(changed.job)
    }

    /// Writes until it is written; `None`: that makes no sense any more.
    pub(super) async fn written<T, F>(&self, write: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut backoff = Backoff::new();
        loop {
            match write().await {
                Ok(written) => return Some(written),
                Err(
                    error @ (StoreError::PhaseChanged { .. }
                    | StoreError::NoSuchJob(_)
                    | StoreError::Busy(_)
                    | StoreError::KeyReused(_)),
                ) => {
                    error!("job {} was changed by somebody else: {error}", self.job.id);
                    return None;
                }
                Err(error @ StoreError::Closed) => {
                    warn!("job {} is left as it is: {error}", self.job.id);
                    return None;
                }
                Err(
                    error @ (StoreError::Full { .. }
                    | StoreError::Unwritable { .. }
                    | StoreError::Replaced { .. }
                    | StoreError::Failed { .. }),
                ) => {
                    error!("job {} waits to be written: {}", self.job.id, chain(&error));
                    backoff.wait().await;
                }
            }
        }
    }
}

/// Resolves once the driver is asked to stop its job.
pub(super) async fn asked(stop: &mut StopSignal) -> StopWhy {
    loop {
        if let Some(why) = *stop.borrow_and_update() {
            return why;
        }
        if stop.changed().await.is_err() {
            // The supervisor goes down: nobody will ask any more.
            std::future::pending::<()>().await;
        }
    }
}
