//! A backup of the database into a file, also while the daemon runs.

use std::fs;
use std::path::Path;

use super::copy::{Copy, directory_of, sync_directory};
use super::error::CareError;
use super::health::{JobCounts, beside, counts, must_fit, open_existing};
use super::open::explain;
use super::schema;
use super::swap::is_same_file;

/// A backup that was made.
#[derive(Debug)]
pub struct BackedUp {
    /// Its size, in bytes.
    pub size: u64,
    /// The version of its schema.
    pub schema: i64,
    /// The jobs in it.
    pub jobs: JobCounts,
}

/// Copies the database to `target`, a plain SQLite file for its owner alone. What was committed before this begins is in
/// it. It is checked before it has its name; a file of that name is replaced only if `replaces` says so.
///
/// # Errors
/// [`CareError`]; what had the name then still has it.
pub fn backup(database: &Path, target: &Path, replaces: bool) -> Result<BackedUp, CareError> {
    let source = open_existing(database)?;
    must_be_free(database, target, replaces)?;
    must_fit(&source, database)?;
    let failed = |source| CareError::Copy { path: database.to_owned(), source };
    let copy = Copy::of(&source, directory_of(target)).map_err(failed)?;
    let read = copy.open().map_err(failed)?;
    let unreadable = |source| CareError::Open(explain(database, source));
    let (schema, jobs) = (schema::version(&read).map_err(unreadable)?, counts(&read).map_err(unreadable)?);
    drop(read);
    let size = copy.size;
    // Somebody may have made it meanwhile.
    must_be_free(database, target, replaces)?;
    copy.put(target).and_then(|()| sync_directory(target)).map_err(failed)?;
    Ok(BackedUp { size, schema, jobs })
}

/// Refuses to replace what must not be.
fn must_be_free(database: &Path, target: &Path, replaces: bool) -> Result<(), CareError> {
    let Ok(there) = fs::metadata(target) else {
        // A link to nowhere is something, too.
        let is_there = fs::symlink_metadata(target).is_ok() && !replaces;
        return if is_there { Err(CareError::Exists(target.to_owned())) } else { Ok(()) };
    };
    let is_part = |suffix: &&str| is_same_file(target, &beside(database, suffix));
    if ["", "-wal", "-shm"].iter().any(is_part) {
        return Err(CareError::Same(target.to_owned()));
    }
    if !there.is_file() {
        return Err(CareError::NoFile(target.to_owned()));
    }
    if replaces { Ok(()) } else { Err(CareError::Exists(target.to_owned())) }
}
