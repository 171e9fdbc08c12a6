//! One database in the place of another.
//!
//! The name stands for a database at every moment: a start after a crash in between finds the old one or the new one, never
//! none, which it would take for a first start. The old one's log goes out of the way before: SQLite would write what is
//! in it into whatever has the name.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::copy::{Copy, directory_of, sync_directory};
use super::error::CareError;
use super::health::{beside, open_existing};
use super::open::explain;
use super::schema;
use crate::domain::Timestamp;

/// How long another program that has the database open is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// What SQLite keeps beside a database, and what of a database that it cannot read goes with it.
const PARTS: [&str; 2] = ["-wal", "-journal"];

/// Puts `copy` in the place of `database` and keeps that under another name, which is returned.
pub(super) fn replace(copy: Copy, database: &Path, now: Timestamp) -> Result<Option<PathBuf>, CareError> {
    let there = database.exists();
    if there {
        // SQLite may throw away the log of what it cannot read, so it only looks first.
        match look(database).and_then(|()| settle(database)) {
            // A database that cannot be read is a reason to restore another one.
            Err(CareError::Open(error)) if error.is_corrupt() => {}
            settled => settled?,
        }
    }
    let kept = free_name(database, now);
    let mut steps = Aside { moved: Vec::new(), linked: None };
    if there {
        fs::hard_link(database, &kept).map_err(io("keeping", database))?;
        steps.linked = Some(kept.clone());
    }
    for part in PARTS {
        let (from, to) = (beside(database, part), beside(&kept, part));
        match fs::rename(&from, &to) {
            Ok(()) => steps.moved.push((from, to)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(io("keeping", &from)(source)),
        }
    }
    let has_kept = there || !steps.moved.is_empty();
    // An index of the log, made anew whenever it is needed.
    drop(fs::remove_file(beside(database, "-shm")));
    let failed = |source| CareError::Copy { path: database.to_owned(), source };
    copy.put(database).map_err(failed)?;
    steps.done();
    sync_directory(database).map_err(failed)?;
    Ok(has_kept.then_some(kept))
}

/// Puts `copy`, which says the same, in the place of `database`.
pub(super) fn renew(copy: Copy, database: &Path) -> Result<(), CareError> {
    let failed = |source| CareError::Copy { path: database.to_owned(), source };
    copy.put(database).and_then(|()| sync_directory(database)).map_err(failed)
}

/// Looks whether a database can be read at all.
fn look(database: &Path) -> Result<(), CareError> {
    let connection = open_existing(database)?;
    schema::version(&connection).map(drop).map_err(|source| explain(database, source).into())
}

/// Writes the log of a database back and makes it one file; refuses while another program has it open.
pub(super) fn settle(database: &Path) -> Result<(), CareError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let settled = Connection::open_with_flags(database, flags).and_then(|connection| {
        connection.busy_timeout(PATIENCE)?;
        // Only who is alone can have it without a log.
        let mode: String = connection.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0))?;
        connection.close().map_err(|(_, source)| source)?;
        Ok(mode == "delete")
    });
    match settled {
        Ok(true) => Ok(()),
        Ok(false) => Err(CareError::InUse(database.to_owned())),
        Err(source) if is_busy(&source) => Err(CareError::InUse(database.to_owned())),
        Err(source) => Err(explain(database, source).into()),
    }
}

/// Gives a file the owner and mode of the database, or of a new one in its directory.
pub(super) fn hand_over(file: &Path, database: &Path) -> Result<(), CareError> {
    let directory = directory_of(database);
    let (model, mode) = match fs::metadata(database) {
        Ok(there) => (there, None),
        Err(_) => (fs::metadata(directory).map_err(io("looking at", directory))?, Some(0o600)),
    };
    let is = fs::metadata(file).map_err(io("looking at", file))?;
    if (is.uid(), is.gid()) != (model.uid(), model.gid()) {
        chown(file, Some(model.uid()), Some(model.gid())).map_err(io("giving its owner", file))?;
    }
    let mode = mode.unwrap_or(model.mode() & 0o777);
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).map_err(io("setting the mode of", file))
}

/// Whether two names are the same file.
pub(super) fn is_same_file(one: &Path, other: &Path) -> bool {
    let number = |path| fs::metadata(path).map(|it| (it.dev(), it.ino()));
    matches!((number(one), number(other)), (Ok(one), Ok(other)) if one == other)
}

/// Where the database is kept: a name that nothing has.
fn free_name(database: &Path, now: Timestamp) -> PathBuf {
    let name = beside(database, &format!(".replaced-{}", now.to_compact()));
    let mut names = (2..).map(|n| beside(&name, &format!("-{n}")));
    let mut kept = name.clone();
    while kept.exists() || beside(&kept, "-wal").exists() {
        kept = names.next().expect("numbers do not end");
    }
    kept
}

/// What was put aside, and back again unless all went well.
struct Aside {
    moved: Vec<(PathBuf, PathBuf)>,
    linked: Option<PathBuf>,
}

impl Aside {
    fn done(mut self) {
        self.moved.clear();
        self.linked = None;
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        for (from, to) in self.moved.drain(..) {
            drop(fs::rename(to, from));
        }
        if let Some(linked) = self.linked.take() {
            drop(fs::remove_file(linked));
        }
    }
}

fn is_busy(source: &rusqlite::Error) -> bool {
    matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CareError {
    let path = path.to_owned();
    move |source| CareError::Io { doing, path, source }
}
