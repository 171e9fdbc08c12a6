//! Row to domain and back; what a row cannot be is told with its table and column.

use std::time::Duration;

use rusqlite::Row;
use rusqlite::types::Type;
use serde::{Deserialize, Serialize};

use crate::domain::{
    Deletion, Facts, Job, JobId, JobRef, LogBytes, Outcome, Overuse, OwnerId, Parameter, PeakMemory, Phase, Place,
    Reason, ReplicaEnd, Reservation, RunId, Source, Summary, SummaryKind, Suspension, Timestamp, Upload, Variable,
    Work,
};

/// The columns that [`job`] reads, of `job j`, `work w` and `run r`.
pub(super) const JOB_COLUMNS: &str = "\
    j.seq, j.id, j.service, j.owner, j.run_id, j.phase, j.created_at, j.started_at, j.ended_at, j.ran_ms, \
    j.execution_duration_ms, j.destruction, j.cpus, j.memory, j.abort_requested, j.is_expired, j.limit_reached, j.output_found, j.output_most, j.held_from, j.cleaned_at, \
    j.suspended_ms, j.suspended_since_ms, j.deleted_at, j.visible_until, \
    j.reason, j.summary_kind, j.summary, j.exit_code, j.signal, j.peak_memory, j.peak_is_sampled, j.replicas, \
    w.body, r.host, r.image, r.image_digest, r.commit_hash, r.boot_id, r.engine_start, r.launched_ms, r.launched_boot, r.is_advisory, \
    r.engine, r.image_source, r.memory_limit, r.cpu_limit_milli, r.pids_limit, r.output_limit";

/// Where they come from.
pub(super) const JOB_TABLES: &str = "job j JOIN work w ON w.job = j.seq LEFT JOIN run r ON r.job = j.seq";

/// The tables beside `job j`.
pub(super) const BESIDE_JOB: &str = "JOIN work w ON w.job = j.seq LEFT JOIN run r ON r.job = j.seq";

/// A job without its results.
pub(super) fn job(row: &Row<'_>) -> Result<Job, rusqlite::Error> {
    let deleted_at: Option<i64> = row.get("deleted_at")?;
    let visible_until: Option<i64> = row.get("visible_until")?;
    Ok(Job {
        seq: row.get("seq")?,
        id: JobId::from_bytes(row.get("id")?),
        service: row.get("service")?,
        owner: row.get::<_, Option<String>>("owner")?.map(OwnerId::new),
        run_id: row.get::<_, Option<String>>("run_id")?.map(RunId::from_stored),
        phase: word(row, "phase")?.ok_or(rusqlite::Error::InvalidColumnName("job.phase".to_owned()))?,
        created_at: Timestamp::from_millis(row.get("created_at")?),
        started_at: row.get::<_, Option<i64>>("started_at")?.map(Timestamp::from_millis),
        ended_at: row.get::<_, Option<i64>>("ended_at")?.map(Timestamp::from_millis),
        ran: row.get::<_, Option<i64>>("ran_ms")?.map(duration),
        execution_duration: row.get::<_, Option<i64>>("execution_duration_ms")?.map(duration),
        destruction: row.get::<_, Option<i64>>("destruction")?.map(Timestamp::from_millis),
        reservation: Reservation { cpus: row.get("cpus")?, memory: row.get::<_, i64>("memory")?.unsigned_abs() },
        work: work(row)?,
        facts: facts(row)?,
        outcome: outcome(row)?,
        results: Vec::new(),
        abort_requested: row.get("abort_requested")?,
        is_expired: row.get("is_expired")?,
        limit_reached: row.get("limit_reached")?,
        overuse: overuse(row)?,
        held_from: word(row, "held_from")?,
        suspension: Suspension {
            total: duration(row.get("suspended_ms")?),
            since_boot: row.get::<_, Option<i64>>("suspended_since_ms")?.map(duration),
        },
        cleaned_at: row.get::<_, Option<i64>>("cleaned_at")?.map(Timestamp::from_millis),
        deletion: deleted_at.map(|at| Deletion {
            requested_at: Timestamp::from_millis(at),
            visible_until: visible_until.map(Timestamp::from_millis),
        }),
    })
}

