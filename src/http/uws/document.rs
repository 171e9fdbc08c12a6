//! A job as clients see it, before it is dressed: what the XML, the JSON and the page all show.

use std::borrow::Cow;

use serde::Serialize as Derive;
use serde::ser::{Serialize, Serializer};

use super::main_result;
use super::result_id;
use crate::domain::{self, Job, Log, Outcome, OwnerId, Phase, RunId, Stage, Timestamp, Work, strip_credentials};
use crate::http::links::Links;
use crate::http::replica::ReplicaObject;
use crate::http::xml::can_carry;
use crate::http::{Api, links};

/// The version of UWS that documents show.
pub(super) const VERSION: &str = "1.1";
/// The largest `xs:int`.
const LONGEST: u64 = i32::MAX as u64;

/// A job (UWS 1.1 §2.1.2).
#[derive(Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobDocument<'a> {
    version: &'static str,
    pub(super) job_id: String,
    pub(super) run_id: Option<&'a str>,
    pub(super) owner_id: Option<&'a str>,
    pub(super) phase: &'static str,
    pub(super) quote: Option<String>,
    pub(super) creation_time: String,
    pub(super) start_time: Option<String>,
    pub(super) end_time: Option<String>,
    pub(super) execution_duration: u64,
    pub(super) destruction: Option<String>,
    pub(super) parameters: Vec<ParameterEntry<'a>>,
    pub(super) results: Vec<ResultEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_summary: Option<SummaryEntry<'a>>,
    pub(super) job_info: JobInfo<'a>,
}

/// A parameter, once for each of its values (UWS 1.1 §2.2.2.4).
#[derive(Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParameterEntry<'a> {
    pub(super) id: &'a str,
    /// Whether the value is a URL of the value.
    pub(super) by_reference: bool,
    pub(super) value: Cow<'a, str>,
}

/// A result (UWS 1.1 §2.2.2.3).
#[derive(Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResultEntry {
    pub(super) id: String,
    pub(super) href: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    pub(super) mime_type: Cow<'static, str>,
}

/// Why a job failed (UWS 1.1 §2.2.2.5).
#[derive(Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub(super) struct SummaryEntry<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// Whether `error` has more.
    pub(super) has_detail: bool,
    pub(super) message: &'a str,
}

/// What is known of a job's run, as names and values; what is not known is left out.
#[derive(Debug)]
pub(super) struct JobInfo<'a>(pub(super) Vec<(&'static str, Info<'a>)>);

/// A value of `jobInfo`.
#[derive(Debug, Derive)]
#[serde(untagged)]
pub(super) enum Info<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A number.
    Number(i128),
    /// Yes or no.
    Truth(bool),
    /// One entry for each replica.
    Replicas(Vec<ReplicaObject>),
}

impl Serialize for JobInfo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A job in the list (UWS 1.1 §2.2.2.1).
#[derive(Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobRef<'a> {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) phase: &'static str,
    pub(super) run_id: Option<&'a str>,
    pub(super) owner_id: Option<&'a str>,
    pub(super) creation_time: String,
}

impl<'a> JobDocument<'a> {
    /// The job as it stands.
    pub(super) fn new(api: &Api, links: &Links, job: &'a Job, quote: Option<Timestamp>) -> Self {
        Self {
            version: VERSION,
            job_id: job.id.to_string(),
            run_id: job.run_id.as_ref().map(RunId::as_str),
            owner_id: job.owner.as_ref().map(OwnerId::as_str),
            phase: job.phase.as_str(),
            quote: quote.map(Timestamp::to_iso),
            creation_time: job.created_at.to_iso(),
            start_time: job.started_at.map(Timestamp::to_iso),
            end_time: job.ended_at.map(Timestamp::to_iso),
            execution_duration: execution_duration(job),
            destruction: job.destruction.map(Timestamp::to_iso),
            parameters: parameters(api, links, job),
            results: results(api, links, job),
            error_summary: summary(job),
            job_info: JobInfo::new(api, job),
        }
    }
}

