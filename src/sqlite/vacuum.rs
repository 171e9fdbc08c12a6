//! The database written anew, without the room that deleted jobs left.
//!
//! SQLite's own VACUUM in place would hold the writer up for as long as it takes, and needs room for a second copy in a
//! directory for temporary files and for a third in the log. Written to a file of its own beside the database it takes
//! one, is checked, and takes the place of the old one in one step.

use std::path::Path;

use super::copy::{Copy, directory_of};
use super::error::CareError;
use super::health::{must_fit, open_existing};
use super::swap::{hand_over, renew, settle};

/// What it came to.
#[derive(Debug)]
pub struct Vacuumed {
    /// The size before, in bytes.
    pub before: u64,
    /// The size after, in bytes.
    pub after: u64,
}

/// Writes `database` anew. No daemon may use it: the caller holds the lock of its state.
///
/// # Errors
/// [`CareError`]; the database is then what it was.
pub fn vacuum(database: &Path) -> Result<Vacuumed, CareError> {
    must_fit(&open_existing(database)?, database)?;
    settle(database)?;
    let failed = |source| CareError::Copy { path: database.to_owned(), source };
    let source = open_existing(database)?;
    let copy = Copy::vacuumed(&source, directory_of(database)).map_err(failed)?;
    drop(source);
    let length = std::fs::metadata(database).map(|it| it.len());
    let before = length.map_err(|source| CareError::Io { doing: "looking at", path: database.to_owned(), source })?;
    let after = copy.size;
    hand_over(&copy.path(), database)?;
    copy.sync().map_err(failed)?;
    renew(copy, database)?;
    Ok(Vacuumed { before, after })
}
