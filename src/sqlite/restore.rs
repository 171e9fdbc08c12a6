//! A backup put in the place of the database, which is kept.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::copy::{Copy, directory_of};
use super::error::CareError;
use super::health::{JobCounts, counts, dangling, must_fit, open_existing};
use super::open::explain;
use super::swap::{hand_over, is_same_file, replace};
use super::{meta, schema};
use crate::domain::Timestamp;

/// A backup that was restored.
#[derive(Debug)]
pub struct Restored {
    /// Where the database that was replaced is kept; `None` if there was none.
    pub kept: Option<PathBuf>,
    /// The version of the schema that was restored.
    pub schema: i64,
    /// The version that the next start brings it to.
    pub newest: i64,
    /// The jobs in it.
    pub jobs: JobCounts,
}

/// Puts a copy of `file` in the place of `database`, for the same owner. What it replaces is kept beside it. With `drained`
/// the next start begins no job. No daemon may use the database: the caller holds the lock of its state.
///
/// # Errors
/// [`CareError`]; the database is then the one that it was.
pub fn restore(file: &Path, database: &Path, now: Timestamp, drained: bool) -> Result<Restored, CareError> {
    let failed = |source| CareError::Copy { path: file.to_owned(), source };
    let source = open_existing(file)?;
    if is_same_file(file, database) {
        return Err(CareError::Same(file.to_owned()));
    }
    must_fit(&source, file)?;
    let copy = Copy::of(&source, directory_of(database)).map_err(failed)?;
    drop(source);
    let (schema, jobs) = prepare(&copy.open().map_err(failed)?, drained.then_some(now), file)?;
    hand_over(&copy.path(), database)?;
    copy.sync().map_err(failed)?;
    let kept = replace(copy, database, now)?;
    Ok(Restored { kept, schema, newest: schema::newest(), jobs })
}

/// Looks whether the copy is sound, and readies it.
fn prepare(copy: &Connection, drained: Option<Timestamp>, file: &Path) -> Result<(i64, JobCounts), CareError> {
    let unreadable = |source| CareError::Open(explain(file, source));
    let problems = dangling(copy).map_err(unreadable)?;
    if !problems.is_empty() {
        return Err(CareError::Unfit { path: file.to_owned(), problems });
    }
    if drained.is_some() {
        meta::set_drained(copy, drained).map_err(|source| CareError::Drain { source })?;
    }
    Ok((schema::version(copy).map_err(unreadable)?, counts(copy).map_err(unreadable)?))
}
