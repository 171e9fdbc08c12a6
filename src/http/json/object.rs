//! The job object, with exactly the keys of the original and additions inside `parameters`, `errorSummary` and `jobInfo`.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::SERVICE;
use super::phase::PhaseWord;
use crate::config::Program;
use crate::domain::{
    Job, JobResult, Outcome, Phase, SOURCE_URL, Stage, Timestamp, Variable, own_variables, strip_credentials,
};
use crate::http::Api;
use crate::http::replica::ReplicaObject;
use crate::ports::JobDirs;

/// A job.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Job)]
pub(super) struct JobObject<'a> {
    /// 32 lower-case hex digits.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    job_id: String,
    /// The client's own name for it; the job's id if the client gave none.
    run_id: Cow<'a, str>,
    /// Whom it belongs to; empty for an anonymous client.
    owner_id: &'a str,
    /// Where it stands.
    phase: PhaseWord,
    /// When it was accepted.
    #[schema(example = "2031-03-04 08:15:00+00:00")]
    creation_time: String,
    /// When its command started.
    #[schema(required)]
    start_time: Option<String>,
    /// When it ended.
    #[schema(required)]
    end_time: Option<String>,
    /// How long its command has run, in seconds.
    #[schema(required)]
    execution_duration: Option<f64>,
    /// When it will be removed with all its files.
    #[schema(required)]
    destruction: Option<String>,
    /// What was asked for.
    pub(super) parameters: ParametersObject<'a>,
    /// The files it left, once it has ended.
    #[schema(value_type = Vec<ResultObject>)]
    pub(super) results: Results<'a>,
    /// Why it failed.
    error_summary: ErrorSummaryObject<'a>,
    /// What is known of its run.
    job_info: JobInfoObject<'a>,
}

/// What was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Parameters)]
pub(super) struct ParametersObject<'a> {
    /// The command as it is started.
    #[schema(example = json!(["/bin/bash", "-c", "ls"]))]
    command: Vec<Cow<'a, str>>,
    /// The service's and the client's variables; the site's own are not shown.
    environment: Vec<VariableObject<'a>>,
    /// The source, without credentials.
    #[schema(required)]
    url: Option<String>,
    /// Its branch, tag or commit.
    #[schema(required)]
    commit_ref: Option<&'a str>,
    /// How many copies run side by side.
    replicas: u32,
}

/// A variable of the environment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Variable)]
struct VariableObject<'a> {
    /// The name.
    name: &'a str,
    /// The value.
    value: Cow<'a, str>,
}

/// A file that the job left.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Result)]
pub(super) struct ResultObject {
    /// Its number, for `/v1/job/result/{jobId}/{id}`.
    id: usize,
    /// Its path as the job saw it; no link.
    #[schema(example = "/uws/jobs/0192e4f1c7a87d2f8f1b0c5d7e9a1b3c/out/ocps.log")]
    uri: String,
}

/// The files that a job left, made one by one while they are written: there may be very many.
#[derive(Debug)]
pub(super) struct Results<'a> {
    files: &'a [JobResult],
    /// The job's directory as the job saw it.
    inside: String,
}

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { files, inside } = self;
        let object = |(id, file): (usize, &JobResult)| ResultObject { id, uri: format!("{inside}/out/{}", file.path) };
        serializer.collect_seq(files.iter().enumerate().map(object))
    }
}

/// Why a job failed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ErrorSummary)]
struct ErrorSummaryObject<'a> {
    /// One sentence; empty unless it failed.
    message: &'a str,
    /// `transient` if a second try may succeed, else `fatal`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    /// Whether its logs may say more.
    #[serde(skip_serializing_if = "Option::is_none")]
    has_detail: Option<bool>,
}

/// What is known of a job's run; what is not known is left out.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = JobInfo)]
struct JobInfoObject<'a> {
    /// Why it ended: `ok`, `nonzero`, `signal`, `oom`, `timeout` …
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The exit code of its command.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    /// The signal that killed its command.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    /// The most memory that it used, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory: Option<u64>,
    /// Whether that is only the most that was seen, looking now and then.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory_sampled: Option<bool>,
    /// How many bytes its command wrote to standard output, all replicas together; the log may have kept fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_bytes: Option<u64>,
    /// The same of standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_bytes: Option<u64>,
    /// Why something of its logs may have been lost, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_gap: Option<&'a str>,
    /// How each of several replicas ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<Vec<ReplicaObject>>,
    /// The image as it is configured; absent where jobs run without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    /// The digest or id of the image that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    image_digest: Option<&'a str>,
    /// The name that its image was pulled under, if from a mirror.
    #[serde(skip_serializing_if = "Option::is_none")]
    image_source: Option<&'a str>,
    /// The commit that was checked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'a str>,
    /// The host that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    /// Name and version of the engine that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<&'a str>,
    /// The boot id of the host when the run was launched, as systemd's journal has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<&'a str>,
    /// What told that start of the engine from others when the run was launched, where its end is the containers' too.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_start: Option<&'a str>,
    /// The memory limit of each replica, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_limit: Option<u64>,
    /// The CPU limit of each replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_limit: Option<f64>,
    /// How many processes and threads each replica may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pids_limit: Option<u32>,
    /// How much of the disk its files may take, in bytes, if that is bounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_limit: Option<u64>,
    /// How many seconds it has between TERM and KILL when it is stopped, if it asked for a time of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    kill_grace: Option<f64>,
    /// `advisory` if a limit of it could not be enforced.
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<&'static str>,
    /// When its files were removed: to make room, or as it was destroyed and its record kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    files_removed: Option<String>,
    /// What a queued job is doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    /// How that goes, in a line for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage_detail: Option<String>,
}

