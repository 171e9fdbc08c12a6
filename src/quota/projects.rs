//! The adapter: a project for each job.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use nix::libc::{O_DIRECTORY, O_NOFOLLOW};
use nix::sys::statfs::{XFS_SUPER_MAGIC, fstatfs};

use super::kernel::Counted;
use super::probe::{Without, are_in_force, may_be_set};
use super::{ids, kernel};
use crate::ports::{JobDirs, QuotaError, Quotas, Room};

/// How many directories a job's project has at its beginning.
const OWN: u64 = 4;

/// How many blocks XFS may want to reserve before it makes or renames a file, most of which it then does not take: 45 for a file in Linux
/// 6.1, and about as many again where it keeps parent pointers. With less it refuses.
const AHEAD: u64 = 128;

/// Project quotas of the file system that jobs' directories lie on.
#[derive(Debug, Clone)]
pub struct ProjectQuotas {
    /// Held while an id is chosen.
    choosing: Arc<Mutex<()>>,
}

impl ProjectQuotas {
    /// Those of the file system of `jobs_dir`. Blocks for a moment.
    ///
    /// # Errors
    /// [`Without`] if there are none, or this process may not set them.
    pub fn of(jobs_dir: &Path) -> Result<Self, Without> {
        // First: where it is forbidden, asking may be, too.
        if !may_be_set() {
            return Err(Without::Forbidden);
        }
        are_in_force(jobs_dir)?;
        Ok(Self { choosing: Arc::default() })
    }
}

#[async_trait]
impl Quotas for ProjectQuotas {
    async fn count(&self, dirs: &JobDirs) -> Result<(), QuotaError> {
        let (choosing, dirs_) = (Arc::clone(&self.choosing), dirs.clone());
        blocking(dirs, "choosing a project id", move || {
            let _choosing = choosing.lock().unwrap_or_else(PoisonError::into_inner);
            count(&dirs_)
        })
        .await
    }

    async fn limit(&self, dirs: &JobDirs, most: u64) -> Result<(), QuotaError> {
        let root = dirs.root.clone();
        blocking(dirs, "setting the limit", move || {
            let root = open(&root)?;
            let id = counted_as(&root)?.ok_or_else(|| io::Error::other("it has no project id"))?;
            kernel::limit(&root, id, Some(most))
        })
        .await
    }

    async fn room(&self, dirs: &JobDirs) -> Result<Option<Room>, QuotaError> {
        let root = dirs.root.clone();
        blocking(dirs, "reading how much is used", move || {
            let root = open(&root)?;
            let Some(id) = counted_as(&root)? else { return Ok(None) };
            let counted = kernel::counted(&root, id)?;
            let file_system = fstatfs(&root)?;
            let is_xfs = file_system.filesystem_type() == XFS_SUPER_MAGIC;
            let block = u64::try_from(file_system.block_size()).unwrap_or_default();
            Ok(room(counted, is_xfs, block))
        })
        .await
    }

    async fn release(&self, dirs: &JobDirs) -> Result<(), QuotaError> {
        let root = dirs.root.clone();
        blocking(dirs, "lifting the limit", move || {
            let root = match open(&root) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                root => root?,
            };
            match counted_as(&root)? {
                Some(id) => kernel::limit(&root, id, None),
                None => Ok(()),
            }
        })
        .await
    }
}

/// Gives the directories a project that nothing else has. The limit comes later, by whoever found to be alone: so two daemons that take
/// the same id at the same moment see each other's directories, and each that does goes on to the next id.
fn count(dirs: &JobDirs) -> io::Result<()> {
    let root = open(&dirs.root)?;
    let inherited = [open(&dirs.source())?, open(&dirs.output())?, open(&dirs.home())?];
    ids::choose(root.metadata()?.ino(), |id| {
        // A limit without a file is what somebody left who removed a job's directory by hand.
        if kernel::counted(&root, id)?.inodes > 0 {
            return Ok(false);
        }
        for directory in &inherited {
            kernel::set_project(directory, id, true)?;
        }
        // Last, and without what is made beside them: it is by this one that the job is known to be counted.
        kernel::set_project(&root, id, false)?;
        if kernel::counted(&root, id)?.inodes != OWN {
            return Ok(false);
        }
        kernel::limit(&root, id, None)?;
        Ok(true)
    })
    .map(drop)
}

/// What is left to a project that has a limit.
fn room(counted: Counted, is_xfs: bool, block: u64) -> Option<Room> {
    let Counted { limit, bytes, .. } = counted;
    let margin = if is_xfs { (block * AHEAD).min(limit / 8).max(block) } else { block };
    (limit > 0).then_some(Room { most: limit, used: bytes, margin })
}

/// The project of a job's directory, if it is one of ours.
fn counted_as(root: &File) -> io::Result<Option<u32>> {
    Ok(Some(kernel::project(root)?).filter(|id| ids::is_ours(*id)))
}

/// Opens a directory that is none of a link.
fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(O_DIRECTORY | O_NOFOLLOW).open(path)
}

async fn blocking<T: Send + 'static>(
    dirs: &JobDirs,
    doing: &'static str,
    deed: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, QuotaError> {
    let done = tokio::task::spawn_blocking(deed).await.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
    done.map_err(|source| QuotaError { path: dirs.root.clone(), doing, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_used_up_when_the_next_write_may_fail() {
        const MIB: u64 = 1 << 20;
        let is_used_up = |is_xfs, limit, bytes| {
            room(Counted { limit, bytes, inodes: 9 }, is_xfs, 4096).expect("limited").is_used_up()
        };
        for (bytes, on_ext4, on_xfs) in [
            (0, false, false),
            (64 * MIB - 128 * 4096, false, false),
            (64 * MIB - 127 * 4096, false, true),
            (64 * MIB - 4096, false, true),
            (64 * MIB - 4095, true, true),
            (64 * MIB, true, true),
            (65 * MIB, true, true),
        ] {
            assert_eq!(is_used_up(false, 64 * MIB, bytes), on_ext4, "{bytes}");
            assert_eq!(is_used_up(true, 64 * MIB, bytes), on_xfs, "{bytes}");
        }
        // However little a job may take, it is not all used up before anything is.
        assert!(!is_used_up(true, 64 * 1024, 0) && is_used_up(true, 64 * 1024, 60 * 1024));
        assert_eq!(room(Counted { limit: 0, bytes: MIB, inodes: 9 }, false, 4096), None);
    }
}
