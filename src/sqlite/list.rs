//! Many jobs at a time: lists, the queue, totals.

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use crate::domain::{Job, JobFilter, JobId, JobResult, OwnerId, Page, Phase, Reservation};
use crate::ports::{QueuedJob, StoreError, Totals};

use super::error::While;
use super::results;
use super::rows::{JOB_COLUMNS, JOB_TABLES, job};

/// How large the jobs of a page may be together; the one that goes beyond is the last.
const PAGE_SIZE: usize = 1 << 20;

/// The jobs of a page, fewer than its limit if they are large, but none only if there are no more.
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
    let mut jobs = Vec::new();
    let mut left = PAGE_SIZE;
    for row in rows {
        let mut job = row.doing(doing)?;
        if job.phase.is_final() {
            job.results = results::of(connection, job.seq)?;
        }
        left = left.saturating_sub(size(&job));
        jobs.push(job);
        if left == 0 {
            break;
        }
    }
    Ok(jobs)
}

/// About what a job takes in memory, as far as its client decides it.
fn size(job: &Job) -> usize {
    let results = job.results.iter().map(|result| result.path.len() + size_of::<JobResult>());
    job.work.size() + results.sum::<usize>()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{NewJob, Outcome, Reason, Timestamp, Work};
    use crate::ports::{Change, End};
    use crate::sqlite::{jobs, open};

    fn insert(connection: &Connection, command: String) -> JobId {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let new = NewJob {
            id: JobId::new(now),
            service: "ocps".to_owned(),
            owner: None,
            run_id: None,
            phase: Phase::Queued,
            created_at: now,
            execution_duration: None,
            destruction: None,
            reservation: Reservation { cpus: 1.0, memory: 1 },
            work: Work { command, source: None, environment: Vec::new(), replicas: 1, parameters: Vec::new() },
        };
        jobs::insert(connection, new).expect("kept").id
    }

    fn end(connection: &Connection, id: JobId, results: Vec<JobResult>) {
        let now = Timestamp::from_millis(1_700_000_001_000);
        let outcome = Outcome::new(Reason::Aborted, "");
        let end = End {
            outcome,
            started_at: None,
            ended_at: now,
            results,
            facts: None,
            visible_for: std::time::Duration::ZERO,
        };
        jobs::change(connection, id, Change::End(Box::new(end)), now).expect("ended");
    }

    /// How many jobs each page has, until an empty one.
    fn pages(connection: &Connection) -> Vec<usize> {
        let mut before = None;
        let mut lengths = Vec::new();
        loop {
            let jobs = page(connection, &JobFilter::default(), Page { before, limit: 100 }).expect("read");
            let Some(last) = jobs.last() else { return lengths };
            assert!(before.is_none_or(|before| jobs[0].seq < before) && jobs.is_sorted_by_key(|job| -job.seq));
            before = Some(last.seq);
            lengths.push(jobs.len());
        }
    }

    #[test]
    fn a_page_ends_where_its_jobs_become_large() {
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = open::open_writer(&dir.path().join("uwsd.db")).expect("opened");
        for _ in 0..150 {
            insert(&connection, "true".to_owned());
        }
        assert_eq!(pages(&connection), [100, 50]);
        for _ in 0..6 {
            insert(&connection, "x".repeat(400 << 10));
        }
        insert(&connection, "x".repeat(16 << 20));
        assert_eq!(pages(&connection), [1, 3, 3, 100, 50], "a job as large as any is still shown");
    }

    #[test]
    fn results_count_as_well() {
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = open::open_writer(&dir.path().join("uwsd.db")).expect("opened");
        for _ in 0..4 {
            let id = insert(&connection, "true".to_owned());
            let results = (0..300).map(|n| JobResult { path: format!("{n:02000}"), size: 1 }).collect();
            end(&connection, id, results);
        }
        assert_eq!(pages(&connection), [2, 2]);
    }
}
