//! An older schema brought up to date, with a backup of the database before.
//!
//! The backup is `{database}.schema-{version}-{time}`, a plain SQLite file. The last three are kept: an older program is
//! gone back to with `uwsd restore` of one.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tracing::{info, warn};

use super::copy::{Copy, directory_of, sync_directory};
use super::error::{CopyError, OpenError};
use super::health::beside;
use super::open::explain;
use super::schema;
use crate::domain::Timestamp;
use crate::ports::{Clock, SystemClock};

/// How many of these backups are kept.
const KEPT: usize = 3;

/// Backs the database up and migrates it.
pub(super) fn upgrade(connection: &mut Connection, path: &Path, version: i64) -> Result<(), OpenError> {
    let known = schema::newest();
    let kept = keep(connection, path, version, SystemClock.now());
    let kept = kept.map_err(|source| OpenError::NoBackup {
        path: path.to_owned(),
        found: version,
        known,
        source: Box::new(source),
    })?;
    info!("backed up the job database to {} before its schema goes from {version} to {known}", kept.display());
    if let Err(source) = schema::migrate(connection) {
        // The database is as it was: a start that is tried over and over must not fill the disk with copies of it.
        drop(fs::remove_file(&kept));
        return Err(explain(path, source));
    }
    info!("the job database {} has schema {known} now", path.display());
    drop_old(path, &kept);
    Ok(())
}

fn keep(connection: &Connection, path: &Path, version: i64, now: Timestamp) -> Result<PathBuf, CopyError> {
    let kept = beside(path, &format!("{MARK}{version}-{}", now.to_compact()));
    Copy::of(connection, directory_of(path))?.put(&kept)?;
    sync_directory(&kept)?;
    Ok(kept)
}

/// What comes between the database's name and the version.
const MARK: &str = ".schema-";

/// Removes all but the last of these backups, of which `kept` is one whatever the clock said.
fn drop_old(path: &Path, kept: &Path) {
    let Ok(listing) = fs::read_dir(directory_of(path)) else { return };
    let mut all: Vec<(String, PathBuf)> = listing
        .flatten()
        .filter_map(|entry| Some((made_at(path.file_name()?, &entry.file_name())?, entry.path())))
        .filter(|(_, old)| old != kept)
        .collect();
    all.sort();
    let surplus = all.len().saturating_sub(KEPT - 1);
    for (_, old) in all.into_iter().take(surplus) {
        match fs::remove_file(&old) {
            Ok(()) => info!("removed {}, of an earlier upgrade", old.display()),
            Err(error) => warn!("{} cannot be removed: {error}", old.display()),
        }
    }
}

