//! Many jobs at a time: lists, the queue, totals.

use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use crate::domain::{Job, JobFilter, JobId, JobRef, JobResult, OwnerId, Page, Phase, Place, Reservation};
use crate::ports::{QueuedJob, StoreError, Totals};

use super::error::While;
use super::results;
use super::rows::{BESIDE_JOB, JOB_COLUMNS, JOB_TABLES, duration, job, job_ref, millis};

/// How large the jobs of a page may be together; the one that goes beyond is the last.
const PAGE_SIZE: usize = 1 << 20;

/// The jobs of a page, fewer than its limit if they are large, but none only if there are no more.
pub(super) fn page(connection: &Connection, filter: &JobFilter, page: Page) -> Result<Vec<Job>, StoreError> {
    let doing = "listing jobs";
    let (places, values) = places(filter, page, "j.seq, j.created_at");
    let sql = format!(
        "SELECT {JOB_COLUMNS} FROM ({places}) p CROSS JOIN job j ON j.seq = p.seq {BESIDE_JOB} \
         ORDER BY j.created_at DESC, j.seq DESC"
    );
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

/// The same page in the short form; it is never shorter than its limit but at the end of the list.
pub(super) fn page_of_refs(connection: &Connection, filter: &JobFilter, page: Page) -> Result<Vec<JobRef>, StoreError> {
    let doing = "listing jobs";
    let (sql, values) = places(filter, page, "j.seq, j.created_at, j.id, j.phase, j.run_id, j.owner");
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let refs = statement.query_map(params_from_iter(values), job_ref);
    refs.and_then(Iterator::collect).doing(doing)
}

/// The query for `columns` of the jobs of a page, in order; each phase is a range of one index, of which no more is read
/// than the page has.
fn places(filter: &JobFilter, page: Page, columns: &str) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = Vec::new();
    let mut select = |of_phase: &str, phase: Option<Phase>| {
        let mut sql = format!("SELECT {columns} FROM job j WHERE j.deleted_at IS NULL AND {of_phase}");
        values.extend(phase.map(|phase| Value::from(phase.as_str().to_owned())));
        let mut also = |condition: &str, operands: Vec<Value>| {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.extend(operands);
        };
        if let Some(service) = &filter.service {
            also("j.service = ?", vec![service.clone().into()]);
        }
        if let Some(owner) = &filter.owner {
            also("j.owner IS ?", vec![owner.as_ref().map(|owner| OwnerId::as_str(owner).to_owned()).into()]);
        }
        if let Some(after) = filter.created_after {
            also("j.created_at > ?", vec![after.millis().into()]);
        }
        if let Some(Place { created_at, seq }) = page.after {
            also("(j.created_at, j.seq) < (?, ?)", vec![created_at.millis().into(), seq.into()]);
        }
        sql.push_str(" ORDER BY j.created_at DESC, j.seq DESC LIMIT ?");
        values.push(i64::from(page.limit).into());
        sql
    };
    let mut phases: Vec<Phase> = Vec::new();
    for phase in &filter.phases {
        if !phases.contains(phase) {
            phases.push(*phase);
        }
    }
    match phases.as_slice() {
        [] => (select("j.phase <> 'ARCHIVED'", None), values),
        [phase] => (select("j.phase = ?", Some(*phase)), values),
        several => {
            let parts: Vec<String> = several
                .iter()
                .map(|phase| format!("SELECT * FROM ({})", select("j.phase = ?", Some(*phase))))
                .collect();
            let sql = format!("{} ORDER BY created_at DESC, seq DESC LIMIT ?", parts.join(" UNION ALL "));
            values.push(i64::from(page.limit).into());
            (sql, values)
        }
    }
}

pub(super) fn run_times(connection: &Connection, service: &str, limit: u32) -> Result<Vec<Duration>, StoreError> {
    let doing = "reading how long jobs ran";
    let sql = "SELECT coalesce(ran_ms, max(0, ended_at - started_at)) FROM job WHERE service = ?1 AND phase = 'COMPLETED' \
               AND deleted_at IS NULL ORDER BY created_at DESC, seq DESC LIMIT ?2";
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let times = statement.query_map(params![service, limit], |row| Ok(duration(row.get(0)?)));
    times.and_then(Iterator::collect).doing(doing)
}

pub(super) fn queued_before(connection: &Connection, before: i64, limit: u32) -> Result<u32, StoreError> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM job WHERE phase = 'QUEUED' AND seq < ?1 LIMIT ?2)";
    connection
        .prepare_cached(sql)
        .and_then(|mut select| select.query_row(params![before, limit], |row| row.get(0)))
        .doing("counting the queue")
}

