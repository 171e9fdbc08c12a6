//! Room that is kept beside the database for when its disk is full: to give up files, which makes room, or to note how a job
//! ended, something has to be written first.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::file_system::free;

/// How much it is, in bytes: enough for the ends of some hundred jobs.
const SIZE: u32 = 4 << 20;
/// How much has to be free, in such sizes, for it to be kept.
const PLENTY: u64 = 16;
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(60);

/// The room, as a file of that size.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    is_kept: bool,
    looked: Option<Instant>,
}

impl Reserve {
    /// The one of a database: `{database}.reserve`.
    pub(super) fn of(database: &Path) -> Self {
        let mut name = database.file_name().map(OsString::from).unwrap_or_default();
        name.push(".reserve");
        Self { path: database.with_file_name(name), is_kept: false, looked: None }
    }

    /// Keeps the room, if it is not kept and there is plenty.
    pub(super) fn keep(&mut self) {
        if self.is_kept || self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        match self.make() {
            Ok(is_kept) => self.is_kept = is_kept,
            Err(error) => warn!("no room is kept for when the disk is full ({}): {error}", self.path.display()),
        }
    }

    /// Whether there is one now.
    fn make(&self) -> io::Result<bool> {
        if fs::metadata(&self.path).is_ok_and(|facts| facts.len() == u64::from(SIZE)) {
            return Ok(true);
        }
        if free(self.path.parent().unwrap_or(Path::new(".")))? < PLENTY * u64::from(SIZE) {
            return Ok(false);
        }
        let file = File::options().create(true).truncate(true).write(true).open(&self.path)?;
        nix::fcntl::posix_fallocate(&file, 0, SIZE.into())?;
        Ok(true)
    }

    /// Gives the room away: the disk is full.
    pub(super) fn give(&mut self) {
        match fs::remove_file(&self.path) {
            Ok(()) => info!("the disk is full: the room that was kept for that ({}) is free now", self.path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!("{} cannot be removed: {error}", self.path.display()),
        }
        (self.is_kept, self.looked) = (false, Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn room_is_kept_until_it_is_needed_and_not_at_once_again() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut reserve = Reserve::of(&dir.path().join("uwsd.db"));
        reserve.keep();
        let path = dir.path().join("uwsd.db.reserve");
        assert!(fs::metadata(&path).expect("kept").blocks() * 512 >= u64::from(SIZE));
        reserve.give();
        assert!(!path.exists());
        reserve.keep();
        assert!(!path.exists(), "the disk is still full");
        // Of an earlier daemon.
        Reserve::of(&dir.path().join("uwsd.db")).keep();
        let mut found = Reserve::of(&dir.path().join("uwsd.db"));
        found.keep();
        assert!(found.is_kept && path.exists());
    }
}
