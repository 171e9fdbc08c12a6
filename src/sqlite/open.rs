//! Opening: pragmas, and the schema brought up to date.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::{OpenError, While};
use super::upgrade::upgrade;
use super::{file_system, schema};
use crate::ports::StoreError;

/// Opens the database for writing, makes it if there is none and brings it up to the newest schema.
pub(super) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(|source| OpenError::Io { path: directory.to_owned(), source })?;
    if let Some(file_system) = file_system::network_type(directory) {
        return Err(OpenError::NetworkFileSystem { path: path.to_owned(), file_system });
    }
    let explain = |source: rusqlite::Error| explain(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(explain)?;
    // Nothing is written before the version is known: a newer database is left as it is.
    let version = schema::version(&connection).map_err(explain)?;
    let known = schema::newest();
    if version > known {
        return Err(OpenError::Newer { path: path.to_owned(), found: version, known });
    }
    pragmas(&connection).map_err(explain)?;
    if version == 0 {
        schema::migrate(&mut connection).map_err(explain)?;
    } else if version < known {
        upgrade(&mut connection, path, version)?;
    }
    Ok(connection)
}

/// Opens one more connection that can only read.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let explain = |source| explain(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(explain)?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(explain)?;
    // Half a MiB of cache is enough for lookups by key, and there are several such connections.
    connection.pragma_update(None, "cache_size", -512).map_err(explain)?;
    Ok(connection)
}

/// Opens a connection that changes nothing and yet could: of one that can only read SQLite leaves out the CHECKs, and
/// rows that violate them are not found.
pub(super) fn open_inspector(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "query_only", true)?;
        // Else the last one to close a database writes its log back.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Ok(connection)
    });
    opened.map_err(|source| explain(path, source))
}

/// Writes the schema's version as it is.
pub(super) fn rewrite_version(connection: &Connection) -> Result<(), StoreError> {
    let rewritten =
        schema::version(connection).and_then(|version| connection.pragma_update(None, "user_version", version));
    rewritten.doing("looking whether it can be written")
}

/// What SQLite says, as an error that tells what to do.
pub(super) fn explain(path: &Path, source: rusqlite::Error) -> OpenError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenError::Corrupt { path: path.to_owned(), why: source.to_string() }
        }
        _ => OpenError::Sqlite { path: path.to_owned(), source },
    }
}

fn pragmas(connection: &Connection) -> Result<(), rusqlite::Error> {
    // Backups and `sqlite3` on the command line may hold the lock for a moment.
    connection.busy_timeout(Duration::from_secs(10))?;
    // Readers see a snapshot and never wait for the writer.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // What was answered must survive a power cut: sync the log at every commit.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A checkpoint writes the changed pages a second time: in a burst not after every hundred commits.
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    // After a burst the log is cut back to this many bytes.
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    connection.pragma_update(None, "cache_size", -2048)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_is_refused_and_left_untouched() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("uwsd.db");
        let connection = Connection::open(&path).expect("made");
        connection.pragma_update(None, "user_version", 99).expect("set");
        drop(connection);
        let before = std::fs::read(&path).expect("read");
        let refused = open_writer(&path).expect_err("newer");
        assert!(refused.to_string().contains("schema version 99, this program knows up to 7"), "{refused}");
        assert_eq!(std::fs::read(&path).expect("read"), before);
    }

    #[test]
    fn a_damaged_database_is_told_as_such() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("uwsd.db");
        std::fs::write(
            &path,
            "this is no database, whatever its name says, and it is long enough to show it".repeat(99),
        )
        .expect("written");
        let refused = open_writer(&path).expect_err("damaged").to_string();
        assert!(refused.contains("is damaged or is no database"), "{refused}");
    }

    #[test]
    fn commits_are_synced_and_readers_do_not_wait() {
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = open_writer(&dir.path().join("uwsd.db")).expect("made");
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("pragma");
        let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).expect("pragma");
        assert_eq!((mode.as_str(), synchronous), ("wal", 2));
    }
}