fn overuse(row: &Row<'_>) -> Result<Option<Overuse>, rusqlite::Error> {
    let [found, most]: [Option<i64>; 2] = [row.get("output_found")?, row.get("output_most")?];
    Ok(found.zip(most).map(|(found, most)| Overuse { most: most.unsigned_abs(), found: found.unsigned_abs() }))
}

/// A job's entry in a list, of `job j` alone.
pub(super) fn job_ref(row: &Row<'_>) -> Result<JobRef, rusqlite::Error> {
    Ok(JobRef {
        place: Place { created_at: Timestamp::from_millis(row.get("created_at")?), seq: row.get("seq")? },
        id: JobId::from_bytes(row.get("id")?),
        phase: word(row, "phase")?.ok_or(rusqlite::Error::InvalidColumnName("job.phase".to_owned()))?,
        run_id: row.get::<_, Option<String>>("run_id")?.map(RunId::from_stored),
        owner: row.get::<_, Option<String>>("owner")?.map(OwnerId::new),
    })
}

pub(super) fn duration(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

/// A word of one of our vocabularies.
fn word<T>(row: &Row<'_>, column: &str) -> Result<Option<T>, rusqlite::Error>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|error| bad(column, error))).transpose()
}

fn bad(column: &str, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    let error = BadColumn { column: column.to_owned(), source: Box::new(error) };
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
}

/// A column that holds what it cannot.
#[derive(Debug, thiserror::Error)]
#[error("column {column}")]
struct BadColumn {
    column: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

fn outcome(row: &Row<'_>) -> Result<Option<Outcome>, rusqlite::Error> {
    let Some(reason) = word::<Reason>(row, "reason")? else { return Ok(None) };
    let message: Option<String> = row.get("summary")?;
    let kind: Option<String> = row.get("summary_kind")?;
    let summary = message.map(|message| Summary {
        kind: if kind.as_deref() == Some("transient") { SummaryKind::Transient } else { SummaryKind::Fatal },
        message,
    });
    Ok(Some(Outcome {
        reason,
        summary,
        exit_code: row.get("exit_code")?,
        signal: row.get("signal")?,
        peak_memory: peak_memory(row)?,
        replicas: replicas(row)?,
    }))
}

fn peak_memory(row: &Row<'_>) -> Result<Option<PeakMemory>, rusqlite::Error> {
    // Of jobs from before this was told it may have been so.
    let is_sampled = row.get::<_, Option<bool>>("peak_is_sampled")?.unwrap_or(true);
    let bytes = row.get::<_, Option<i64>>("peak_memory")?.map(i64::unsigned_abs);
    Ok(bytes.map(|bytes| PeakMemory { bytes, is_sampled }))
}

/// `replicas`: how each of them ended.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplicaBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    /// In bytes, and whether that was only sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peak: Option<(u64, bool)>,
    /// Of `stdout` and `stderr` what was written and what is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logs: Option<[(u64, u64); 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_gap: Option<String>,
}

fn replicas(row: &Row<'_>) -> Result<Vec<ReplicaEnd>, rusqlite::Error> {
    let Some(text) = row.get_ref("replicas")?.as_str_or_null()? else { return Ok(Vec::new()) };
    let body: Vec<ReplicaBody> = serde_json::from_str(text).map_err(|error| bad("job.replicas", error))?;
    let of = |ReplicaBody { exit_code, signal, peak, logs, log_gap }: ReplicaBody| ReplicaEnd {
        exit_code,
        signal,
        peak_memory: peak.map(|(bytes, is_sampled)| PeakMemory { bytes, is_sampled }),
        logs: logs.map(|logs| logs.map(|(written, kept)| LogBytes { written, kept })),
        log_gap,
    };
    Ok(body.into_iter().map(of).collect())
}

pub(super) fn replicas_body(replicas: &[ReplicaEnd]) -> Option<String> {
    let of = |replica: &ReplicaEnd| ReplicaBody {
        exit_code: replica.exit_code,
        signal: replica.signal,
        peak: replica.peak_memory.map(|peak| (peak.bytes, peak.is_sampled)),
        logs: replica.logs.map(|logs| logs.map(|log| (log.written, log.kept))),
        log_gap: replica.log_gap.clone(),
    };
    let body: Vec<ReplicaBody> = replicas.iter().map(of).collect();
    (!body.is_empty()).then(|| serde_json::to_string(&body).expect("numbers and texts only"))
}

fn facts(row: &Row<'_>) -> Result<Facts, rusqlite::Error> {
    Ok(Facts {
        host: row.get("host")?,
        image: row.get("image")?,
        image_digest: row.get("image_digest")?,
        commit: row.get("commit_hash")?,
        boot_id: row.get("boot_id")?,
        engine_start: row.get("engine_start")?,
        launched_since_boot: row.get::<_, Option<i64>>("launched_ms")?.map(duration),
        launched_boot: row.get("launched_boot")?,
        is_advisory: row.get::<_, Option<bool>>("is_advisory")?.unwrap_or(false),
        engine: row.get("engine")?,
        image_source: row.get("image_source")?,
        memory_limit: row.get::<_, Option<i64>>("memory_limit")?.map(i64::unsigned_abs),
        cpu_limit_milli: row.get("cpu_limit_milli")?,
        pids_limit: row.get("pids_limit")?,
        output_limit: row.get::<_, Option<i64>>("output_limit")?.map(i64::unsigned_abs),
    })
}

/// The body of `work`.
#[derive(Serialize, Deserialize)]
struct WorkBody {
    command: String,
    source: Option<(String, String)>,
    environment: Vec<(String, String)>,
    replicas: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    uploads: Vec<UploadBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kill_grace_ms: Option<u64>,
}

/// An upload in it.
#[derive(Serialize, Deserialize)]
struct UploadBody {
    name: String,
    media_type: Option<String>,
    size: u64,
    file: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

fn work(row: &Row<'_>) -> Result<Work, rusqlite::Error> {
    let body: WorkBody =
        serde_json::from_str(row.get_ref("body")?.as_str()?).map_err(|error| bad("work.body", error))?;
    Ok(Work {
        command: body.command,
        source: body.source.map(|(url, commit_ref)| Source { url, commit_ref }),
        // Checked when they were accepted; rules may have been tightened since, the job stays what it was.
        environment: body.environment.into_iter().map(|(name, value)| Variable { name, value }).collect(),
        replicas: body.replicas,
        parameters: body.parameters.into_iter().map(|(name, value)| Parameter { name, value }).collect(),
        uploads: body.uploads.into_iter().map(Upload::from).collect(),
        kill_grace: body.kill_grace_ms.map(Duration::from_millis),
    })
}

impl From<UploadBody> for Upload {
    fn from(UploadBody { name, media_type, size, file, source }: UploadBody) -> Self {
        Self { name, media_type, size, file, source }
    }
}

impl From<&Upload> for UploadBody {
    fn from(Upload { name, media_type, size, file, source }: &Upload) -> Self {
        let (name, media_type, file) = (name.clone(), media_type.clone(), file.clone());
        Self { name, media_type, size: *size, file, source: source.clone() }
    }
}

/// The body of `work` for what a job is asked to do.
pub(super) fn work_body(work: &Work) -> String {
    let body = WorkBody {
        command: work.command.clone(),
        source: work.source.as_ref().map(|source| (source.url.clone(), source.commit_ref.clone())),
        environment: work.environment.iter().map(|v| (v.name.clone(), v.value.clone())).collect(),
        replicas: work.replicas,
        parameters: work.parameters.iter().map(|p| (p.name.clone(), p.value.clone())).collect(),
        uploads: work.uploads.iter().map(UploadBody::from).collect(),
        kill_grace_ms: work.kill_grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX)),
    };
    serde_json::to_string(&body).expect("strings and numbers only")
}

/// A size in the signed integers of SQLite.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A duration in milliseconds; a limit is never rounded down to none.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).max(1)
}

/// The word for a phase read back by its column number, for queries that do not read whole jobs.
pub(super) fn phase_at(row: &Row<'_>, column: usize) -> Result<Phase, rusqlite::Error> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error| bad("phase", error))
}
