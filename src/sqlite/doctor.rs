//! A look at the database for `uwsd doctor`, which changes nothing and leaves no file behind.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::error::OpenError;
use super::open::explain;
use super::schema;
use crate::domain::Timestamp;

/// What SQLite reads as it is in the path of a URI.
const IN_URI: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// What is to be seen of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseFacts {
    /// Its schema version; 0: it is new, and nothing is in it.
    pub(crate) version: i64,
    /// The newest that this program knows.
    pub(crate) known: i64,
    /// When its newest job was created.
    pub(crate) newest_job: Option<Timestamp>,
    /// The git repositories of its newest jobs, the newest first; they may have logins in them.
    pub(crate) sources: Vec<String>,
    /// How large its write-ahead log is, in bytes.
    pub(crate) log: u64,
}

/// Looks at the database at `path`, which is there.
///
/// # Errors
/// [`OpenError`], as the daemon would have it at its start.
pub(crate) fn examine(path: &Path) -> Result<DatabaseFacts, OpenError> {
    let [log, index] = ["-wal", "-shm"].map(|end| beside(path, end));
    let log_size = log.metadata().map_or(0, |file| file.len());
    // A connection that reads would make the log and its index where they are not. They are while somebody has the database
    // open; else the file can be read as it is.
    let is_quiet = !log.exists() || !index.exists();
    let connection = open(path, is_quiet)?;
    let explain = |source| explain(path, source);
    let version = schema::version(&connection).map_err(explain)?;
    let known = schema::newest();
    if version > known {
        return Err(OpenError::Newer { path: path.to_owned(), found: version, known });
    }
    let mut facts = DatabaseFacts { version, known, newest_job: None, sources: Vec::new(), log: log_size };
    if version != 0 {
        facts.newest_job = newest_job(&connection).map_err(explain)?;
        facts.sources = sources(&connection).map_err(explain)?;
    }
    Ok(facts)
}

fn open(path: &Path, is_quiet: bool) -> Result<Connection, OpenError> {
    use std::os::unix::ffi::OsStrExt;
    let explain = |source| explain(path, source);
    let encoded = percent_encode(path.as_os_str().as_bytes(), &IN_URI);
    let uri = format!("file:{encoded}?mode=ro{}", if is_quiet { "&immutable=1" } else { "" });
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri, flags).map_err(explain)?;
    connection.busy_timeout(Duration::from_secs(2)).map_err(explain)?;
    Ok(connection)
}

fn newest_job(connection: &Connection) -> Result<Option<Timestamp>, rusqlite::Error> {
    let select = "SELECT created_at FROM job ORDER BY seq DESC LIMIT 1";
    let millis: Option<i64> = connection.query_row(select, [], |row| row.get(0)).optional()?;
    Ok(millis.map(Timestamp::from_millis))
}

fn sources(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let select = "SELECT url FROM (SELECT json_extract(body, '$.source[0]') AS url, job FROM work ORDER BY job DESC LIMIT 200) \
                  WHERE url <> '' GROUP BY url ORDER BY max(job) DESC LIMIT 5";
    connection.prepare(select)?.query_map([], |row| row.get(0))?.collect()
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::jobs::tests::queue;
    use super::super::open::open_writer;
    use super::*;
    use crate::domain::{Source, Work};

    fn files(dir: &Path) -> BTreeSet<(OsString, Vec<u8>)> {
        let entries = std::fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry"));
        entries.map(|entry| (entry.file_name(), std::fs::read(entry.path()).expect("read"))).collect()
    }

    #[test]
    fn a_look_changes_nothing_whether_somebody_writes_or_not() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("uws d?.db");
        let writer = open_writer(&path).expect("made");
        let seen = examine(&path).expect("seen");
        assert_eq!((seen.version, seen.newest_job), (seen.known, None));
        assert!(seen.log > 0, "its log is beside it");
        drop(writer);
        let before = files(dir.path());
        assert_eq!(before.len(), 1, "the last one who closes takes the log away");
        assert_eq!(examine(&path).expect("seen").version, schema::newest());
        assert_eq!(files(dir.path()), before);
    }

    #[test]
    fn the_repositories_of_the_newest_jobs_are_told_once_each() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("uwsd.db");
        let writer = open_writer(&path).expect("made");
        for url in [Some("git://h/a"), Some("git://h/b"), Some(""), None, Some("git://h/a")] {
            let source = url.map(|url| Source { url: url.to_owned(), commit_ref: "main".to_owned() });
            queue(&writer, Work { source, ..Work::of_command("true") });
        }
        assert_eq!(examine(&path).expect("seen").sources, ["git://h/a", "git://h/b"]);
    }

    #[test]
    fn a_log_whose_index_is_gone_gets_none() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("uwsd.db");
        drop(open_writer(&path).expect("made"));
        std::fs::write(dir.path().join("uwsd.db-wal"), [7; 4096]).expect("written");
        let before = files(dir.path());
        assert_eq!(examine(&path).expect("seen").log, 4096);
        assert_eq!(files(dir.path()), before);
    }
}
