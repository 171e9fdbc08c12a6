//! The tables `job`, `work` and `run`: accept, read, change one job.

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::{Facts, Job, JobId, NewJob, OwnerId, Phase, RunId, SummaryKind, Timestamp};
use crate::ports::{Change, Changed, End, Launch, StoreError, Update};

use super::error::While;
use super::rows::{JOB_COLUMNS, JOB_TABLES, job, millis, phase_at, signed, work_body};
use super::{events, results};

pub(super) fn insert(connection: &Connection, new: NewJob) -> Result<Job, StoreError> {
    let doing = "accepting a job";
    let sql = "INSERT INTO job (id, service, owner, run_id, phase, created_at, execution_duration_ms, destruction, \
               cpus, memory) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let mut insert = connection.prepare_cached(sql).doing(doing)?;
    let seq = insert
        .insert(params![
            new.id.as_bytes(),
            new.service,
            new.owner.as_ref().map(OwnerId::as_str),
            new.run_id.as_ref().map(RunId::as_str),
            new.phase.as_str(),
            new.created_at.millis(),
            new.execution_duration.map(millis),
            new.destruction.map(Timestamp::millis),
            new.reservation.cpus,
            signed(new.reservation.memory),
        ])
        .doing(doing)?;
    connection
        .prepare_cached("INSERT INTO work (job, body) VALUES (?1, ?2)")
        .and_then(|mut insert| insert.execute(params![seq, work_body(&new.work)]))
        .doing(doing)?;
    events::insert(connection, seq, new.created_at, None, new.phase, None)?;
    Ok(Job {
        seq,
        id: new.id,
        service: new.service,
        owner: new.owner,
        run_id: new.run_id,
        phase: new.phase,
        created_at: new.created_at,
        started_at: None,
        ended_at: None,
        execution_duration: new.execution_duration,
        destruction: new.destruction,
        reservation: new.reservation,
        work: new.work,
        facts: Facts::default(),
        outcome: None,
        results: Vec::new(),
        abort_requested: false,
        deletion: None,
    })
}

pub(super) fn load(connection: &Connection, id: JobId) -> Result<Option<Job>, StoreError> {
    let doing = "reading a job";
    let sql = format!("SELECT {JOB_COLUMNS} FROM {JOB_TABLES} WHERE j.id = ?1");
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let Some(mut job) = statement.query_row([id.as_bytes()], job).optional().doing(doing)? else { return Ok(None) };
    if job.phase.is_final() {
        job.results = results::of(connection, job.seq)?;
    }
    Ok(Some(job))
}

fn must_load(connection: &Connection, id: JobId) -> Result<Job, StoreError> {
    load(connection, id)?.ok_or(StoreError::NoSuchJob(id))
}

/// The sequence number and phase of a job.
fn standing(connection: &Connection, id: JobId) -> Result<(i64, Phase), StoreError> {
    connection
        .prepare_cached("SELECT seq, phase FROM job WHERE id = ?1")
        .and_then(|mut select| select.query_row([id.as_bytes()], |row| Ok((row.get(0)?, phase_at(row, 1)?))).optional())
        .doing("reading a job's phase")?
        .ok_or(StoreError::NoSuchJob(id))
}

pub(super) fn change(
    connection: &Connection,
    id: JobId,
    change: Change,
    now: Timestamp,
) -> Result<Changed, StoreError> {
    let (seq, from) = standing(connection, id)?;
    let (wanted, reason) = match &change {
        Change::Move(phase) => (*phase, None),
        Change::Launch(_) => (Phase::Executing, None),
        Change::End(end) => (end.outcome.reason.phase(), Some(end.outcome.reason)),
    };
    if !from.may_become(wanted) {
        return Err(StoreError::PhaseChanged { id, actual: from, wanted });
    }
    match change {
        Change::Move(phase) => set_phase(connection, seq, phase)?,
        Change::Launch(launch) => begin(connection, seq, &launch)?,
        Change::End(end) => finish(connection, seq, *end, now)?,
    }
    events::insert(connection, seq, now, Some(from), wanted, reason)?;
    Ok(Changed { job: must_load(connection, id)?, from })
}

fn set_phase(connection: &Connection, seq: i64, phase: Phase) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE job SET phase = ?2 WHERE seq = ?1")
        .and_then(|mut update| update.execute(params![seq, phase.as_str()]))
        .map(drop)
        .doing("moving a job")
}

fn begin(connection: &Connection, seq: i64, launch: &Launch) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE job SET phase = 'EXECUTING', started_at = ?2 WHERE seq = ?1")
        .and_then(|mut update| update.execute(params![seq, launch.started_at.millis()]))
        .doing("launching a job")?;
    set_facts(connection, seq, &launch.facts)
}

