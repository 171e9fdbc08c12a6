//! The end of a record: destruction times, deleted jobs, forgetting.

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::{Deletion, JobId, Timestamp};
use crate::ports::StoreError;

use super::error::While;

pub(super) fn due_for_destruction(
    connection: &Connection,
    now: Timestamp,
    limit: u32,
) -> Result<(Vec<JobId>, Option<Timestamp>), StoreError> {
    let doing = "looking for jobs to destroy";
    let sql = "SELECT id FROM job WHERE deleted_at IS NULL AND destruction <= ?1 ORDER BY destruction LIMIT ?2";
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let due = statement
        .query_map(params![now.millis(), limit], |row| Ok(JobId::from_bytes(row.get(0)?)))
        .and_then(Iterator::collect)
        .doing(doing)?;
    let sql = "SELECT min(destruction) FROM job WHERE deleted_at IS NULL AND destruction > ?1";
    let next: Option<i64> = connection
        .prepare_cached(sql)
        .and_then(|mut select| select.query_row([now.millis()], |row| row.get(0)))
        .doing(doing)?;
    Ok((due, next.map(Timestamp::from_millis)))
}

pub(super) fn deleted(
    connection: &Connection,
    limit: u32,
) -> Result<Vec<(JobId, Deletion, Option<String>)>, StoreError> {
    let doing = "looking for deleted jobs";
    let sql = "SELECT j.id, j.deleted_at, j.visible_until, r.image FROM job j LEFT JOIN run r ON r.job = j.seq \
               WHERE j.deleted_at IS NOT NULL AND j.files_removed = 0 \
               AND j.phase IN ('COMPLETED', 'ERROR', 'ABORTED', 'ARCHIVED') ORDER BY j.seq LIMIT ?1";
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let rows = statement.query_map([limit], |row| {
        let deletion = Deletion {
            requested_at: Timestamp::from_millis(row.get(1)?),
            visible_until: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis),
        };
        Ok((JobId::from_bytes(row.get(0)?), deletion, row.get(3)?))
    });
    rows.and_then(Iterator::collect).doing(doing)
}

pub(super) fn files_removed(connection: &Connection, id: JobId) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE job SET files_removed = 1 WHERE id = ?1 AND deleted_at IS NOT NULL")
        .and_then(|mut update| update.execute([id.as_bytes()]))
        .map(drop)
        .doing("noting that a job's files are gone")
}

pub(super) fn forget(connection: &Connection, now: Timestamp) -> Result<(u64, Option<Timestamp>), StoreError> {
    let doing = "forgetting deleted jobs";
    let gone = "deleted_at IS NOT NULL AND files_removed = 1 AND visible_until IS NOT NULL";
    let sql = format!("DELETE FROM job WHERE {gone} AND visible_until <= ?1");
    let count = connection.prepare_cached(&sql).and_then(|mut delete| delete.execute([now.millis()])).doing(doing)?;
    let sql = format!("SELECT min(visible_until) FROM job WHERE {gone}");
    let next: Option<Option<i64>> = connection
        .prepare_cached(&sql)
        .and_then(|mut select| select.query_row([], |row| row.get(0)).optional())
        .doing(doing)?;
    Ok((u64::try_from(count).unwrap_or(u64::MAX), next.flatten().map(Timestamp::from_millis)))
}