pub(super) fn overdue(
    connection: &Connection,
    service: &str,
    wait: Duration,
    since_boot: Duration,
    limit: u32,
) -> Result<Vec<JobId>, StoreError> {
    let doing = "looking for jobs that have waited too long";
    // An uptime that is still to come is one of an earlier boot.
    let sql = "SELECT id FROM job WHERE service = ?1 AND phase = 'QUEUED' AND deleted_at IS NULL \
               AND ?3 - CASE WHEN queued_ms <= ?3 THEN queued_ms ELSE 0 END >= ?2 ORDER BY created_at, seq LIMIT ?4";
    let mut select = connection.prepare_cached(sql).doing(doing)?;
    let ids = select
        .query_map(params![service, millis(wait), millis(since_boot), limit], |row| row.get(0).map(JobId::from_bytes));
    ids.and_then(Iterator::collect).doing(doing)
}

/// About what a job takes in memory, as far as its client decides it.
fn size(job: &Job) -> usize {
    let results = job.results.iter().map(|result| result.path.len() + size_of::<JobResult>());
    job.work.size() + results.sum::<usize>()
}

pub(super) fn queued(
    connection: &Connection,
    without: &[String],
    limit: u32,
    since_boot: Duration,
) -> Result<Vec<QueuedJob>, StoreError> {
    let doing = "reading the queue";
    // One that was queued before the host's last start has waited since that, at the least.
    let sql = "SELECT seq, id, service, cpus, memory, owner, priority, \
               ?3 - CASE WHEN queued_ms <= ?3 THEN queued_ms ELSE 0 END FROM (\
               SELECT *, row_number() OVER (PARTITION BY service, owner ORDER BY priority DESC, seq) AS turn FROM job \
               WHERE phase = 'QUEUED' AND service NOT IN (SELECT value FROM json_each(?1))) \
               WHERE turn <= ?2 ORDER BY seq";
    let without = serde_json::to_string(without).expect("a list of strings");
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let jobs = statement.query_map(params![without, limit, millis(since_boot)], |row| {
        Ok(QueuedJob {
            seq: row.get(0)?,
            id: JobId::from_bytes(row.get(1)?),
            service: row.get(2)?,
            owner: row.get::<_, Option<String>>(5)?.map(OwnerId::new),
            reservation: Reservation { cpus: row.get(3)?, memory: row.get::<_, i64>(4)?.unsigned_abs() },
            priority: row.get(6)?,
            waited: Duration::from_millis(row.get::<_, Option<i64>>(7)?.unwrap_or(0).unsigned_abs()),
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
    use crate::domain::{Outcome, Reason, Timestamp, Work};
    use crate::ports::{Change, End};
    use crate::sqlite::{changes, jobs, open};

    fn insert(connection: &Connection, command: String) -> JobId {
        jobs::tests::queue(connection, Work::of_command(command))
    }

    fn end(connection: &Connection, id: JobId, results: Vec<JobResult>) {
        let now = Timestamp::from_millis(1_700_000_001_000);
        let outcome = Outcome::new(Reason::Aborted, "");
        let end = End {
            outcome,
            started_at: None,
            ended_at: now,
            ran: None,
            results,
            facts: None,
            visible_for: std::time::Duration::ZERO,
        };
        changes::change(connection, id, &Change::End(Box::new(end)), now).expect("ended");
    }

    /// How many jobs each page has, until an empty one.
    fn pages(connection: &Connection) -> Vec<usize> {
        let mut after = None;
        let mut lengths = Vec::new();
        loop {
            let jobs = page(connection, &JobFilter::default(), Page { after, limit: 100 }).expect("read");
            let Some(last) = jobs.last() else { return lengths };
            assert!(after.is_none_or(|after| jobs[0].place() < after) && jobs.is_sorted_by_key(|job| -job.seq));
            after = Some(last.place());
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

    /// How SQLite means to read the list that `filter` asks for.
    fn plan(connection: &Connection, filter: &JobFilter) -> String {
        let after = Some(Place { created_at: Timestamp::from_millis(5), seq: 5 });
        let (sql, values) = places(filter, Page { after, limit: 100 }, "j.seq, j.created_at");
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a query");
        let steps = statement.query_map(params_from_iter(values), |row| row.get::<_, String>(3)).expect("a plan");
        steps.map(|step| step.expect("a step")).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn every_list_is_read_in_order_from_an_index() {
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = open::open_writer(&dir.path().join("uwsd.db")).expect("opened");
        let filter = |phases: &[Phase], created_after| JobFilter {
            service: Some("ocps".to_owned()),
            owner: Some(None),
            phases: phases.to_vec(),
            created_after,
        };
        let when = Some(Timestamp::from_millis(1));
        for (phases, created_after, index) in [
            (&[][..], None, "job_list"),
            (&[][..], when, "job_list"),
            (&[Phase::Error][..], when, "job_list_by_phase"),
            (&[Phase::Error, Phase::Queued, Phase::Error][..], when, "job_list_by_phase"),
        ] {
            let plan = plan(&connection, &filter(phases, created_after));
            let is_sorted = plan.contains("TEMP B-TREE FOR ORDER BY");
            // Several phases are merged: only as many as a page has are sorted.
            assert!(plan.contains(&format!("USING INDEX {index} (")), "{plan}");
            assert!(phases.len() > 1 || !is_sorted, "{plan}");
            assert!(!plan.contains("SCAN j"), "{plan}");
        }
    }
}
