//! Whether quotas are to be had.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::thread::{CapabilitySet, capabilities};

use super::kernel;

/// Why the file system keeps no limits for jobs; a sentence's fragment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Without {
    /// It has no project quotas, or they are not in force.
    #[error("its file system has no project quotas in force")]
    None,
    /// This kernel cannot be asked.
    #[error("the kernel has no quotas, or is older than 5.14")]
    Old,
    /// Only root, and with `CAP_SYS_ADMIN`, may set them.
    #[error("the daemon may not set project quotas, which takes root (CAP_SYS_ADMIN)")]
    Forbidden,
    /// It could not be found out.
    #[error("project quotas cannot be asked for: {0}")]
    Unknown(String),
}

/// Whether the file system of the directory `path` has project quotas in force. Anybody may ask.
///
/// # Errors
/// [`Without`] if it has none.
pub fn are_in_force(path: &Path) -> Result<(), Without> {
    judge(File::open(path).and_then(|place| kernel::is_in_force(&place)))
}

/// Whether this process may set them.
#[must_use]
pub fn may_be_set() -> bool {
    capabilities(None).is_ok_and(|own| own.effective.contains(CapabilitySet::SYS_ADMIN))
}

fn judge(answer: io::Result<bool>) -> Result<(), Without> {
    match answer {
        Ok(true) => Ok(()),
        Ok(false) => Err(Without::None),
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOSYS) => Err(Without::Old),
        Err(error) => Err(Without::Unknown(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_answers_is_told_apart() {
        let failed = |errno| judge(Err(io::Error::from_raw_os_error(errno)));
        assert_eq!((judge(Ok(true)), judge(Ok(false))), (Ok(()), Err(Without::None)));
        assert_eq!(failed(nix::libc::ENOSYS), Err(Without::Old));
        assert!(matches!(failed(nix::libc::EPERM), Err(Without::Unknown(_))));
    }
}
