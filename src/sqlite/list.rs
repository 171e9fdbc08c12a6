//! Many jobs at a time: lists, the queue, totals.

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use crate::domain::{Job, JobFilter, JobId, OwnerId, Page, Phase, Reservation};
use crate::ports::{QueuedJob, StoreError, Totals};

use super::error::While;
use super::results;
use super::rows::{JOB_COLUMNS, JOB_TABLES, job};

pub(super) fn page(connection: &Connection, filter: &JobFilter, page: Page) -> Result<Vec<Job>, StoreError> {
    let doing = "listing jobs";
    let mut sql = format!("SELECT {JOB_COLUMNS} FROM {JOB_TABLES} WHERE j.deleted_at IS NULL");
    let mut values: Vec<Value> = Vec::new();
    if let Some(before) = page.before {
        sql.push_str(" AND j.seq < ?");
        values.push(before.into());
    }
    if let Some(service) = &filter.service {
        sql.push_str(" AND j.service = ?");
        values.push(service.clone().into());
    }
    if let Some(owner) = &filter.owner {
        sql.push_str(" AND j.owner IS ?");
        values.push(owner.as_ref().map(|owner| OwnerId::as_str(owner).to_owned()).into());
    }
    if let Some(after) = filter.created_after {
        sql.push_str(" AND j.created_at > ?");
        values.push(after.millis().into());
    }
    if filter.phases.is_empty() {
        sql.push_str(" AND j.phase <> 'ARCHIVED'");
    } else {
        let marks = vec!["?"; filter.phases.len()].join(", ");
        sql.push_str(" AND j.phase IN (");
        sql.push_str(&marks);
        sql.push(')');
        values.extend(filter.phases.iter().map(|phase| Value::from(phase.as_str().to_owned())));
    }
    sql.push_str(" ORDER BY j.seq DESC LIMIT ?");
    values.push(i64::from(page.limit).into());

    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let rows = statement.query_map(params_from_iter(values), job).doing(doing)?;
    let mut jobs = rows.collect::<Result<Vec<_>, _>>().doing(doing)?;
    for job in jobs.iter_mut().filter(|job| job.phase.is_final()) {
        job.results = results::of(connection, job.seq)?;
    }
    Ok(jobs)
}

pub(super) fn queued(connection: &Connection, after: i64, limit: u32) -> Result<Vec<QueuedJob>, StoreError> {
    let doing = "reading the queue";
    let sql = "SELECT seq, id, cpus, memory FROM job WHERE phase = 'QUEUED' AND seq > ?1 ORDER BY seq LIMIT ?2";
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let jobs = statement.query_map(params![after, limit], |row| {
        Ok(QueuedJob {
            seq: row.get(0)?,
            id: JobId::from_bytes(row.get(1)?),
            reservation: Reservation { cpus: row.get(2)?, memory: row.get::<_, i64>(3)?.unsigned_abs() },
        })
    });
    jobs.and_then(Iterator::collect).doing(doing)
}

pub(super) fn executing(connection: &Connection) -> Result<Vec<Job>, StoreError> {
    let doing = "reading what executes";
    let sql =
        format!("SELECT {JOB_COLUMNS} FROM {JOB_TABLES} WHERE j.phase IN ('EXECUTING', 'SUSPENDED') ORDER BY j.seq");
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let jobs = statement.query_map([], job);
    jobs.and_then(Iterator::collect).doing(doing)
}

pub(super) fn abort_requested(connection: &Connection) -> Result<Vec<JobId>, StoreError> {
    let doing = "reading what is to be aborted";
    let sql = "SELECT id FROM job WHERE phase IN ('PENDING', 'QUEUED', 'HELD', 'EXECUTING', 'SUSPENDED') \
               AND abort_requested = 1 ORDER BY seq";
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let ids = statement.query_map([], |row| Ok(JobId::from_bytes(row.get(0)?)));
    ids.and_then(Iterator::collect).doing(doing)
}

pub(super) fn totals(connection: &Connection) -> Result<Totals, StoreError> {
    let doing = "counting jobs";
    let count = |phases: &[Phase]| {
        let mut total = 0_u64;
        for phase in phases {
            let sql = "SELECT count(*) FROM job WHERE phase = ?1";
            let count: i64 = connection
                .prepare_cached(sql)
                .and_then(|mut select| select.query_row([phase.as_str()], |row| row.get(0)))
                .doing(doing)?;
            total += count.unsigned_abs();
        }
        Ok::<_, StoreError>(total)
    };
    Ok(Totals {
        waiting: count(&[Phase::Pending, Phase::Queued, Phase::Held])?,
        executing: count(&[Phase::Executing, Phase::Suspended])?,
    })
}