/// When a file was made, if it is such a backup.
fn made_at(database: &OsStr, file: &OsStr) -> Option<String> {
    let (version, time) = file.to_str()?.strip_prefix(database.to_str()?)?.strip_prefix(MARK)?.split_once('-')?;
    let is_time = time.len() == "20310304T081500Z".len() && time.ends_with('Z');
    (version.parse::<u32>().is_ok() && is_time).then(|| time.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::open::open_writer;
    use super::super::schema::tests::fixture;
    use super::*;

    fn files(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains(".schema-"))
            .collect();
        names.sort();
        names
    }

    fn old(dir: &Path, version: i64) -> PathBuf {
        let path = dir.join("uwsd.db");
        Connection::open(&path).expect("made").execute_batch(&fixture(version)).expect("filled");
        path
    }

    fn jobs(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM job", [], |row| row.get(0)).expect("counted")
    }

    #[test]
    fn every_older_schema_is_backed_up_before_it_is_brought_up_to_date() {
        for version in 1..schema::newest() {
            let dir = tempfile::tempdir().expect("temp dir");
            let path = old(dir.path(), version);
            let upgraded = open_writer(&path).expect("migrated");
            assert_eq!(schema::version(&upgraded).expect("read"), schema::newest());
            let kept = files(dir.path());
            let [name] = &kept[..] else { panic!("one backup: {kept:?}") };
            assert!(name.starts_with(&format!("uwsd.db.schema-{version}-20")), "{name}");
            let backup = Connection::open(dir.path().join(name)).expect("opened");
            assert_eq!(schema::version(&backup).expect("read"), version);
            assert_eq!(schema::lacking(&backup, version).expect("looked"), [""; 0]);
            assert!(jobs(&backup) > 5 && jobs(&backup) == jobs(&upgraded));
            let mode: String = backup.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("read");
            assert_eq!(mode, "delete", "it needs no other file");
            drop(open_writer(&path).expect("opened"));
            assert_eq!(files(dir.path()), kept, "and not again");
        }
    }

    #[test]
    fn a_new_database_needs_no_backup() {
        let dir = tempfile::tempdir().expect("temp dir");
        drop(open_writer(&dir.path().join("uwsd.db")).expect("made"));
        assert_eq!(files(dir.path()), [""; 0]);
    }

    #[test]
    fn the_last_three_backups_are_kept_and_nothing_else_goes() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = old(dir.path(), 1);
        let others =
            ["uwsd.db.schema-1-mine", "other.db.schema-1-20200101T000000Z", "uwsd.db.replaced-20200101T000000Z"];
        for name in others {
            fs::write(dir.path().join(name), "").expect("written");
        }
        // By time, whatever the version.
        for name in ["9-20210101T000000Z", "1-20220101T000000Z", "2-20230101T000000Z"] {
            fs::write(dir.path().join(format!("uwsd.db.schema-{name}")), "").expect("written");
        }
        drop(open_writer(&path).expect("migrated"));
        let left = files(dir.path());
        assert!(!left.iter().any(|name| name.contains("2021")), "{left:?}");
        for name in ["1-20220101T000000Z", "2-20230101T000000Z"] {
            assert!(left.contains(&format!("uwsd.db.schema-{name}")), "{left:?}");
        }
        assert_eq!(left.iter().filter(|name| name.starts_with("uwsd.db.schema-") && name.ends_with('Z')).count(), 3);
        assert!(others.iter().all(|name| dir.path().join(name).exists()));
    }

    #[test]
    fn the_backup_of_the_upgrade_stays_whatever_the_clock_says() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = old(dir.path(), 1);
        for year in ["2091", "2092", "2093"] {
            fs::write(dir.path().join(format!("uwsd.db.schema-1-{year}0101T000000Z")), "").expect("written");
        }
        drop(open_writer(&path).expect("migrated"));
        let left = files(dir.path());
        assert!(
            left.len() == 3
                && left.iter().any(|name| name.starts_with("uwsd.db.schema-1-20") && !name.contains("-209")),
            "{left:?}"
        );
    }

    #[test]
    fn a_migration_that_fails_leaves_the_database_and_no_backup() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = old(dir.path(), 3);
        let database = Connection::open(&path).expect("opened");
        database.execute_batch("CREATE TABLE image (in_the_way)").expect("made");
        drop(database);
        let refused = open_writer(&path).expect_err("the table exists");
        assert!(matches!(refused, OpenError::Sqlite { .. }), "{refused}");
        assert_eq!(files(dir.path()), [""; 0]);
        let database = Connection::open(&path).expect("opened");
        assert_eq!(schema::version(&database).expect("read"), 3);
    }

    #[test]
    fn a_damaged_database_is_not_migrated() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = old(dir.path(), 2);
        let database = Connection::open(&path).expect("opened");
        database
            .execute_batch(
                "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 2 WHERE name = 'event_by_job'",
            )
            .expect("damaged");
        drop(database);
        let refused = open_writer(&path).expect_err("damaged");
        let OpenError::NoBackup { source, .. } = refused else { panic!("{refused:?}") };
        assert!(matches!(*source, CopyError::Damaged(_)), "{source:?}");
        assert_eq!(files(dir.path()), [""; 0]);
    }
}
