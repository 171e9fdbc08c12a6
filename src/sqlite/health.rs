//! Whether a database is sound, and what is in it.

use std::fmt;
use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::error::CareError;
use super::open::{explain, open_inspector, open_reader};
use super::rows::phase_at;
use super::schema;
use crate::domain::Phase;

/// How many signs of damage are told.
const MOST: u32 = 20;

/// What a look at a database found.
#[derive(Debug)]
pub struct Health {
    /// The version of its schema.
    pub schema: i64,
    /// The version that this program writes.
    pub newest: i64,
    /// Of its file, in bytes.
    pub size: u64,
    /// Of the log beside it, in bytes: what is not yet written back.
    pub log: u64,
    /// The part of the file that deleted rows have left, in bytes.
    pub unused: u64,
    /// The jobs in it.
    pub jobs: JobCounts,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// How many jobs a database has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Of each phase that there are any of, but those that are deleted.
    pub by_phase: Vec<(Phase, u64)>,
    /// Deleted ones whose record is not gone yet.
    pub deleted: u64,
}

impl JobCounts {
    /// How many are in one of these phases.
    #[must_use]
    pub fn of(&self, phases: &[Phase]) -> u64 {
        self.by_phase.iter().filter(|(phase, _)| phases.contains(phase)).map(|(_, count)| count).sum()
    }
}

/// `3 jobs (1 QUEUED, 2 COMPLETED)`
impl fmt::Display for JobCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.of(&Phase::ALL);
        write!(f, "{total} {}", if total == 1 { "job" } else { "jobs" })?;
        let mut parts: Vec<String> = self.by_phase.iter().map(|(phase, count)| format!("{count} {phase}")).collect();
        if self.deleted > 0 {
            parts.push(format!("and {} deleted", self.deleted));
        }
        if parts.is_empty() { Ok(()) } else { write!(f, " ({})", parts.join(", ")) }
    }
}

/// What is wrong with a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is a database, but none that this program made.
    #[error("it is no database of uwsd's")]
    Foreign,
    /// A newer program wrote it.
    #[error("it has schema version {found}, this program knows up to {known}")]
    Newer {
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// It lacks a part of the schema that it says to have.
    #[error("it lacks {0}")]
    Lacks(String),
    /// Pages or rows contradict each other.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Rows belong to rows that are not there.
    #[error("{count} rows of {table} belong to rows of {parent} that are not there")]
    Dangling {
        /// Their table.
        table: String,
        /// The table of the missing ones.
        parent: String,
        /// How many.
        count: u64,
    },
}

impl Problem {
    /// What an operator can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Foreign => "look whether --config or --state-dir names the right place",
            Self::Newer { .. } => "install the newer uwsd, or restore a backup made before the upgrade",
            Self::Lacks(_) | Self::Damaged(_) | Self::Dangling { .. } => {
                "stop the daemon and restore the last good backup (uwsd restore FILE)"
            }
        }
    }
}

/// Looks at the database at `path`, also while a daemon uses it: it only reads.
///
/// # Errors
/// [`CareError`] if it cannot be looked at. What is wrong with it otherwise is told in [`Health::problems`].
pub fn check(path: &Path) -> Result<Health, CareError> {
    drop(open_existing(path)?);
    let connection = open_inspector(path)?;
    let schema = schema::version(&connection).map_err(|source| explain(path, source))?;
    let mut health = Health {
        schema,
        newest: schema::newest(),
        size: length(path),
        log: length(&beside(path, "-wal")),
        unused: 0,
        jobs: JobCounts::default(),
        problems: Vec::new(),
    };
    match look(&connection, &mut health) {
        Err(source) if is_damage(&source) => health.problems.push(Problem::Damaged(source.to_string())),
        looked => looked.map_err(|source| explain(path, source))?,
    }
    Ok(health)
}

fn look(connection: &Connection, health: &mut Health) -> Result<(), rusqlite::Error> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0).map(i64::unsigned_abs));
    health.unused = pragma("freelist_count")? * pragma("page_size")?;
    health.problems.extend(damage(connection)?.into_iter().map(Problem::Damaged));
    health.problems.extend(misfits(connection)?);
    if !health.problems.contains(&Problem::Foreign) {
        health.problems.extend(dangling(connection)?);
        match counts(connection) {
            Ok(jobs) => health.jobs = jobs,
            Err(source) => health.problems.push(Problem::Damaged(source.to_string())),
        }
    }
    Ok(())
}

/// Opens a database that is there, to read it.
pub(super) fn open_existing(path: &Path) -> Result<Connection, CareError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(open_reader(path)?),
        Ok(_) => Err(CareError::NoFile(path.to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(CareError::Missing(path.to_owned())),
        Err(source) => Err(CareError::Io { doing: "looking at", path: path.to_owned(), source }),
    }
}

