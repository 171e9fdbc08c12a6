//! The table `result`.

use rusqlite::{Connection, params};

use crate::domain::JobResult;
use crate::ports::StoreError;

use super::error::While;
use super::rows::signed;

pub(super) fn insert(connection: &Connection, job: i64, results: &[JobResult]) -> Result<(), StoreError> {
    let doing = "writing results";
    let sql = "INSERT OR REPLACE INTO result (job, number, path, size) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = connection.prepare_cached(sql).doing(doing)?;
    for (number, result) in (0_i64..).zip(results) {
        insert.execute(params![job, number, result.path, signed(result.size)]).doing(doing)?;
    }
    Ok(())
}

pub(super) fn of(connection: &Connection, job: i64) -> Result<Vec<JobResult>, StoreError> {
    let doing = "reading results";
    let sql = "SELECT path, size FROM result WHERE job = ?1 ORDER BY number";
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let results = statement
        .query_map([job], |row| Ok(JobResult { path: row.get(0)?, size: row.get::<_, i64>(1)?.unsigned_abs() }));
    results.and_then(Iterator::collect).doing(doing)
}

pub(super) fn remove(connection: &Connection, job: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM result WHERE job = ?1")
        .and_then(|mut delete| delete.execute([job]))
        .map(drop)
        .doing("forgetting a job's results")
}

/// Removes at most so many of them; returns how many.
pub(super) fn remove_some(connection: &Connection, job: i64, most: u32) -> Result<u32, StoreError> {
    let sql = "DELETE FROM result WHERE job = ?1 AND number IN (SELECT number FROM result WHERE job = ?1 LIMIT ?2)";
    connection
        .prepare_cached(sql)
        .and_then(|mut delete| delete.execute(params![job, most]))
        .map(|removed| u32::try_from(removed).unwrap_or(most))
        .doing("forgetting a job's results")
}
