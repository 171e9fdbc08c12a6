//! One task per running job; it alone changes that job's phase.
//!
//! ```text
//! new ──prepare──► commit EXECUTING ──► start ──┐
//! adopted ───────────────────────────► start ───┴► watch ──► take back ──► commit the end ──► (runs swept)
//! ```

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{Instrument, error, info, info_span, warn};

use crate::config::Service;
use crate::domain::{Facts, Job, JobResult, Outcome, Reason};
use crate::ports::{BackendError, Change, End, How, Launch, RunRef, RunSpec, StoreError};

use super::backoff::Backoff;
use super::context::{Context, runs};
use super::ending::{Cause, Verdict, Waited, is_failure, verdict};
use super::message::StopWhy;
use super::prepare::{Prepared, chain, patiently, prepare, refused};
use super::{output, plan};

/// What a driver is told while it works: to stop its job, and why.
pub(super) type StopSignal = watch::Receiver<Option<StopWhy>>;

/// Drives one job to its end.
pub(super) struct Driver {
    pub(super) context: Arc<Context>,
    pub(super) job: Job,
    pub(super) service: Service,
    pub(super) stop: StopSignal,
}

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
    /// Runs a queued job. Returns the runs that are left to be removed.
    pub(super) async fn run_new(mut self) -> Vec<RunRef> {
        let span = info_span!("run", job.id = %self.job.id, run.backend = self.context.backend.kind());
        async move {
            let prepared = tokio::select! {
                // Dropping the preparation stops it; what it made is swept by the names of its runs.
                prepared = prepare(&self.context, &self.job, &self.service) => prepared,
                why = asked(&mut self.stop) => Err(Box::new(not_started(why))),
            };
            match prepared {
                Ok(prepared) => self.launch(prepared).await,
                Err(outcome) => self.end_unstarted(*outcome).await,
            }
            self.context.shared.set_stage(self.job.id, None);
            runs(&self.job).collect()
        }
        .instrument(span)
        .await
    }

    /// Goes on with a job that an earlier process of this daemon launched. Returns the runs that are left to be removed.
    pub(super) async fn run_adopted(mut self, adoption: Adoption) -> Vec<RunRef> {
        let span = info_span!("run", job.id = %self.job.id, run.backend = self.context.backend.kind());
        async move {
            let dirs = self.context.dirs(self.job.id);
            let specs: Vec<RunSpec> =
                runs(&self.job).map(|run| plan::run_spec(&self.job, &self.service, run, dirs.clone())).collect();
            let facts = self.job.facts.clone();
            info!("job {} was running before the start; going on with it", self.job.id);
            match adoption {
                Adoption::SameHost { unstarted } => {
                    let is_stopped = self.stop.borrow().is_some();
                    let to_start = specs.iter().filter(|spec| !is_stopped && unstarted.contains(&spec.run));
                    let started = self.start_all(to_start).await;
                    self.watch(&specs, facts, started).await;
                }
                Adoption::Restarted => self.end_restarted(&specs, facts).await,
            }
            runs(&self.job).collect()
        }
        .instrument(span)
        .await
    }

    async fn launch(&mut self, prepared: Prepared) {
        let Prepared { specs, facts } = prepared;
        // A wish to stop that came with the last step of the preparation.
        let wish = *self.stop.borrow();
        if let Some(why) = wish {
            return self.end_unstarted(not_started(why)).await;
        }
        let started_at = self.context.shared.clock.now();
        let launch = Change::Launch(Launch { started_at, facts: facts.clone() });
        // Intent before effect: a crash from here on leaves an executing job whose runs have known names.
        if !self.commit(launch).await {
            return;
        }
        self.context.shared.set_stage(self.job.id, None);
        self.job.started_at = Some(started_at);
        crate::crash::point("launched");
        let started = self.start_all(specs.iter()).await;
        crate::crash::point("started");
        self.watch(&specs, facts, started).await;
    }

    async fn start_all(&self, specs: impl Iterator<Item = &RunSpec>) -> Result<(), BackendError> {
        for spec in specs {
            patiently(|| self.context.backend.start(spec)).await?;
        }
        Ok(())
    }

    /// Waits for the runs, within the execution limit and until asked to stop, then ends the job.
    async fn watch(&mut self, specs: &[RunSpec], facts: Facts, started: Result<(), BackendError>) {
        if let Err(error) = started {
            self.stop_all(specs).await;
            let outcome = refused(&error);
            return self
                .end(specs, facts, Verdict { outcome, started_at: None, ended_at: None, is_advisory: false })
                .await;
        }
        let (cause, waited) = self.wait_all(specs).await;
        crate::crash::point("ended");
        let mut verdict = verdict(cause, &waited, specs.first().map_or(0, |spec| spec.memory));
        if verdict.started_at.is_none() {
            verdict.started_at = self.job.started_at;
        }
        self.end(specs, facts, verdict).await;
    }

    async fn wait_all(&mut self, specs: &[RunSpec]) -> (Option<Cause>, Vec<Waited>) {
        let backend = Arc::clone(&self.context.backend);
        let limit = self.job.execution_duration;
        let deadline = limit.map(|limit| Instant::now() + self.remaining(limit));
        let mut waits: FuturesUnordered<_> = specs
            .iter()
            .enumerate()
            .map(|(position, spec)| {
                let backend = Arc::clone(&backend);
                async move { (position, backend.wait(&spec.run, &spec.dirs).await) }
            })
            .collect();
        let mut waited: Vec<Option<Waited>> = specs.iter().map(|_| None).collect();
        let mut cause = None;
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                // In this order: what we stop must not be taken for an end of its own.
                // Every branch is safe to cancel: a wait goes on where it was, the others keep no state.
                biased;
                why = asked(&mut stop), if cause.is_none() => cause = Some(Cause::Asked(why)),
                () = until(deadline), if cause.is_none() => cause = limit.map(Cause::Limit),
                ended = waits.next() => {
                    let Some((position, ending)) = ended else { break };
                    if cause.is_none() && specs.len() > 1 && is_failure(&ending) {
                        cause = u32::try_from(position).ok().map(Cause::Replica);
                    }
                    if let Some(place) = waited.get_mut(position) {
                        *place = Some(ending);
                    }
                    if cause.is_none() || waits.is_empty() {
                        continue;
                    }
                }
            }
            // There is a cause now and something still runs: stop all of it, while the waits take the last of its logs.
            let drain = async {
                while let Some((position, ending)) = waits.next().await {
                    if let Some(place) = waited.get_mut(position) {
                        *place = Some(ending);
                    }
                }
            };
            tokio::join!(self.stop_all(specs), drain);
            break;
        }
        let gone =
            || Err(BackendError::Refused { backend: backend.kind(), doing: "waiting", why: "no answer".to_owned() });
        (cause, waited.into_iter().map(|waited| waited.unwrap_or_else(gone)).collect())
    }

    /// What is left of the execution limit; a job that was adopted has used some of it already.
    fn remaining(&self, limit: Duration) -> Duration {
        let used = self.job.started_at.map_or(Duration::ZERO, |start| self.context.shared.clock.now().since(start));
        limit.saturating_sub(used)
    }

    /// Stops every run, however long the backend takes to be reached.
    async fn stop_all(&self, specs: &[RunSpec]) {
        let stops: FuturesUnordered<_> = specs
            .iter()
            .map(|spec| async {
                let grace = self.service.kill_grace;
                if let Err(error) = patiently(|| self.context.backend.stop(&spec.run, grace)).await {
                    error!("{} could not be stopped: {}", spec.run.name(), chain(&error));
                }
            })
            .collect();
        stops.collect::<()>().await;
    }

    /// Brings the output home and commits the end.
    async fn end(&mut self, specs: &[RunSpec], facts: Facts, verdict: Verdict) {
        let Verdict { mut outcome, started_at, ended_at, is_advisory } = verdict;
        let (results, complaint) = self.take_results(specs).await;
        if let (Some(complaint), Reason::Ok) = (complaint, outcome.reason) {
            // A success whose results cannot be had is none.
            outcome = Outcome { exit_code: outcome.exit_code, peak_memory: outcome.peak_memory, ..complaint };
        }
        let end = End {
            outcome,
            started_at,
            ended_at: ended_at.unwrap_or_else(|| self.context.shared.clock.now()),
            results,
            facts: Some(Facts { is_advisory, ..facts }),
            visible_for: self.context.visible_for,
        };
        crate::crash::point("harvested");
        self.commit(Change::End(Box::new(end))).await;
        crate::crash::point("committed");
    }

    async fn take_results(&self, specs: &[RunSpec]) -> (Vec<JobResult>, Option<Outcome>) {
        let Some(first) = specs.first() else { return (Vec::new(), None) };
        if let Err(error) = patiently(|| self.context.backend.take_back(first)).await {
            return (Vec::new(), Some(refused(&error)));
        }
        let (path, dotfiles) = (first.dirs.output(), self.service.dotfiles);
        let collected = tokio::task::spawn_blocking(move || output::collect(&path, dotfiles)).await;
        match collected.unwrap_or_else(|panicked| Err(std::io::Error::other(panicked))) {
            Ok((results, unnameable)) => {
                if unnameable > 0 {
                    warn!("{unnameable} output files have names that are not UTF-8 and are no results");
                }
                (results, None)
            }
            Err(source) => {
                let error = BackendError::Io { doing: "reading the job's output directory", source };
                (Vec::new(), Some(refused(&error)))
            }
        }
    }

    /// Ends a job whose command never started.
    async fn end_unstarted(&mut self, outcome: Outcome) {
        let ended_at = self.context.shared.clock.now();
        let visible_for = self.context.visible_for;
        let end = End { outcome, started_at: None, ended_at, results: Vec::new(), facts: None, visible_for };
        self.commit(Change::End(Box::new(end))).await;
    }

    /// Ends a job that was executing when its host or engine went down.
    async fn end_restarted(&mut self, specs: &[RunSpec], facts: Facts) {
        // Nothing of it may go on, whatever the engine made of it after its restart.
        self.stop_all(specs).await;
        let ending = crate::ports::Ending {
            how: How::HostRestarted,
            started_at: self.job.started_at,
            ended_at: None,
            peak_memory: None,
            is_advisory: facts.is_advisory,
            log_error: None,
        };
        let verdict = verdict(None, &[Ok(ending)], 0);
        self.end(specs, facts, verdict).await;
    }

    /// Commits a change, however long the store takes to have room again. Returns whether the job is in that phase now.
    async fn commit(&self, change: Change) -> bool {
        let mut backoff = Backoff::new();
        loop {
            let now = self.context.shared.clock.now();
            match self.context.shared.store.change(self.job.id, change.clone(), now).await {
                Ok(changed) => {
                    self.context.changed(&changed);
                    return true;
                }
                Err(error @ (StoreError::PhaseChanged { .. } | StoreError::NoSuchJob(_))) => {
                    error!("job {} was changed by somebody else: {error}", self.job.id);
                    return false;
                }
                Err(error @ StoreError::Closed) => {
                    warn!("job {} is left as it is: {error}", self.job.id);
                    return false;
                }
                Err(error @ (StoreError::Full { .. } | StoreError::Failed { .. })) => {
                    error!("job {} waits to be written: {}", self.job.id, chain(&error));
                    backoff.wait().await;
                }
            }
        }
    }
}

/// Resolves once the driver is asked to stop its job.
async fn asked(stop: &mut StopSignal) -> StopWhy {
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

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The end of a job that was stopped before its command began.
pub(super) fn not_started(why: StopWhy) -> Outcome {
    match why {
        StopWhy::Aborted => Outcome::new(Reason::Aborted, ""),
        StopWhy::Expired => Outcome::new(Reason::Expired, "its destruction time came before its command began"),
    }
}
