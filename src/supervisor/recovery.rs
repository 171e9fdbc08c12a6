//! At start: what the store says runs, against what the backend still has.

use std::collections::HashMap;

use tracing::{info, warn};

use crate::domain::{Facts, Job, JobId, chain};
use crate::ports::{EngineFacts, FoundRun, RunRef, RunState};

use super::adopted::Adoption;
use super::context::Context;
use crate::ports::Backoff;

/// A job that was executing, with what became of its host.
pub(super) struct Left {
    pub(super) job: Job,
    pub(super) adoption: Adoption,
}

/// What recovery found.
pub(super) struct Found {
    /// The jobs that were executing.
    pub(super) left: Vec<Left>,
    /// The runs of jobs that do not execute: they never started (QUEUED) or their end is stored already.
    pub(super) to_sweep: Vec<RunRef>,
}

/// Holds the stored jobs against the backend's runs. Nothing may be launched before this is done. Tries until both store
/// and backend have answered.
pub(super) async fn reconcile(context: &Context) -> Found {
    let mut backoff = Backoff::new();
    loop {
        match attempt(context).await {
            Ok(found) => return found,
            Err(why) => warn!("stored jobs cannot be held against the backend yet: {why}"),
        }
        backoff.wait().await;
    }
}

async fn attempt(context: &Context) -> Result<Found, String> {
    let store = &context.shared.store;
    let found = context.backend.find_runs().await.map_err(|error| chain(&error))?;
    let executing = store.executing().await.map_err(|error| chain(&error))?;
    let mut by_job: HashMap<JobId, Vec<FoundRun>> = HashMap::new();
    for run in found {
        by_job.entry(run.run.job).or_default().push(run);
    }
    let left = executing
        .into_iter()
        .map(|mut job| {
            let runs = by_job.remove(&job.id).unwrap_or_default();
            Left { adoption: adoption(context, &mut job, &runs), job }
        })
        .collect();
    let to_sweep: Vec<RunRef> = by_job.into_values().flatten().map(|found| found.run).collect();
    for run in &to_sweep {
        info!("removing {}, left by a job that does not execute", run.name());
    }
    Ok(Found { left, to_sweep })
}

fn adoption(context: &Context, job: &mut Job, runs: &[FoundRun]) -> Adoption {
    let engine = context.engine();
    // Nothing lives through another boot, whatever an engine tells of it that keeps containers over its own restarts.
    if engine.as_ref().is_some_and(|engine| differs(job.facts.boot_id.as_ref(), engine.boot_id.as_ref())) {
        return Adoption::Restarted;
    }
    let is_another = engine.as_ref().is_some_and(|engine| is_another(&job.facts, engine));
    let runs_on = runs.iter().any(|run| run.state == RunState::Running);
    if is_another && !runs_on {
        return Adoption::Restarted;
    }
    if runs_on && let Some(engine) = engine {
        (job.facts.boot_id, job.facts.engine_start) = (engine.boot_id, engine.engine_start);
    }
    let unstarted = runs.iter().filter(|run| run.state == RunState::Created).map(|run| run.run).collect();
    Adoption::SameHost { unstarted }
}

/// Whether `engine` is another start of the host or the engine than the one that a run was launched on.
pub(super) fn is_another(launched: &Facts, engine: &EngineFacts) -> bool {
    differs(launched.boot_id.as_ref(), engine.boot_id.as_ref())
        || differs(launched.engine_start.as_ref(), engine.engine_start.as_ref())
}

/// Whether both are known, and not the same.
fn differs(then: Option<&String>, now: Option<&String>) -> bool {
    matches!((then, now), (Some(then), Some(now)) if then != now)
}
