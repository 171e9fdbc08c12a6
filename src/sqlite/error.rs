//! What can go wrong with the database.

use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::ports::StoreError;

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It lies on a file system where SQLite's locks and write-ahead log cannot be trusted.
    #[error(
        "{} lies on {file_system}, a network file system, where a database can be damaged; \
         set store.path to a local disk (the jobs directory may stay)", path.display()
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
    #[error("{} is damaged or is no database ({why}); restore a backup, or move the file away to begin anew", path.display())]
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
