//! The file that was opened: whether its name still leads to it.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::ports::StoreError;

/// A database's file. SQLite goes on with it when it is removed or another one has its name, and says nothing.
#[derive(Debug, Clone)]
pub(super) struct OpenedFile {
    path: PathBuf,
    number: (u64, u64),
}

impl OpenedFile {
    /// The one at `path`, which has just been opened.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), number: number(path)? })
    }

    /// Refuses once another one has its name, or none.
    pub(super) fn must_be_there(&self) -> Result<(), StoreError> {
        match number(&self.path) {
            Ok(number) if number == self.number => Ok(()),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let doing = "looking whether it is there";
                Err(StoreError::Unwritable { doing, why: error.to_string() })
            }
            Ok(_) | Err(_) => Err(StoreError::Replaced { path: self.path.clone() }),
        }
    }
}

/// What tells a file from all others of the host.
fn number(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|file| (file.dev(), file.ino()))
}