fn finish(connection: &Connection, seq: i64, end: End, now: Timestamp) -> Result<(), StoreError> {
    let doing = "ending a job";
    let End { outcome, started_at, ended_at, results, facts, visible_for } = end;
    let sql = "UPDATE job SET phase = ?2, started_at = coalesce(?3, started_at), ended_at = ?4, reason = ?5, \
               summary_kind = ?6, summary = ?7, exit_code = ?8, signal = ?9, peak_memory = ?10, \
               visible_until = CASE WHEN deleted_at IS NULL THEN NULL ELSE ?11 END WHERE seq = ?1";
    let summary = outcome.summary.as_ref();
    connection
        .prepare_cached(sql)
        .and_then(|mut update| {
            update.execute(params![
                seq,
                outcome.reason.phase().as_str(),
                started_at.map(Timestamp::millis),
                ended_at.millis(),
                outcome.reason.as_str(),
                summary.map(|summary| SummaryKind::as_str(summary.kind)),
                summary.map(|summary| summary.message.as_str()),
                outcome.exit_code,
                outcome.signal,
                outcome.peak_memory.map(signed),
                now.after(visible_for).millis(),
            ])
        })
        .doing(doing)?;
    results::insert(connection, seq, &results)?;
    facts.map_or(Ok(()), |facts| set_facts(connection, seq, &facts))
}

pub(super) fn note_facts(connection: &Connection, id: JobId, facts: &Facts) -> Result<(), StoreError> {
    let (seq, _) = standing(connection, id)?;
    set_facts(connection, seq, facts)
}

fn set_facts(connection: &Connection, seq: i64, facts: &Facts) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO run (job, host, image, image_digest, commit_hash, boot_id, engine_start, \
               launched_ms, is_advisory) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let Facts { host, image, image_digest, commit, boot_id, engine_start, launched_since_boot, is_advisory } = facts;
    let launched = launched_since_boot.map(millis);
    connection
        .prepare_cached(sql)
        .and_then(|mut insert| {
            insert.execute(params![
                seq,
                host,
                image,
                image_digest,
                commit,
                boot_id,
                engine_start,
                launched,
                is_advisory
            ])
        })
        .map(drop)
        .doing("writing what is known about a run")
}

pub(super) fn request_abort(connection: &Connection, id: JobId) -> Result<Option<Job>, StoreError> {
    let sql = "UPDATE job SET abort_requested = 1 WHERE id = ?1 \
               AND phase NOT IN ('COMPLETED', 'ERROR', 'ABORTED', 'ARCHIVED')";
    connection
        .prepare_cached(sql)
        .and_then(|mut update| update.execute([id.as_bytes()]))
        .doing("noting that a job is to be aborted")?;
    load(connection, id)
}

pub(super) fn request_deletion(connection: &Connection, id: JobId, now: Timestamp) -> Result<Option<Job>, StoreError> {
    // A job that has ended is gone for every client at once; the end of another one sets how long it is shown.
    let sql = "UPDATE job SET deleted_at = ?2, \
               abort_requested = (phase NOT IN ('COMPLETED', 'ERROR', 'ABORTED', 'ARCHIVED')), \
               visible_until = CASE WHEN phase IN ('COMPLETED', 'ERROR', 'ABORTED', 'ARCHIVED') THEN ?2 END \
               WHERE id = ?1 AND deleted_at IS NULL";
    connection
        .prepare_cached(sql)
        .and_then(|mut update| update.execute(params![id.as_bytes(), now.millis()]))
        .doing("noting that a job is deleted")?;
    load(connection, id)
}

pub(super) fn update(connection: &Connection, id: JobId, update: Update) -> Result<Job, StoreError> {
    let doing = "changing a job";
    let (seq, phase) = standing(connection, id)?;
    if !update.is_allowed_in(phase) {
        return Err(StoreError::PhaseChanged { id, actual: phase, wanted: phase });
    }
    let set = |sql: &str, value: &dyn rusqlite::ToSql| {
        connection.prepare_cached(sql).and_then(|mut update| update.execute(params![seq, value])).map(drop).doing(doing)
    };
    match update {
        Update::Work(work, reservation) => {
            set("UPDATE work SET body = ?2 WHERE job = ?1", &work_body(&work))?;
            set("UPDATE job SET cpus = ?2 WHERE seq = ?1", &reservation.cpus)?;
            set("UPDATE job SET memory = ?2 WHERE seq = ?1", &signed(reservation.memory))?;
        }
        Update::RunId(run_id) => set("UPDATE job SET run_id = ?2 WHERE seq = ?1", &run_id.as_str())?,
        Update::ExecutionDuration(limit) => {
            set("UPDATE job SET execution_duration_ms = ?2 WHERE seq = ?1", &limit.map(millis))?;
        }
        Update::Destruction(at) => set("UPDATE job SET destruction = ?2 WHERE seq = ?1", &at.map(Timestamp::millis))?,
    }
    must_load(connection, id)
}