impl<'a> JobRef<'a> {
    /// The entry of a job.
    pub(super) fn new(links: &Links, job: &'a domain::JobRef) -> Self {
        Self {
            id: job.id.to_string(),
            href: links.job(job.id),
            phase: job.phase.as_str(),
            run_id: job.run_id.as_ref().map(RunId::as_str),
            owner_id: job.owner.as_ref().map(OwnerId::as_str),
            creation_time: job.place.created_at.to_iso(),
        }
    }
}

/// Whole seconds, never 0 for a limit that is there: 0 is unlimited (UWS 1.1 §2.1.4).
pub(super) fn execution_duration(job: &Job) -> u64 {
    job.execution_duration
        .map_or(0, |limit| limit.as_millis().div_ceil(1000).try_into().unwrap_or(LONGEST).clamp(1, LONGEST))
}

/// Every parameter with its name, in the order in which documents show them; files are not among them.
pub(super) fn values<'a>(api: &Api, job: &'a Job) -> Vec<(&'a str, Cow<'a, str>)> {
    let work = &job.work;
    let mut all: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(4 + work.environment.len() + work.parameters.len());
    let config = api.config.get();
    let service = config.services.get(&job.service);
    if service.is_none_or(|service| service.program.jdl().is_none()) {
        all.extend(free_values(work));
    }
    all.extend(
        work.parameters.iter().map(|parameter| (parameter.name.as_str(), Cow::Borrowed(parameter.value.as_str()))),
    );
    all
}

/// The parameters of a free command.
fn free_values(work: &Work) -> Vec<(&str, Cow<'_, str>)> {
    let mut all: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(4 + work.environment.len());
    if !work.command.is_empty() {
        all.push(("COMMAND", Cow::Borrowed(&work.command)));
    }
    if let Some(source) = &work.source {
        if !source.url.is_empty() {
            all.push(("URL", Cow::Owned(strip_credentials(&source.url))));
        }
        if !source.commit_ref.is_empty() {
            all.push(("COMMIT_REF", Cow::Borrowed(&source.commit_ref)));
        }
    }
    for variable in &work.environment {
        all.push(("ENVIRONMENT", Cow::Owned(format!("{}={}", variable.name, variable.value))));
    }
    all.push(("REPLICAS", Cow::Owned(work.replicas.to_string())));
    all
}

/// The parameters; a value that XML cannot carry goes by reference, its number with it if its name has several, and so
/// does every file.
pub(super) fn parameters<'a>(api: &Api, links: &Links, job: &'a Job) -> Vec<ParameterEntry<'a>> {
    let all = values(api, job);
    let is_same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let reference = |index: usize, name: &str| {
        let url = links.parameter(job.id, name);
        if all.iter().filter(|(other, _)| is_same(other, name)).count() == 1 {
            return url;
        }
        let number = all[..=index].iter().filter(|(other, _)| is_same(other, name)).count();
        format!("{url}?VALUE={number}")
    };
    let references: Vec<Option<String>> = all
        .iter()
        .enumerate()
        .map(|(index, (name, value))| (!can_carry(value)).then(|| reference(index, name)))
        .collect();
    let entries = all.into_iter().zip(references);
    let entries = entries.map(|((id, value), reference)| ParameterEntry {
        id,
        by_reference: reference.is_some(),
        value: reference.map_or(value, Cow::Owned),
    });
    // The files of an archived job are gone.
    let files = job.uploads().iter().map(|upload| ParameterEntry {
        id: &upload.name,
        by_reference: true,
        value: Cow::Owned(links.parameter(job.id, &upload.name)),
    });
    entries.chain(files).collect()
}

/// The results: the logs of a job that has ended, and the files that it left.
pub(super) fn results(api: &Api, links: &Links, job: &Job) -> Vec<ResultEntry> {
    if !job.has_files() {
        return Vec::new();
    }
    let files = job.results.iter().map(|file| {
        let id = result_id::of_file(job, &file.path);
        let href = links.result(job.id, &id);
        let is_plain = can_carry(&id) && !id.contains(['\t', '\n', '\r']);
        let id = if is_plain { id } else { links::encoded_path(&id) };
        ResultEntry { id, href, size: Some(file.size), mime_type: main_result::media_type(api, job, &file.path) }
    });
    let logs = Log::all(job).map(|log| {
        let id = log.id();
        ResultEntry { href: links.result(job.id, &id), id, size: log.kept(job), mime_type: Cow::Borrowed("text/plain") }
    });
    files.chain(logs).collect()
}

