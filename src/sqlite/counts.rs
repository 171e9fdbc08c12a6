//! How many jobs are in which phase.

use rusqlite::Connection;

use crate::ports::{JobCount, StoreError};

use super::error::While;
use super::rows::phase_at;

/// Reads as many entries of an index, and rows, as there are such jobs: no more than may wait and run.
const ACTIVE: &str = "SELECT service, phase, count(*) FROM job \
                      WHERE phase IN ('PENDING', 'QUEUED', 'HELD', 'EXECUTING', 'SUSPENDED') GROUP BY service, phase";
/// Reads an index from end to end, in order, and no row.
const ENDED: &str = "SELECT service, phase, count(*) FROM job INDEXED BY job_list_by_phase WHERE deleted_at IS NULL \
                     GROUP BY service, phase HAVING phase IN ('COMPLETED', 'ERROR', 'ABORTED', 'ARCHIVED')";

pub(super) fn active(connection: &Connection) -> Result<Vec<JobCount>, StoreError> {
    counted(connection, ACTIVE)
}

pub(super) fn ended(connection: &Connection) -> Result<Vec<JobCount>, StoreError> {
    counted(connection, ENDED)
}

fn counted(connection: &Connection, sql: &str) -> Result<Vec<JobCount>, StoreError> {
    let doing = "counting jobs by phase";
    let mut select = connection.prepare_cached(sql).doing(doing)?;
    let counts = select.query_map([], |row| {
        Ok(JobCount { service: row.get(0)?, phase: phase_at(row, 1)?, jobs: row.get::<_, i64>(2)?.unsigned_abs() })
    });
    counts.and_then(Iterator::collect).doing(doing)
}

#[cfg(test)]
mod tests {
    use rusqlite::params;

    use super::*;
    use crate::domain::Phase;
    use crate::sqlite::open;

    fn database(dir: &tempfile::TempDir) -> Connection {
        open::open_writer(&dir.path().join("uwsd.db")).expect("opened")
    }

    fn insert(connection: &Connection, id: u8, service: &str, phase: &str, deleted_at: Option<i64>) {
        let is_final = matches!(phase, "COMPLETED" | "ERROR" | "ABORTED" | "ARCHIVED");
        let sql = "INSERT INTO job (id, service, phase, created_at, cpus, memory, reason, deleted_at) \
                   VALUES (?1, ?2, ?3, 1, 1, 1, ?4, ?5)";
        let values = params![[id; 16], service, phase, is_final.then_some("ok"), deleted_at];
        connection.execute(sql, values).expect("kept");
    }

    #[test]
    fn jobs_are_counted_by_service_and_phase() {
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = database(&dir);
        let jobs = [
            ("a", "QUEUED", None),
            ("a", "QUEUED", None),
            ("b", "QUEUED", None),
            ("a", "EXECUTING", Some(5)),
            ("a", "COMPLETED", None),
            ("a", "COMPLETED", Some(5)),
            ("b", "ARCHIVED", None),
        ];
        for (id, (service, phase, deleted_at)) in (0..).zip(jobs) {
            insert(&connection, id, service, phase, deleted_at);
        }
        let told = |counts: Vec<JobCount>| {
            let mut told: Vec<_> =
                counts.into_iter().map(|JobCount { service, phase, jobs }| (service, phase, jobs)).collect();
            told.sort_by(|a, b| (&a.0, a.1.as_str()).cmp(&(&b.0, b.1.as_str())));
            told
        };
        let count = |service: &str, phase, jobs| (service.to_owned(), phase, jobs);
        let active = [count("a", Phase::Executing, 1), count("a", Phase::Queued, 2), count("b", Phase::Queued, 1)];
        assert_eq!(told(super::active(&connection).expect("counted")), active, "a deleted one goes on until its end");
        let ended = [count("a", Phase::Completed, 1), count("b", Phase::Archived, 1)];
        assert_eq!(told(super::ended(&connection).expect("counted")), ended, "a deleted one is no more");
    }

    #[test]
    fn those_on_their_way_are_found_by_their_phase_and_the_others_counted_in_order() {
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = database(&dir);
        let plan = |sql: &str| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a query");
            let steps = statement.query_map([], |row| row.get::<_, String>(3)).expect("a plan");
            steps.map(|step| step.expect("a step")).collect::<Vec<_>>().join("; ")
        };
        let active = plan(ACTIVE);
        assert!(active.contains("SEARCH job USING INDEX job_by_phase (phase=?)"), "{active}");
        let ended = plan(ENDED);
        assert!(ended.contains("INDEX job_list_by_phase") && !ended.contains("TEMP B-TREE"), "{ended}");
    }
}
