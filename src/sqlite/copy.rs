//! A copy of a database, whole or not there at all.
//!
//! It is made in a directory of its own beside its later name, which goes away with all that is in it if anything fails;
//! checked there, written to the disk, and then renamed. What a copy has is one moment of the database: the one in which
//! its making begins. Since the database has a log beside it, neither readers nor the writer are held up meanwhile; the log
//! grows for as long as it takes.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::error::CopyError;
use super::file_system::free;
use super::health::damage;
use super::schema;

/// How many pages are copied between two syncs: the disk is not given all at once at the end, when the daemon's own
/// commits would wait for it.
const STEP: i32 = 2048;
/// How long a step that could not be done is left alone. Nobody else knows the copy, so this is not expected.
const PAUSE: Duration = Duration::from_millis(50);
/// How often it is tried again.
const TRIES: u32 = 200;

/// A copy that is whole and on the disk, and has no name yet.
pub(super) struct Copy {
    /// Goes away when dropped.
    dir: TempDir,
    /// Of the copy, in bytes.
    pub(super) size: u64,
}

impl Copy {
    /// Copies what `source` reads now, page by page, for a name in `directory`.
    pub(super) fn of(source: &Connection, directory: &Path) -> Result<Self, CopyError> {
        Self::make(source, directory, |source, file| {
            // The moment that is copied: what is written meanwhile neither is in it nor has it begin again.
            let source = source.unchecked_transaction().map_err(CopyError::Unreadable)?;
            schema::version(&source).map_err(CopyError::Unreadable)?;
            let mut copy = open_copy(file)?;
            let (mut left, synced) = (TRIES, File::open(file).map_err(io("opening", file))?);
            let backup = Backup::new(&source, &mut copy).map_err(copying(file))?;
            loop {
                match backup.step(STEP).map_err(copying(file))? {
                    StepResult::Done => return Ok(()),
                    StepResult::More => synced.sync_data().map_err(io("writing", file))?,
                    _ if left == 0 => return Err(CopyError::Busy),
                    _ => {
                        left -= 1;
                        std::thread::sleep(PAUSE);
                    }
                }
            }
        })
    }

    /// Writes what `source` reads now anew, without the room that deleted rows left.
    pub(super) fn vacuumed(source: &Connection, directory: &Path) -> Result<Self, CopyError> {
        Self::make(source, directory, |source, file| {
            source.execute("VACUUM INTO ?1", [file.to_string_lossy()]).map(drop).map_err(copying(file))
        })
    }

    fn make(
        source: &Connection,
        directory: &Path,
        write: impl FnOnce(&Connection, &Path) -> Result<(), CopyError>,
    ) -> Result<Self, CopyError> {
        let needed = size(source).map_err(CopyError::Unreadable)?;
        let free = free(directory).map_err(io("looking at", directory))?;
        if needed > free {
            return Err(CopyError::NoRoom { directory: directory.to_owned(), needed, free });
        }
        let dir =
            tempfile::Builder::new().prefix(".uwsd-").tempdir_in(directory).map_err(io("writing to", directory))?;
        let file = dir.path().join("copy");
        // SQLite fills an empty file as it is, and this one is nobody else's to read.
        File::options().write(true).create_new(true).mode(0o600).open(&file).map_err(io("making", &file))?;
        write(source, &file)?;
        settle(&file)?;
        let size = fs::metadata(&file).map_err(io("looking at", &file))?.len();
        let copy = Self { dir, size };
        copy.sync()?;
        Ok(copy)
    }

    /// Has the disk know what is in it.
    pub(super) fn sync(&self) -> Result<(), CopyError> {
        let file = self.path();
        File::open(&file).and_then(|copy| copy.sync_all()).map_err(io("writing", &file))
    }

    /// Where it is until it has its name.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("copy")
    }

    /// Reads it.
    pub(super) fn open(&self) -> Result<Connection, CopyError> {
        open_copy(&self.path())
    }

    /// Gives it its name, in the directory that it was made for; what has that name is replaced. The disk is to be told.
    pub(super) fn put(self, target: &Path) -> Result<(), CopyError> {
        fs::rename(self.path(), target).map_err(io("naming", target))
    }
}

/// Has the disk know the names in the directory of `path`.
pub(super) fn sync_directory(path: &Path) -> Result<(), CopyError> {
    let directory = directory_of(path);
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        // Some file systems over a network have no such thing.
        Err(error) if error.kind() != std::io::ErrorKind::InvalidInput => Err(io("writing", directory)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The directory of a file.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What a database takes, in bytes, its log included once that is written back.
fn size(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok(pragma("page_count")?.unsigned_abs() * pragma("page_size")?.unsigned_abs())
}

/// Makes a copy one file that needs no other beside it, and looks whether it is sound.
fn settle(file: &Path) -> Result<(), CopyError> {
    let copy = open_copy(file)?;
    // It was copied with the mode of its source, which is a log beside the file.
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(copying(file))?;
    let damage = damage(&copy).map_err(copying(file))?;
    if !damage.is_empty() {
        return Err(CopyError::Damaged(damage));
    }
    copy.close().map_err(|(_, source)| copying(file)(source))
}

/// Opens a copy that nobody else knows: without locks and memory that is shared, which file systems over a network lack.
fn open_copy(file: &Path) -> Result<Connection, CopyError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = Connection::open_with_flags_and_vfs(file, flags, c"unix-none").map_err(copying(file))?;
    copy.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(copying(file))?;
    // It is synced once, when it is whole.
    copy.pragma_update(None, "synchronous", "OFF").map_err(copying(file))?;
    Ok(copy)
}

fn copying(file: &Path) -> impl FnOnce(rusqlite::Error) -> CopyError {
    let directory = file.parent().and_then(Path::parent).unwrap_or(file).to_owned();
    move |source| CopyError::Sqlite { directory, source }
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> CopyError {
    let path = path.to_owned();
    move |source| CopyError::Io { doing, path, source }
}
