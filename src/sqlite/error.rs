//! What can go wrong with the database.

use std::path::PathBuf;

use rusqlite::ErrorCode;

use super::health::Problem;
use crate::domain::shown_bytes;
use crate::ports::StoreError;

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It lies on a file system where SQLite's locks and write-ahead log cannot be trusted.
    #[error(
        "{} lies on {file_system}, a network file system, where a database can be damaged; \
         move it to a local disk and set store.path (the jobs directory may stay)", path.display()
    )]
    NetworkFileSystem {
        /// The database.
        path: PathBuf,
        /// The file system's type.
        file_system: String,
    },
    /// A newer program wrote it.
    #[error(
        "{} has schema version {found}, this program knows up to {known}; it was left untouched: \
         install the newer uwsd again, or restore a backup made before the upgrade", path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// It is damaged or no database.
    #[error(
        "{} is damaged or is no database ({why}); restore a backup (uwsd restore FILE); to begin anew without one, move it \
         away with its -wal, and remove the containers of its jobs, which no other database knows", path.display()
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// SQLite's words.
        why: String,
    },
    /// It cannot be read, written or made.
    #[error("cannot open the job database {}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// Its directory cannot be used.
    #[error("cannot use {} for the job database", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its schema is older, and the backup that comes before a change of it cannot be made.
    #[error(
        "{} has schema version {found} and was not brought to {known}, since it could not be backed up before; make room \
         beside it, or stop the daemon and its sockets, move it with its -wal to a larger disk and set store.path", path.display()
    )]
    NoBackup {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version that this program wants.
        known: i64,
        /// Why.
        #[source]
        source: Box<CopyError>,
    },
}

impl OpenError {
    /// Whether what is in the file is the reason.
    pub(super) const fn is_corrupt(&self) -> bool {
        match self {
            Self::Corrupt { .. } => true,
            Self::NetworkFileSystem { .. }
            | Self::Newer { .. }
            | Self::Sqlite { .. }
            | Self::Io { .. }
            | Self::NoBackup { .. } => false,
        }
    }
}

/// Why a database could not be copied. Nothing is left of the copy then.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The disk has no room for it.
    #[error(
        "the copy takes {}, and {} has {} free", shown_bytes(*needed), directory.display(), shown_bytes(*free)
    )]
    NoRoom {
        /// Where the copy was to be.
        directory: PathBuf,
        /// How much it takes, in bytes.
        needed: u64,
        /// How much is free, in bytes.
        free: u64,
    },
    /// The database cannot be read.
    #[error("the database cannot be read")]
    Unreadable(#[source] rusqlite::Error),
    /// The copy is damaged, and so is the database.
    #[error("the database is damaged: {}", .0.join("; "))]
    Damaged(Vec<String>),
    /// Somebody held on to it for long.
    #[error("somebody keeps the copy busy")]
    Busy,
    /// SQLite failed while it copied.
    #[error("SQLite failed to make a copy in {}", directory.display())]
    Sqlite {
        /// Where the copy was to be.
        directory: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A file or directory cannot be used.
    #[error("failed at {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Why a database could not be looked after: backed up, restored, made smaller. It is as it was then.
#[derive(Debug, thiserror::Error)]
pub enum CareError {
    /// There is none.
    #[error("there is no database {}", .0.display())]
    Missing(PathBuf),
    /// The copy would replace a file that was not to be replaced.
    #[error("{} exists; give --force to replace it", .0.display())]
    Exists(PathBuf),
    /// A directory was named where a file is needed.
    #[error("{} is no ordinary file", .0.display())]
    NoFile(PathBuf),
    /// The database was named as its own copy.
    #[error("{} is the database in use itself", .0.display())]
    Same(PathBuf),
    /// Another process has it open.
    #[error("another program has {} open; end it and try again", .0.display())]
    InUse(PathBuf),
    /// It is no sound database of ours.
    #[error("{} is not fit to be used: {}", path.display(), listed(problems))]
    Unfit {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        problems: Vec<Problem>,
    },
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be noted that no job is to be started from it.
    #[error("failed to drain what is restored")]
    Drain {
        /// Why.
        #[source]
        source: StoreError,
    },
    /// It cannot be copied.
    #[error("failed to copy {}", path.display())]
    Copy {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: CopyError,
    },
    /// A file or directory cannot be used.
    #[error("failed at {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}

/// The store's error for one of SQLite's.
pub(super) fn failed(doing: &'static str, source: rusqlite::Error) -> StoreError {
    of_code(doing, &source).unwrap_or_else(|| StoreError::Failed { doing, source: Box::new(source) })
}

/// The store's error for one of those that pass by.
pub(super) fn of_code(doing: &'static str, source: &rusqlite::Error) -> Option<StoreError> {
    match source.sqlite_error_code()? {
        ErrorCode::DiskFull => Some(StoreError::Full { doing }),
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::CannotOpen
        | ErrorCode::SystemIoFailure => Some(StoreError::Unwritable { doing, why: source.to_string() }),
        _ => None,
    }
}

/// Puts what was being done to an error of SQLite's.
pub(super) trait While<T> {
    /// The value, or a [`StoreError`] that says what was being done.
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> While<T> for Result<T, rusqlite::Error> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| failed(doing, source))
    }
}
