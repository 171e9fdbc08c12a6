//! At start: what the store says runs, against what the backend still has.

use std::collections::HashMap;

use tracing::{info, warn};

use crate::domain::{Job, JobId, Phase};
use crate::ports::{BackendError, FoundRun, RunState, StoreError};

use super::backoff::Backoff;
use super::context::Context;
use super::driver::Adoption;
use super::prepare::{chain, patiently};

/// A job that was executing, with what became of its host.
pub(super) struct Left {
    pub(super) job: Job,
    pub(super) adoption: Adoption,
}

/// Holds the stored jobs against the backend's runs: removes the runs of jobs that do not execute, and returns the jobs
/// that do. Nothing may be launched before this is done. Tries until both store and backend have answered.
pub(super) async fn reconcile(context: &Context) -> Vec<Left> {
    let mut backoff = Backoff::new();
    loop {
        match attempt(context).await {
            Ok(left) => return left,
            Err(why) => warn!("stored jobs cannot be held against the backend yet: {why}"),
        }
        backoff.wait().await;
    }
}

async fn attempt(context: &Context) -> Result<Vec<Left>, String> {
    let store = &context.shared.store;
    let found = context.backend.find_runs().await.map_err(|error| chain(&error))?;
    let executing = store.executing().await.map_err(|error| chain(&error))?;
    let mut by_job: HashMap<JobId, Vec<FoundRun>> = HashMap::new();
    for run in found {
        by_job.entry(run.run.job).or_default().push(run);
    }
    let left = executing
        .into_iter()
        .map(|job| {
            let runs = by_job.remove(&job.id).unwrap_or_default();
            Left { adoption: adoption(context, &job, &runs), job }
        })
        .collect();
    for (job, runs) in by_job {
        sweep(context, job, &runs).await?;
    }
    Ok(left)
}

fn adoption(context: &Context, job: &Job, runs: &[FoundRun]) -> Adoption {
    let engine = context.engine();
    let differs =
        |then: Option<&String>, now: Option<&String>| matches!((then, now), (Some(then), Some(now)) if then != now);
    let restarted = engine.is_some_and(|engine| {
        differs(job.facts.boot_id.as_ref(), engine.boot_id.as_ref())
            || differs(job.facts.engine_start.as_ref(), engine.engine_start.as_ref())
    });
    // An engine that keeps containers alive over its own restart did not end this job.
    let runs_on = runs.iter().any(|run| run.state == RunState::Running);
    if restarted && !runs_on {
        return Adoption::Restarted;
    }
    let unstarted = runs.iter().filter(|run| run.state == RunState::Created).map(|run| run.run).collect();
    Adoption::SameHost { unstarted }
}

/// Removes the runs of a job that does not execute: it never started (QUEUED) or its end is stored already.
async fn sweep(context: &Context, job: JobId, runs: &[FoundRun]) -> Result<(), String> {
    let phase = match context.shared.store.job(job).await {
        Ok(job) => job.map(|job| job.phase),
        Err(StoreError::NoSuchJob(_)) => None,
        Err(error) => return Err(chain(&error)),
    };
    for FoundRun { run, state } in runs {
        if *state == RunState::Running && !phase.is_some_and(Phase::is_final) {
            // EXECUTING is committed before a start, so this cannot be a run of ours that anybody waits for.
            warn!("{} runs though its job is {phase:?}; removing it", run.name());
        } else {
            info!("removing {}, left by a job that is {phase:?}", run.name());
        }
        let removed: Result<(), BackendError> = patiently(|| context.backend.remove(run)).await;
        removed.map_err(|error| chain(&error))?;
    }
    Ok(())
}
