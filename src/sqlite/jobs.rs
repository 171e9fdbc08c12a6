//! The tables `job`, `work` and `run`: accept, read, change one job without moving it.

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::{Facts, IdempotencyKey, Job, JobId, NewJob, OwnerId, Phase, RunId, Timestamp};
use crate::ports::{StoreError, Update};

use super::error::While;
use super::rows::{JOB_COLUMNS, JOB_TABLES, job, millis, phase_at, signed, work_body};
use super::{events, idempotency, results};

/// What came of a job that was to be accepted.
pub(super) enum Inserted {
    /// It is under this sequence number.
    New(i64),
    /// Its request was sent before, and made this job.
    Before(Box<Job>),
}

pub(super) fn insert(connection: &Connection, new: &NewJob) -> Result<Inserted, StoreError> {
    let doing = "accepting a job";
    if let Some(idempotency) = &new.idempotency
        && let Some(job) = made_by(connection, new.owner.as_ref(), idempotency)?
    {
        return Ok(Inserted::Before(Box::new(job)));
    }
    if new.is_exclusive && new.phase == Phase::Queued {
        alone(connection, &new.service)?;
    }
    let sql = "INSERT INTO job (id, service, owner, run_id, phase, created_at, execution_duration_ms, destruction, \
               cpus, memory, queued_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
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
            (new.phase == Phase::Queued).then(|| millis(new.since_boot)),
        ])
        .doing(doing)?;
    connection
        .prepare_cached("INSERT INTO work (job, body) VALUES (?1, ?2)")
        .and_then(|mut insert| insert.execute(params![seq, work_body(&new.work)]))
        .doing(doing)?;
    if let Some(idempotency) = &new.idempotency {
        idempotency::insert(connection, new.owner.as_ref(), idempotency, seq)?;
    }
    events::insert(connection, seq, new.created_at, None, new.phase, None)?;
    Ok(Inserted::New(seq))
}

/// Refuses while a job of the service is on its way: one that was run and has not ended, also if it is deleted already.
pub(super) fn alone(connection: &Connection, service: &str) -> Result<(), StoreError> {
    let sql = "SELECT id FROM job WHERE phase IN ('QUEUED', 'EXECUTING', 'SUSPENDED', 'HELD') \
               AND (phase <> 'HELD' OR held_from = 'QUEUED') AND service = ?1 LIMIT 1";
    let found = connection
        .prepare_cached(sql)
        .and_then(|mut select| select.query_row([service], |row| row.get(0)).optional())
        .doing("looking whether a service is busy")?;
    found.map_or(Ok(()), |id| Err(StoreError::Busy(JobId::from_bytes(id))))
}

pub(super) fn made_by(
    connection: &Connection,
    owner: Option<&OwnerId>,
    key: &IdempotencyKey,
) -> Result<Option<Job>, StoreError> {
    idempotency::find(connection, owner, key)?.map(|id| must_load(connection, id)).transpose()
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

pub(super) fn must_load(connection: &Connection, id: JobId) -> Result<Job, StoreError> {
    load(connection, id)?.ok_or(StoreError::NoSuchJob(id))
}

/// The sequence number and phase of a job.
pub(super) fn standing(connection: &Connection, id: JobId) -> Result<(i64, Phase), StoreError> {
    connection
        .prepare_cached("SELECT seq, phase FROM job WHERE id = ?1")
        .and_then(|mut select| select.query_row([id.as_bytes()], |row| Ok((row.get(0)?, phase_at(row, 1)?))).optional())
        .doing("reading a job's phase")?
        .ok_or(StoreError::NoSuchJob(id))
}

pub(super) fn set_facts(connection: &Connection, seq: i64, facts: &Facts) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO run (job, host, image, image_digest, commit_hash, boot_id, engine_start, \
               launched_ms, is_advisory, engine, image_source, memory_limit, cpu_limit_milli, launched_boot, \
               pids_limit, output_limit) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    let values = params![
        seq,
        facts.host,
        facts.image,
        facts.image_digest,
        facts.commit,
        facts.boot_id,
        facts.engine_start,
        facts.launched_since_boot.map(millis),
        facts.is_advisory,
        facts.engine,
        facts.image_source,
        facts.memory_limit.map(signed),
        facts.cpu_limit_milli,
        facts.launched_boot,
        facts.pids_limit,
        facts.output_limit.map(signed),
    ];
    connection
        .prepare_cached(sql)
        .and_then(|mut insert| insert.execute(values))
        .map(drop)
        .doing("writing what is known about a run")
}