impl<'a> JobObject<'a> {
    /// The job as it stands at `now`, showing `phase`.
    pub(super) fn new(api: &'a Api, job: &'a Job, phase: PhaseWord, now: Timestamp) -> Self {
        let job_id = job.id.to_string();
        let inside = JobDirs::inside(&job.id);
        Self {
            run_id: job.run_id.as_ref().map_or_else(|| Cow::Owned(job_id.clone()), |id| Cow::Borrowed(id.as_str())),
            owner_id: job.owner.as_ref().map_or("", |owner| owner.as_str()),
            phase,
            creation_time: job.created_at.to_ocps(),
            start_time: job.started_at.map(Timestamp::to_ocps),
            end_time: job.ended_at.map(Timestamp::to_ocps),
            execution_duration: job
                .executed(now, api.clock.since_boot(), api.clock.boot())
                .map(|time| time.as_secs_f64()),
            destruction: job.destruction.map(Timestamp::to_ocps),
            parameters: ParametersObject::new(api, job, &inside),
            results: Results { files: &job.results, inside },
            error_summary: ErrorSummaryObject::new(job),
            job_info: JobInfoObject::new(api, job, phase),
            job_id,
        }
    }
}

impl<'a> ParametersObject<'a> {
    fn new(api: &'a Api, job: &'a Job, inside: &str) -> Self {
        let mut command: Vec<Cow<'_, str>> = Vec::with_capacity(3);
        match api.config.get().services.get(SERVICE).map(|service| &service.program) {
            Some(Program::Shell(shell)) => command.extend(shell.iter().cloned().map(Cow::Owned)),
            Some(Program::Command(_)) | None => {}
        }
        command.push(Cow::Borrowed(&job.work.command));
        let url = job.work.source.as_ref().map(|source| strip_credentials(&source.url));
        let commit_ref = job.work.source.as_ref().map(|source| source.commit_ref.as_str());
        let mut environment = Vec::with_capacity(job.work.environment.len() + 6);
        environment.extend(own_variables(job.id, &job.work, inside, None).into_iter().map(|(name, value)| {
            let value = if name == SOURCE_URL { Cow::Owned(url.clone().unwrap_or_default()) } else { value };
            VariableObject { name, value }
        }));
        let given = job.work.environment.iter();
        environment.extend(given.map(|Variable { name, value }| VariableObject { name, value: Cow::Borrowed(value) }));
        Self { command, environment, url, commit_ref, replicas: job.work.replicas }
    }
}

impl<'a> ErrorSummaryObject<'a> {
    fn new(job: &'a Job) -> Self {
        match job.outcome.as_ref().and_then(|outcome| outcome.summary.as_ref()) {
            Some(summary) => Self {
                message: &summary.message,
                kind: Some(summary.kind.as_str()),
                has_detail: Some(job.started_at.is_some() && job.has_files()),
            },
            None => Self { message: "", kind: None, has_detail: None },
        }
    }
}

impl<'a> JobInfoObject<'a> {
    fn new(api: &Api, job: &'a Job, phase: PhaseWord) -> Self {
        let outcome = job.outcome.as_ref();
        let peak = outcome.and_then(|outcome| outcome.peak_memory);
        let written = outcome.and_then(Outcome::written);
        let is_waiting = phase == PhaseWord::Queued && job.phase == Phase::Queued;
        let standing = is_waiting.then(|| api.handle.standing(job.id)).flatten();
        Self {
            reason: outcome.map(|outcome| outcome.reason.as_str()),
            exit_code: outcome.and_then(|outcome| outcome.exit_code),
            signal: outcome.and_then(|outcome| outcome.signal),
            peak_memory: peak.map(|peak| peak.bytes),
            peak_memory_sampled: peak.map(|peak| peak.is_sampled),
            stdout_bytes: written.map(|[bytes, _]| bytes),
            stderr_bytes: written.map(|[_, bytes]| bytes),
            log_gap: outcome.and_then(Outcome::log_gap),
            replicas: ReplicaObject::all(job),
            image: job.facts.image.as_deref(),
            image_digest: job.facts.image_digest.as_deref(),
            image_source: job.facts.image_source.as_deref(),
            commit: job.facts.commit.as_deref(),
            host: job.facts.host.as_deref(),
            kill_grace: job.work.kill_grace.map(|grace| grace.as_secs_f64()),
            limits: job.facts.is_advisory.then_some("advisory"),
            engine: job.facts.engine.as_deref(),
            boot_id: job.facts.boot_id.as_deref(),
            engine_start: job.facts.engine_start.as_deref(),
            memory_limit: job.facts.memory_limit,
            pids_limit: job.facts.pids_limit,
            output_limit: job.facts.output_limit,
            cpu_limit: job.facts.cpu_limit_milli.map(|milli| f64::from(milli) / 1000.0),
            files_removed: job.cleaned_at.map(Timestamp::to_iso),
            stage: is_waiting.then(|| standing.as_ref().map_or(Stage::Waiting, |standing| standing.stage).as_str()),
            stage_detail: standing.map(|standing| standing.detail).filter(|detail| !detail.is_empty()),
        }
    }
}
