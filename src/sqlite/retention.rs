//! The end of a record: destruction times, archived and deleted jobs, forgetting.

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::{JobId, OwnerId, Timestamp};
use crate::ports::{DeletedJob, Destroyed, Destruction, StoreError};

use super::error::While;
use super::results;

/// How many results go in one transaction: of very many the others wait, and with them every write.
const RESULTS: u32 = 5000;

/// Of how many destroyed jobs it is told when that was, of the last ones: some megabytes.
const DESTROYED: i64 = 100_000;

/// When a job was ARCHIVED, if it was: its destruction, of which its record was kept. To be followed by its number.
const ARCHIVED_AT: &str = "SELECT max(at) FROM event WHERE to_phase = 'ARCHIVED' AND event.job =";

/// When a job was destroyed that was not: one that had to be stopped for it is there until its end.
const DELETED_AT: &str = "max(deleted_at, coalesce(ended_at, deleted_at))";

pub(super) fn due_for_destruction(
    connection: &Connection,
    now: Timestamp,
    limit: u32,
) -> Result<(Vec<JobId>, Option<Timestamp>), StoreError> {
    let doing = "looking for jobs to destroy";
    // One that has to end first is looked at again when it has.
    let due = "SELECT id, destruction AS at FROM job WHERE deleted_at IS NULL AND phase <> 'ARCHIVED' \
               AND destruction <= ?1 AND (is_expired = 0 OR phase IN ('COMPLETED', 'ERROR', 'ABORTED')) \
               UNION ALL \
               SELECT id, archived_until FROM job WHERE deleted_at IS NULL AND phase = 'ARCHIVED' \
               AND archived_until <= ?1 ORDER BY at LIMIT ?2";
    let mut statement = connection.prepare_cached(due).doing(doing)?;
    let due = statement
        .query_map(params![now.millis(), limit], |row| Ok(JobId::from_bytes(row.get(0)?)))
        .and_then(Iterator::collect)
        .doing(doing)?;
    let next = "SELECT min(at) FROM (\
                SELECT min(destruction) AS at FROM job WHERE deleted_at IS NULL AND phase <> 'ARCHIVED' \
                AND destruction > ?1 UNION ALL \
                SELECT min(archived_until) FROM job WHERE deleted_at IS NULL AND phase = 'ARCHIVED' \
                AND archived_until > ?1)";
    let next: Option<i64> = connection
        .prepare_cached(next)
        .and_then(|mut select| select.query_row([now.millis()], |row| row.get(0)))
        .doing(doing)?;
    Ok((due, next.map(Timestamp::from_millis)))
}

pub(super) fn deleted(connection: &Connection, after: i64, limit: u32) -> Result<Vec<DeletedJob>, StoreError> {
    let doing = "looking for deleted jobs";
    // What was given up before it was archived made no room by that either.
    let sql = format!(
        "SELECT j.seq, j.id, r.image, j.cleaned_at IS NOT NULL AND (j.phase <> 'ARCHIVED' OR j.cleaned_at < ({ARCHIVED_AT} j.seq)) FROM (\
               SELECT seq FROM job WHERE deleted_at IS NOT NULL AND files_removed = 0 AND seq > ?1 \
               AND phase IN ('COMPLETED', 'ERROR', 'ABORTED') UNION \
               SELECT seq FROM job WHERE phase = 'ARCHIVED' AND files_removed = 0 AND seq > ?1 UNION \
               SELECT seq FROM job WHERE cleaned_at IS NOT NULL AND files_removed = 0 AND seq > ?1) s \
               CROSS JOIN job j ON j.seq = s.seq LEFT JOIN run r ON r.job = j.seq ORDER BY j.seq LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let rows = statement.query_map(params![after, limit], |row| {
        let id = JobId::from_bytes(row.get(1)?);
        Ok(DeletedJob { seq: row.get(0)?, id, image: row.get(2)?, is_given_up: row.get(3)? })
    });
    rows.and_then(Iterator::collect).doing(doing)
}

pub(super) fn ended_before(connection: &Connection, at: Timestamp, limit: u32) -> Result<Vec<JobId>, StoreError> {
    let doing = "looking for jobs that ended long ago";
    let sql = "SELECT id FROM job WHERE (phase = 'COMPLETED' OR phase = 'ERROR' OR phase = 'ABORTED') \
               AND deleted_at IS NULL AND cleaned_at IS NULL AND ended_at < ?1 ORDER BY ended_at LIMIT ?2";
    let mut select = connection.prepare_cached(sql).doing(doing)?;
    let ids = select.query_map(params![at.millis(), limit], |row| row.get(0).map(JobId::from_bytes));
    ids.and_then(Iterator::collect).doing(doing)
}

