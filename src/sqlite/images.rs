//! The table `image`: what was pulled for jobs.

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::Timestamp;
use crate::ports::{Arrival, ImageFacts, ImageOfFiles, PulledImage, StoreError};

use super::error::While;

/// A use that is noted saves noting another so soon after it, in milliseconds: a burst of jobs writes one.
const SOON: i64 = 60_000;

pub(super) fn pulling(connection: &Connection, names: &[String], now: Timestamp) -> Result<(), StoreError> {
    let doing = "noting that an image is pulled";
    let sql = "INSERT INTO image (name, pulled_at, last_used) VALUES (?1, ?2, ?2) ON CONFLICT DO NOTHING";
    let mut insert = connection.prepare_cached(sql).doing(doing)?;
    names.iter().try_for_each(|name| insert.execute(params![name, now.millis()]).map(drop)).doing(doing)
}

pub(super) fn used(
    connection: &Connection,
    name: &str,
    facts: &ImageFacts,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let doing = "noting that an image is used";
    let now = now.millis();
    match facts.arrival {
        Arrival::Pulled => {
            let sql = "INSERT INTO image (name, id, digest, pulled_at, last_used) VALUES (?1, ?2, ?3, ?4, ?4) \
                       ON CONFLICT (name) DO UPDATE SET id = ?2, digest = ?3, pulled_at = ?4, last_used = ?4";
            let insert = connection.prepare_cached(sql);
            insert.and_then(|mut insert| insert.execute(params![name, facts.id, facts.digest, now])).doing(doing)?;
        }
        // What was there before may be somebody else's, and then nothing is known of it.
        Arrival::Replaced => {
            // Of ours the former image stays in the engine without a name: under its id it is removed once it is old.
            let sql = "INSERT INTO image (name, id, digest, pulled_at, last_used) \
                       SELECT id, id, digest, pulled_at, last_used FROM image WHERE name = ?1 AND id <> ?2 \
                       ON CONFLICT (name) DO UPDATE SET last_used = max(last_used, excluded.last_used)";
            let keep = connection.prepare_cached(sql);
            keep.and_then(|mut keep| keep.execute(params![name, facts.id])).doing(doing)?;
            let sql = "UPDATE image SET pulled_at = iif(id = ?2, pulled_at, ?4), id = ?2, digest = ?3, last_used = ?4 WHERE name = ?1";
            let update = connection.prepare_cached(sql);
            update.and_then(|mut update| update.execute(params![name, facts.id, facts.digest, now])).doing(doing)?;
        }
        Arrival::Found => {
            let sql = "DELETE FROM image WHERE name = ?1 AND id <> ?2";
            let delete = connection.prepare_cached(sql);
            delete.and_then(|mut delete| delete.execute(params![name, facts.id])).doing(doing)?;
            let sql = "UPDATE image SET id = ?2, last_used = max(last_used, ?3) \
                       WHERE name = ?1 AND (id IS NULL OR last_used < ?3 - ?4)";
            let update = connection.prepare_cached(sql);
            update.and_then(|mut update| update.execute(params![name, facts.id, now, SOON])).doing(doing)?;
        }
    }
    let select = connection.prepare_cached("SELECT digest FROM image WHERE name = ?1");
    let digest = select.and_then(|mut select| select.query_row([name], |row| row.get(0)).optional()).doing(doing)?;
    Ok(digest.flatten())
}

pub(super) fn still_used(connection: &Connection, name: &str, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE image SET last_used = ?2 WHERE name = ?1 AND last_used < ?2 - ?3";
    let update = connection.prepare_cached(sql);
    let updated = update.and_then(|mut update| update.execute(params![name, now.millis(), SOON]));
    updated.map(drop).doing("noting that an image is still used")
}

pub(super) fn pulled(connection: &Connection, name: &str, id: &str) -> Result<(), StoreError> {
    let update = connection.prepare_cached("UPDATE image SET id = ?2 WHERE name = ?1 AND id IS NULL");
    let updated = update.and_then(|mut update| update.execute([name, id]));
    updated.map(drop).doing("noting that an image was pulled")
}

pub(super) fn unused_since(connection: &Connection, before: Timestamp) -> Result<Vec<PulledImage>, StoreError> {
    let doing = "looking for unused images";
    let sql =
        "SELECT name, id, pulled_at, last_used FROM image WHERE last_used <= ?1 OR id IS NULL ORDER BY last_used, name";
    let mut select = connection.prepare_cached(sql).doing(doing)?;
    let rows = select.query_map([before.millis()], |row| {
        Ok(PulledImage {
            name: row.get(0)?,
            id: row.get(1)?,
            pulled_at: Timestamp::from_millis(row.get(2)?),
            last_used: Timestamp::from_millis(row.get(3)?),
        })
    });
    rows.and_then(Iterator::collect).doing(doing)
}

pub(super) fn of_files(connection: &Connection) -> Result<Vec<ImageOfFiles>, StoreError> {
    let doing = "looking for the images of jobs that have files";
    let sql = "SELECT DISTINCT j.service, r.image FROM job j JOIN run r ON r.job = j.seq \
               WHERE j.files_removed = 0 AND r.image IS NOT NULL \
               AND j.phase IN ('COMPLETED', 'ERROR', 'ABORTED', 'ARCHIVED')";
    let mut select = connection.prepare_cached(sql).doing(doing)?;
    let rows = select.query_map([], |row| Ok(ImageOfFiles { service: row.get(0)?, image: row.get(1)? }));
    rows.and_then(Iterator::collect).doing(doing)
}