fn summary(job: &Job) -> Option<SummaryEntry<'_>> {
    let summary = job.outcome.as_ref()?.summary.as_ref()?;
    Some(SummaryEntry {
        kind: summary.kind.as_str(),
        has_detail: job.started_at.is_some() && job.has_files(),
        message: &summary.message,
    })
}

impl<'a> JobInfo<'a> {
    /// What is known of the run of a job.
    pub(super) fn new(api: &Api, job: &'a Job) -> Self {
        let outcome = job.outcome.as_ref();
        let peak = outcome.and_then(|outcome| outcome.peak_memory);
        let written = outcome.and_then(Outcome::written);
        let facts = &job.facts;
        let is_queued = job.phase == Phase::Queued;
        let standing = is_queued.then(|| api.handle.standing(job.id)).flatten();
        let stage = is_queued.then(|| standing.as_ref().map_or(Stage::Waiting, |standing| standing.stage).as_str());
        let detail = standing.map(|standing| standing.detail).filter(|detail| !detail.is_empty());
        let text = |text: &'a str| Info::Text(Cow::Borrowed(text));
        let all = [
            ("reason", outcome.map(|outcome| text(outcome.reason.as_str()))),
            ("exitCode", outcome.and_then(|outcome| outcome.exit_code).map(|code| Info::Number(code.into()))),
            ("signal", outcome.and_then(|outcome| outcome.signal).map(|signal| Info::Number(signal.into()))),
            ("peakMemory", peak.map(|peak| Info::Number(peak.bytes.into()))),
            ("peakMemorySampled", peak.map(|peak| Info::Truth(peak.is_sampled))),
            ("stdoutBytes", written.map(|[bytes, _]| Info::Number(bytes.into()))),
            ("stderrBytes", written.map(|[_, bytes]| Info::Number(bytes.into()))),
            ("logGap", outcome.and_then(Outcome::log_gap).map(text)),
            ("replicas", ReplicaObject::all(job).map(Info::Replicas)),
            ("image", facts.image.as_deref().map(text)),
            ("imageDigest", facts.image_digest.as_deref().map(text)),
            ("imageSource", facts.image_source.as_deref().map(text)),
            ("commit", facts.commit.as_deref().map(text)),
            ("host", facts.host.as_deref().map(text)),
            ("engine", facts.engine.as_deref().map(text)),
            ("bootId", facts.boot_id.as_deref().map(text)),
            ("engineStart", facts.engine_start.as_deref().map(text)),
            ("memoryLimit", facts.memory_limit.map(|limit| Info::Number(limit.into()))),
            ("cpuLimit", facts.cpu_limit_milli.map(|milli| Info::Text(Cow::Owned(cpus(milli))))),
            ("pidsLimit", facts.pids_limit.map(|limit| Info::Number(limit.into()))),
            ("outputLimit", facts.output_limit.map(|limit| Info::Number(limit.into()))),
            ("killGrace", job.work.kill_grace.map(|grace| Info::Text(Cow::Owned(grace.as_secs_f64().to_string())))),
            ("limits", facts.is_advisory.then_some(text("advisory"))),
            ("filesRemoved", job.cleaned_at.map(|at| Info::Text(Cow::Owned(at.to_iso())))),
            ("stage", stage.map(text)),
            ("stageDetail", detail.map(|detail| Info::Text(Cow::Owned(detail)))),
        ];
        Self(all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

/// Thousandths of a CPU as a number of CPUs.
fn cpus(milli: u32) -> String {
    (f64::from(milli) / 1000.0).to_string()
}

impl Info<'_> {
    /// The value as a text.
    pub(super) fn as_text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Replicas(replicas) => {
                let line = |(number, replica): (usize, &ReplicaObject)| {
                    let fields = replica.fields(number);
                    fields.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
                };
                Cow::Owned(replicas.iter().enumerate().map(line).collect::<Vec<_>>().join("; "))
            }
            Self::Truth(is_true) => Cow::Borrowed(if *is_true { "true" } else { "false" }),
        }
    }
}