pub(super) fn files_removed(connection: &Connection, id: JobId) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE job SET files_removed = 1 \
                         WHERE id = ?1 AND (deleted_at IS NOT NULL OR phase = 'ARCHIVED' OR cleaned_at IS NOT NULL)",
        )
        .and_then(|mut update| update.execute([id.as_bytes()]))
        .map(drop)
        .doing("noting that a job's files are gone")
}

pub(super) fn forget(
    connection: &Connection,
    now: Timestamp,
    limit: u32,
) -> Result<(u32, Option<Timestamp>), StoreError> {
    let doing = "forgetting deleted jobs";
    let gone = "deleted_at IS NOT NULL AND files_removed = 1 AND visible_until IS NOT NULL";
    let sql = format!("SELECT seq FROM job WHERE {gone} AND visible_until <= ?1 ORDER BY seq LIMIT ?2");
    let mut select = connection.prepare_cached(&sql).doing(doing)?;
    let due: Vec<i64> =
        select.query_map(params![now.millis(), limit], |row| row.get(0)).and_then(Iterator::collect).doing(doing)?;
    let mut left = RESULTS;
    let mut count = 0;
    for seq in due {
        let removed = results::remove_some(connection, seq, left)?;
        if removed == left {
            break;
        }
        left -= removed;
        remember(connection, seq)?;
        let delete = connection.prepare_cached("DELETE FROM job WHERE seq = ?1");
        count += delete.and_then(|mut delete| delete.execute([seq])).doing(doing)?;
    }
    let sql = format!("SELECT min(visible_until) FROM job WHERE {gone}");
    let next: Option<i64> =
        connection.prepare_cached(&sql).and_then(|mut select| select.query_row([], |row| row.get(0))).doing(doing)?;
    Ok((u32::try_from(count).unwrap_or(u32::MAX), next.map(Timestamp::from_millis)))
}

/// Keeps of a job that is forgotten now that it was destroyed, and when.
fn remember(connection: &Connection, seq: i64) -> Result<(), StoreError> {
    let doing = "noting that a job was destroyed";
    let sql = format!(
        "INSERT OR REPLACE INTO destroyed (id, service, owner, at) \
         SELECT id, service, owner, coalesce(({ARCHIVED_AT} job.seq), {DELETED_AT}) FROM job WHERE seq = ?1"
    );
    connection.prepare_cached(&sql).and_then(|mut insert| insert.execute([seq])).doing(doing)?;
    connection
        .prepare_cached("DELETE FROM destroyed WHERE seq <= ?1")
        .and_then(|mut delete| delete.execute([connection.last_insert_rowid() - DESTROYED]))
        .map(drop)
        .doing(doing)
}

pub(super) fn destroyed(connection: &Connection, id: JobId) -> Result<Option<Destroyed>, StoreError> {
    let sql = format!(
        "SELECT service, owner, coalesce(({ARCHIVED_AT} job.seq), {DELETED_AT}), ended_at IS NULL, \
         destruction <= deleted_at FROM job WHERE id = ?1 AND deleted_at IS NOT NULL \
         UNION ALL SELECT service, owner, at, 0, 0 FROM destroyed WHERE id = ?1"
    );
    let of_row = |row: &rusqlite::Row<'_>| {
        Ok(Destroyed {
            service: row.get(0)?,
            owner: row.get::<_, Option<String>>(1)?.map(OwnerId::new),
            at: Timestamp::from_millis(row.get(2)?),
            progress: match (row.get(3)?, row.get(4)?) {
                (false, _) => Destruction::Done,
                (true, Some(true)) => Destruction::Expired,
                (true, Some(false) | None) => Destruction::Deleted,
            },
        })
    };
    connection
        .prepare_cached(&sql)
        .and_then(|mut select| select.query_row([id.as_bytes()], of_row).optional())
        .doing("looking when a job was destroyed")
}

#[cfg(test)]
mod tests {
    use super::super::jobs::tests::queue;
    use super::super::open::open_writer;
    use super::*;
    use crate::domain::{JobResult, Work};