/// Refuses a database that this program cannot use as it is.
pub(super) fn must_fit(connection: &Connection, path: &Path) -> Result<(), CareError> {
    let problems = misfits(connection).map_err(|source| explain(path, source))?;
    if problems.is_empty() { Ok(()) } else { Err(CareError::Unfit { path: path.to_owned(), problems }) }
}

/// Whether it is one of ours, of a version that is known, and has all that this version has.
fn misfits(connection: &Connection) -> Result<Vec<Problem>, rusqlite::Error> {
    let (version, known) = (schema::version(connection)?, schema::newest());
    let ours = "SELECT count(*) = 3 FROM sqlite_schema WHERE type = 'table' AND name IN ('job', 'work', 'meta')";
    let is_ours: bool = connection.query_row(ours, [], |row| row.get(0))?;
    if version < 1 || !is_ours {
        return Ok(vec![Problem::Foreign]);
    }
    if version > known {
        return Ok(vec![Problem::Newer { found: version, known }]);
    }
    Ok(schema::lacking(connection, version)?.into_iter().map(Problem::Lacks).collect())
}

/// What SQLite finds wrong in pages, indexes and values; it reads the whole database.
pub(super) fn damage(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let read = || {
        let mut check = connection.prepare(&format!("PRAGMA integrity_check({MOST})"))?;
        let lines = check.query_map([], |row| row.get(0))?;
        lines.collect::<Result<Vec<String>, _>>()
    };
    match read() {
        Err(source) if is_damage(&source) => Ok(vec![source.to_string()]),
        lines => Ok(lines?.into_iter().filter(|line| line != "ok").collect()),
    }
}

/// Rows that belong to rows that are not there.
pub(super) fn dangling(connection: &Connection) -> Result<Vec<Problem>, rusqlite::Error> {
    let sql = "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check GROUP BY \"table\", parent";
    let mut select = connection.prepare(sql)?;
    let rows = select.query_map([], |row| {
        Ok(Problem::Dangling { table: row.get(0)?, parent: row.get(1)?, count: row.get::<_, i64>(2)?.unsigned_abs() })
    })?;
    rows.collect()
}

/// The jobs in a database of ours, whatever its version.
pub(super) fn counts(connection: &Connection) -> Result<JobCounts, rusqlite::Error> {
    let sql = "SELECT phase, count(*) FROM job WHERE deleted_at IS NULL GROUP BY phase";
    let mut select = connection.prepare(sql)?;
    let rows = select.query_map([], |row| Ok((phase_at(row, 0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
    let mut by_phase = rows.collect::<Result<Vec<_>, _>>()?;
    by_phase.sort_by_key(|(phase, _)| Phase::ALL.iter().position(|known| known == phase));
    let sql = "SELECT count(*) FROM job WHERE deleted_at IS NOT NULL";
    let deleted = connection.query_row(sql, [], |row| row.get::<_, i64>(0))?.unsigned_abs();
    Ok(JobCounts { by_phase, deleted })
}

/// A file that SQLite keeps beside a database.
pub(super) fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn is_damage(source: &rusqlite::Error) -> bool {
    matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::super::schema::tests::fixture;
    use super::*;

    #[test]
    fn a_look_finds_pages_rows_and_values_that_cannot_be_and_changes_nothing() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("uwsd.db");
        let connection = Connection::open(&path).expect("made");
        connection.execute_batch(&fixture(schema::newest())).expect("filled");
        assert_eq!(check(&path).expect("looked").problems, []);
        let damage = "PRAGMA journal_mode = WAL; PRAGMA ignore_check_constraints = ON; \
                      UPDATE work SET body = 'no JSON' WHERE job = 2; DELETE FROM run WHERE job = 1; \
                      INSERT INTO result VALUES (999, 0, 'a', 1)";
        connection.execute_batch(damage).expect("damaged");
        // As a daemon that was killed leaves it: with a log.
        std::mem::forget(connection);
        let before = std::fs::read(&path).expect("there");
        let found = check(&path).expect("looked").problems;
        let dangling = Problem::Dangling { table: "result".to_owned(), parent: "job".to_owned(), count: 1 };
        assert_eq!(found, [Problem::Damaged("CHECK constraint failed in work".to_owned()), dangling]);
        assert!(std::fs::read(&path).expect("there") == before && beside(&path, "-wal").exists());
    }

    #[test]
    fn jobs_are_counted_by_their_phases() {
        let counts = JobCounts { by_phase: vec![(Phase::Queued, 1), (Phase::Error, 2)], deleted: 1 };
        assert_eq!(counts.to_string(), "3 jobs (1 QUEUED, 2 ERROR, and 1 deleted)");
        assert_eq!(counts.of(&[Phase::Error, Phase::Held]), 2);
        assert_eq!(JobCounts::default().to_string(), "0 jobs");
    }
}