pub(super) fn forget(connection: &Connection, name: &str) -> Result<(), StoreError> {
    let delete = connection.prepare_cached("DELETE FROM image WHERE name = ?1");
    let deleted = delete.and_then(|mut delete| delete.execute([name]));
    deleted.map(drop).doing("forgetting an image")
}

#[cfg(test)]
mod tests {
    use super::super::open::open_writer;
    use super::*;

    const NAME: &str = "docker.io/library/debian:12";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn facts(id: &str, arrival: Arrival) -> ImageFacts {
        ImageFacts { id: Some(id.into()), digest: Some(format!("of {id}")), source: None, arrival }
    }

    fn used(connection: &Connection, id: &str, arrival: Arrival, seconds: i64) -> Option<String> {
        super::used(connection, NAME, &facts(id, arrival), at(seconds)).expect("noted")
    }

    /// Id, when pulled and when last used of the only image that is known.
    fn known(connection: &Connection) -> Option<(Option<String>, i64, i64)> {
        let mut all = unused_since(connection, at(1_000_000)).expect("read");
        assert!(all.len() <= 1, "{all:?}");
        let only = all.pop()?;
        Some((only.id, only.pulled_at.millis() / 1000, only.last_used.millis() / 1000))
    }

    #[test]
    fn only_what_was_pulled_is_known_and_that_over_a_restart() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("uwsd.db");
        let connection = open_writer(&path).expect("made");
        assert_eq!(used(&connection, "a", Arrival::Found, 1), None);
        assert_eq!(used(&connection, "a", Arrival::Replaced, 2), None);
        assert_eq!(known(&connection), None, "it was there before us");
        assert_eq!(used(&connection, "a", Arrival::Pulled, 3).as_deref(), Some("of a"));
        drop(connection);
        let connection = open_writer(&path).expect("opened");
        assert_eq!(known(&connection), Some((Some("a".into()), 3, 3)));
        // What it was pulled with is known later, too.
        assert_eq!(used(&connection, "a", Arrival::Found, 500).as_deref(), Some("of a"));
        assert_eq!(known(&connection), Some((Some("a".into()), 3, 500)));
    }

    #[test]
    fn a_pull_whose_end_nobody_saw_is_known_and_the_next_job_completes_it() {
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = open_writer(&dir.path().join("uwsd.db")).expect("made");
        pulling(&connection, &[NAME.into()], at(1)).expect("noted");
        pulling(&connection, &[NAME.into()], at(2)).expect("noted");
        assert_eq!(known(&connection), Some((None, 1, 1)));
        assert_eq!(unused_since(&connection, at(0)).expect("read").len(), 1, "whatever its last use");
        used(&connection, "a", Arrival::Found, 3);
        assert_eq!(known(&connection), Some((Some("a".into()), 1, 3)));
        assert_eq!(unused_since(&connection, at(2)).expect("read"), []);
        pulled(&connection, NAME, "b").expect("too late");
        assert_eq!(known(&connection), Some((Some("a".into()), 1, 3)));
    }

    #[test]
    fn what_somebody_else_put_in_its_place_is_not_ours_and_what_we_pulled_again_is() {
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = open_writer(&dir.path().join("uwsd.db")).expect("made");
        used(&connection, "a", Arrival::Pulled, 1);
        used(&connection, "a", Arrival::Replaced, 2);
        assert_eq!(known(&connection), Some((Some("a".into()), 1, 2)));
        used(&connection, "b", Arrival::Replaced, 3);
        forget(&connection, "a").expect("removed");
        assert_eq!(known(&connection), Some((Some("b".into()), 3, 3)));
        used(&connection, "c", Arrival::Found, 4);
        assert_eq!(known(&connection), None);
    }

    #[test]
    fn what_a_newer_image_of_the_same_name_replaced_is_known_by_its_id() {
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = open_writer(&dir.path().join("uwsd.db")).expect("made");
        used(&connection, "a", Arrival::Replaced, 1);
        used(&connection, "b", Arrival::Replaced, 2);
        assert_eq!(unused_since(&connection, at(9)).expect("read"), [], "both were somebody else's");
        for (id, seconds) in [("a", 3), ("b", 4), ("a", 5), ("b", 6)] {
            used(&connection, id, if seconds == 3 { Arrival::Pulled } else { Arrival::Replaced }, seconds);
        }
        let all = unused_since(&connection, at(9)).expect("read");
        let told: Vec<_> = all.iter().map(|image| (image.name.as_str(), image.last_used.millis() / 1000)).collect();
        assert_eq!(told, [("b", 4), ("a", 5), (NAME, 6)]);
    }

    #[test]
    fn of_uses_right_after_each_other_one_is_written() {
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = open_writer(&dir.path().join("uwsd.db")).expect("made");
        used(&connection, "a", Arrival::Pulled, 100);
        used(&connection, "a", Arrival::Found, 159);
        still_used(&connection, NAME, at(160)).expect("noted");
        assert_eq!(known(&connection), Some((Some("a".into()), 100, 100)));
        still_used(&connection, NAME, at(161)).expect("noted");
        assert_eq!(known(&connection), Some((Some("a".into()), 100, 161)));
        // A clock that was set back makes nothing older.
        used(&connection, "a", Arrival::Found, 50);
        assert_eq!(known(&connection), Some((Some("a".into()), 100, 161)));
        forget(&connection, NAME).expect("forgotten");
        assert_eq!(known(&connection), None);
    }
}