    #[test]
    fn jobs_with_very_many_results_are_forgotten_piece_by_piece() {
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = open_writer(&dir.path().join("uwsd.db")).expect("made");
        let result = |number: u32| JobResult { path: number.to_string(), size: 1 };
        for (seq, count) in [(1, 3), (2, RESULTS * 2 + 1), (3, RESULTS), (4, 0)] {
            queue(&connection, Work::of_command("x"));
            results::insert(&connection, seq, &(0..count).map(result).collect::<Vec<_>>()).expect("written");
        }
        connection
            .execute_batch("UPDATE job SET deleted_at = 1, files_removed = 1, visible_until = 5 WHERE seq < 5")
            .expect("done");
        let now = Timestamp::from_millis(5);
        let left =
            || connection.query_row("SELECT count(*) FROM result", [], |row| row.get::<_, u32>(0)).expect("read");
        let mut before = left();
        let mut forgotten = 0;
        loop {
            let (count, next) = forget(&connection, now, 100).expect("done");
            assert!(before - left() <= RESULTS, "{before} to {}", left());
            (before, forgotten) = (left(), forgotten + count);
            if next.is_none() {
                break;
            }
        }
        assert_eq!((forgotten, left()), (4, 0));
    }

    #[test]
    fn what_was_given_up_for_room_and_then_archived_still_counts_and_was_destroyed_when_it_was_archived() {
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = open_writer(&dir.path().join("uwsd.db")).expect("made");
        for _ in 0..3 {
            queue(&connection, Work::of_command("x"));
        }
        connection
            .execute_batch(
                "UPDATE job SET phase = 'ARCHIVED', reason = 'ok', cleaned_at = 5, files_removed = 0 WHERE seq <= 2; \
                 UPDATE job SET phase = 'COMPLETED', reason = 'ok', cleaned_at = 4 WHERE seq = 3; \
                 INSERT INTO event (job, at, to_phase) VALUES (1, 5, 'ARCHIVED'), (2, 8, 'ARCHIVED'); \
                 UPDATE job SET deleted_at = 20, ended_at = 1 WHERE seq = 2;",
            )
            .expect("done");
        let told = deleted(&connection, 0, 10).expect("read");
        assert_eq!(told.iter().map(|job| job.is_given_up).collect::<Vec<_>>(), [false, true, true]);
        let second = told[1].id;
        let at = || destroyed(&connection, second).expect("read").expect("it was there").at.millis();
        assert_eq!(at(), 8);
        remember(&connection, 2).expect("noted");
        connection.execute("DELETE FROM job WHERE seq = 2", []).expect("forgotten");
        assert_eq!(at(), 8);
    }

    #[test]
    fn a_job_that_had_to_be_stopped_was_destroyed_at_its_end_and_one_that_had_ended_when_it_was_deleted() {
        use Destruction::{Deleted, Done, Expired};
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = open_writer(&dir.path().join("uwsd.db")).expect("made");
        let ids = [(); 4].map(|()| queue(&connection, Work::of_command("x")));
        let run = |sql: &str| connection.execute_batch(sql).expect("done");
        // The first had ended; of the last the destruction time came.
        run("UPDATE job SET phase = 'ABORTED', reason = 'aborted', ended_at = 10 WHERE seq = 1; \
             UPDATE job SET destruction = 15 WHERE seq = 4; UPDATE job SET destruction = 500 WHERE seq = 3; \
             UPDATE job SET deleted_at = 20");
        let told = || ids.map(|id| destroyed(&connection, id).expect("read").expect("it was there"));
        let told = || told().map(|was| (was.at.millis(), was.progress));
        assert_eq!(told(), [(20, Done), (20, Deleted), (20, Deleted), (20, Expired)]);
        run("UPDATE job SET phase = 'ABORTED', reason = 'aborted', ended_at = 27 WHERE seq > 1");
        let expected = [20, 27, 27, 27].map(|at| (at, Done));
        assert_eq!(told(), expected);
        run("UPDATE job SET files_removed = 1, visible_until = 30");
        assert_eq!(forget(&connection, Timestamp::from_millis(30), 100).expect("done").0, 4);
        assert_eq!(told(), expected);
    }

    #[test]
    fn of_the_last_jobs_that_were_forgotten_it_is_known_when_they_were_destroyed() {
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = open_writer(&dir.path().join("uwsd.db")).expect("made");
        let ids = [(); 3].map(|()| queue(&connection, Work::of_command("x")));
        let forgotten = |seq: i64| {
            let sql = "UPDATE job SET deleted_at = ?1, files_removed = 1, visible_until = 5 WHERE seq = ?1";
            connection.execute(sql, [seq]).expect("deleted");
            assert_eq!(forget(&connection, Timestamp::from_millis(5), 100).expect("done").0, 1);
        };
        let known = |id| destroyed(&connection, id).expect("read").map(|was| was.at.millis());
        assert_eq!(ids.map(known), [None; 3]);
        forgotten(1);
        forgotten(2);
        assert_eq!(ids.map(known), [Some(1), Some(2), None]);
        // As if very many had gone in between.
        connection
            .execute("UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'destroyed'", [DESTROYED + 1])
            .expect("set");
        forgotten(3);
        assert_eq!(ids.map(known), [None, None, Some(3)]);
    }
}