pub(super) fn request_abort(connection: &Connection, id: JobId) -> Result<Option<Job>, StoreError> {
    note_unless_ended(connection, id, "abort_requested = 1")
}

pub(super) fn request_expiry(connection: &Connection, id: JobId) -> Result<Option<Job>, StoreError> {
    note_unless_ended(connection, id, "is_expired = 1, abort_requested = 1")
}

fn note_unless_ended(connection: &Connection, id: JobId, what: &str) -> Result<Option<Job>, StoreError> {
    let sql =
        format!("UPDATE job SET {what} WHERE id = ?1 AND phase NOT IN ('COMPLETED', 'ERROR', 'ABORTED', 'ARCHIVED')");
    connection
        .prepare_cached(&sql)
        .and_then(|mut update| update.execute([id.as_bytes()]))
        .doing("noting that a job is to be ended")?;
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

pub(super) fn update(connection: &Connection, id: JobId, updates: &[Update]) -> Result<Job, StoreError> {
    let job = must_load(connection, id)?;
    if !updates.iter().all(|update| update.is_allowed(&job)) {
        return Err(StoreError::PhaseChanged { id, actual: job.phase, wanted: job.phase });
    }
    for update in updates {
        apply(connection, job.seq, update)?;
    }
    must_load(connection, id)
}

fn apply(connection: &Connection, seq: i64, update: &Update) -> Result<(), StoreError> {
    let doing = "changing a job";
    let set = |sql: &str, value: &dyn rusqlite::ToSql| {
        connection.prepare_cached(sql).and_then(|mut update| update.execute(params![seq, value])).map(drop).doing(doing)
    };
    match update {
        Update::Work(work, reservation) => {
            set("UPDATE work SET body = ?2 WHERE job = ?1", &work_body(work))?;
            set("UPDATE job SET cpus = ?2 WHERE seq = ?1", &reservation.cpus)?;
            set("UPDATE job SET memory = ?2 WHERE seq = ?1", &signed(reservation.memory))?;
        }
        Update::RunId(run_id) => set("UPDATE job SET run_id = ?2 WHERE seq = ?1", &run_id.as_str())?,
        Update::ExecutionDuration(limit) => {
            set("UPDATE job SET execution_duration_ms = ?2 WHERE seq = ?1", &limit.map(millis))?;
        }
        Update::Destruction(at) => set("UPDATE job SET destruction = ?2 WHERE seq = ?1", &at.map(Timestamp::millis))?,
        Update::GiveUpFiles(at) => {
            results::remove(connection, seq)?;
            set("UPDATE job SET cleaned_at = ?2, files_removed = 0 WHERE seq = ?1", &at.millis())?;
        }
        Update::Priority(priority) => set("UPDATE job SET priority = ?2 WHERE seq = ?1", priority)?,
        Update::LimitReached => set("UPDATE job SET limit_reached = ?2 WHERE seq = ?1", &true)?,
        Update::Overused(overuse) => {
            set("UPDATE job SET output_found = ?2 WHERE seq = ?1", &signed(overuse.found))?;
            set("UPDATE job SET output_most = ?2 WHERE seq = ?1", &signed(overuse.most))?;
        }
        Update::LateStart { started_at, facts } => {
            set("UPDATE job SET started_at = ?2 WHERE seq = ?1", &started_at.millis())?;
            set_facts(connection, seq, facts)?;
        }
        Update::LetGo => set("UPDATE job SET held_from = ?2 WHERE seq = ?1", &None::<String>)?,
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{Reservation, Work};

    /// Accepts a job.
    pub(in crate::sqlite) fn queue(connection: &Connection, work: Work) -> JobId {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let new = NewJob {
            id: JobId::new(now),
            service: "ocps".to_owned(),
            owner: None,
            run_id: None,
            phase: Phase::Queued,
            created_at: now,
            since_boot: Duration::ZERO,
            execution_duration: None,
            destruction: None,
            reservation: Reservation { cpus: 1.0, memory: 1 },
            work,
            idempotency: None,
            is_exclusive: false,
        };
        insert(connection, &new).expect("kept");
        new.id
    }
}
