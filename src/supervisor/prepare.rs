//! Everything before a job's command: directories, image, source, containers. All of it happens in QUEUED.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use async_trait::async_trait;

use crate::config::Service;
use crate::domain::jdl::Unfit;
use crate::domain::{Facts, Job, JobId, Outcome, Reason, Source, Stage, SummaryKind};
use crate::ports::{BackendError, Fetching, JobDirs, RunSpec, SourceError};

use super::context::{Context, runs};
use super::ending::refused;
use super::inputs;
use super::plan::{self, Invocation};

/// Makes the runs of `job`, one a replica, ready to be started; `facts` takes what becomes known, also when this fails.
///
/// Dropping the future stops what is under way; what it left is swept with the job.
///
/// # Errors
/// The end of the job, if it cannot run.
pub(super) async fn prepare(
    context: &Context,
    job: &Job,
    service: &Service,
    facts: &mut Facts,
) -> Result<Vec<RunSpec>, Box<Outcome>> {
    let stage = |stage| context.shared.set_stage(job.id, Some(stage));
    let dirs = context.dirs(job.id);
    if !context.shared.config.get().services.contains_key(&job.service) {
        let message = format!("the service {:?} is not configured any more", job.service);
        return Err(Box::new(Outcome::new(Reason::EngineError, message).of_kind(SummaryKind::Fatal)));
    }
    let invocation = Invocation::of(job, service).map_err(|unfit| Box::new(does_not_fit(&unfit)))?;
    let spec = |run| plan::run_spec(job, service, &invocation, run, dirs.clone());
    let specs: Vec<RunSpec> = runs(job).map(spec).collect();
    let first = specs.first().expect("a job has at least one replica");
    *facts = Facts {
        host: Some(context.host.clone()),
        image: context.backend.uses_images().then(|| first.image.clone()),
        is_advisory: context.backend.advisory_limits().is_some()
            || (service.max_output.is_some() && !context.sees_files(first.user)),
        memory_limit: Some(first.memory),
        cpu_limit_milli: Some(milli(first.cpus)),
        pids_limit: Some(first.pids),
        output_limit: service.max_output,
        ..Facts::default()
    };

    stage(Stage::Preparing);
    let engine = context.patiently_for(job.id, || context.backend.identify()).await;
    facts.engine = Some(engine.map_err(|error| Box::new(refused(&error)))?.description);

    // Before the directories: to remove what an earlier attempt left there may take a helper of it.
    stage(Stage::Pulling);
    // Until its container is there the image could be removed by ourselves.
    let _claim = context.claims.claim(&first.image).await;
    let listener = Listener { context, job: job.id };
    let image =
        context.patiently_for(job.id, || context.backend.fetch_image(&first.image, first.pull, &listener)).await;
    let image = image.map_err(|error| Box::new(refused(&error)))?;
    (facts.image_digest, facts.image_source) = (image.digest.clone(), image.source.clone());
    if context.backend.uses_images() {
        let digest = context.uses_image(&first.image, image).await;
        facts.image_digest = digest.or_else(|| facts.image_digest.take());
    }
    crate::crash::point("fetched");

    stage(Stage::Preparing);
    make_directories(context, first).await.map_err(|error| Box::new(refused(&error)))?;
    let room = context.room(service);
    room.count(&dirs).await;
    fill_input(context, job, service, &dirs).await.map_err(|error| Box::new(refused(&error)))?;
    crate::crash::point("directories");

    if let Some(source) = job.work.source.as_ref().filter(|source| !source.url.is_empty()) {
        stage(Stage::Cloning);
        let checkout = context.shared.sources.checkout(source, &dirs.source()).await;
        facts.commit = Some(checkout.map_err(|error| Box::new(not_cloned(source, &error)))?.commit);
    }

    crate::crash::point("cloned");

    stage(Stage::Creating);
    let created = async {
        // After the checkout, which is the daemon's own work: what is too large already is told of as all else that is.
        room.limit(&dirs).await;
        context.patiently_for(job.id, || context.backend.hand_over(first)).await?;
        for spec in &specs {
            context.patiently_for(job.id, || context.backend.create(spec)).await?;
        }
        // On which start of which engine the runs will be: it may have been started anew while the image or the source came.
        context.patiently_for(job.id, || context.backend.identify()).await
    };
    let engine = created.await.map_err(|error: BackendError| Box::new(refused(&error)))?;
    facts.engine = Some(engine.description);
    (facts.boot_id, facts.engine_start) = (engine.boot_id, engine.engine_start);
    crate::crash::point("created");
    Ok(specs)
}

