//! Directories of the daemon's own: no job gets a repository out of them.

use std::path::{Path, PathBuf};

/// Directories in which there is what others may not read: mirrors that were fetched with a login, and the files of jobs.
#[derive(Debug)]
pub(super) struct Closed(Vec<PathBuf>);

impl Closed {
    pub(super) fn new<'a>(directories: impl IntoIterator<Item = &'a Path>) -> Self {
        Self(directories.into_iter().map(real).collect())
    }

    /// Whether `path` is one of them or leads into one.
    pub(super) fn hold(&self, path: &Path) -> bool {
        let path = real(path);
        self.0.iter().any(|directory| path.starts_with(directory))
    }
}

/// `path` without links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let real = path.ancestors().find_map(|above| {
        let rest = path.strip_prefix(above).ok()?;
        above.canonicalize().ok().map(|real| real.join(rest))
    });
    real.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_leads_into_a_closed_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(path("state/git")).expect("made");
        std::fs::create_dir(path("open")).expect("made");
        std::os::unix::fs::symlink(path("state/git"), path("open/link")).expect("linked");
        std::os::unix::fs::symlink(path("state"), path("also")).expect("linked");
        let closed = Closed::new([path("also").as_path(), path("jobs").as_path()]);
        for inside in ["state", "state/git/x/y", "also/git", "open/link", "open/link/x", "open/../state/git", "jobs/x"]
        {
            assert!(closed.hold(&path(inside)), "{inside}");
        }
        for outside in ["open", "open/x", "state.git", "none/x", "open/../open"] {
            assert!(!closed.hold(&path(outside)), "{outside}");
        }
        assert!(!closed.hold(Path::new("/")));
    }
}