/// Who hears how the image of a job is fetched.
struct Listener<'a> {
    context: &'a Context,
    job: JobId,
}

#[async_trait]
impl Fetching for Listener<'_> {
    fn tell(&self, line: String) {
        self.context.shared.set_detail(self.job, line);
    }

    async fn will_bring(&self, names: Vec<String>) {
        self.context.will_pull(names).await;
    }
}

/// CPUs in thousandths.
fn milli(cpus: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "configured: 0.01 to 100000")]
    let milli = (cpus * 1000.0).round() as u32;
    milli
}

/// Makes the job's directories anew: an attempt that a crash cut short may have left some.
async fn make_directories(context: &Context, spec: &RunSpec) -> Result<(), BackendError> {
    let job = spec.run.job;
    if tokio::fs::try_exists(&spec.dirs.root).await.unwrap_or(true) {
        context.patiently_for(job, || context.remove_files(job, &spec.dirs, Some(&spec.image))).await?;
    }
    let (dirs, replicas) = (spec.dirs.clone(), spec.run.replicas);
    let made = context.shared.gate.pass(move || {
        make(&dirs.root, 0o750)?;
        for directory in [dirs.input(), dirs.source(), dirs.output(), dirs.home()] {
            make(&directory, 0o755)?;
        }
        make(&dirs.root.join("log"), 0o750)?;
        if replicas > 1 {
            for replica in 0..replicas {
                make(&dirs.root.join("log").join(replica.to_string()), 0o750)?;
            }
        }
        Ok(())
    });
    made.await.map_err(|source| BackendError::Io { doing: "making the job's directories", source })
}

async fn fill_input(context: &Context, job: &Job, service: &Service, dirs: &JobDirs) -> Result<(), BackendError> {
    if job.work.uploads.is_empty() && service.program.jdl().is_none() {
        return Ok(());
    }
    let (input, job, service) = (dirs.input(), job.clone(), service.clone());
    let uploads = context.shared.uploads.clone();
    let filled = context.shared.gate.pass(move || inputs::fill(&input, &job, &service, &uploads));
    filled.await.map_err(|source| BackendError::Io { doing: "giving the job its uploads and parameters", source })
}

/// The end of a job whose service was configured otherwise since it was accepted.
fn does_not_fit(unfit: &Unfit) -> Outcome {
    let message = format!("its parameters do not fit its service as it is configured now: {}", unfit.why);
    Outcome::new(Reason::EngineError, message).of_kind(SummaryKind::Fatal)
}

fn make(path: &Path, mode: u32) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(path)
}

fn not_cloned(source: &Source, error: &SourceError) -> Outcome {
    let what = if source.commit_ref.is_empty() { "the source" } else { &source.commit_ref };
    let message = format!("{what} could not be checked out: {error}");
    match error {
        SourceError::Refused(_) => Outcome::new(Reason::CloneFailed, message),
        SourceError::Network(_) => Outcome::new(Reason::CloneFailed, message).of_kind(SummaryKind::Transient),
        SourceError::TimedOut(_) => Outcome::new(Reason::CloneTimeout, message),
        SourceError::DiskFull(_) => Outcome::new(Reason::DiskFull, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_not_had_tells_whether_to_try_again() {
        let why = || "no".to_owned();
        for (error, reason, kind) in [
            (SourceError::Refused(why()), Reason::CloneFailed, SummaryKind::Fatal),
            (SourceError::Network(why()), Reason::CloneFailed, SummaryKind::Transient),
            (SourceError::TimedOut(why()), Reason::CloneTimeout, SummaryKind::Transient),
            (SourceError::DiskFull(why()), Reason::DiskFull, SummaryKind::Transient),
        ] {
            let outcome = not_cloned(&Source::default(), &error);
            assert_eq!(
                (outcome.reason, outcome.summary.map(|summary| summary.kind)),
                (reason, Some(kind)),
                "{error:?}"
            );
        }
    }
}
