//! Directories of the daemon's own: no job gets a repository out of them.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// What is said of a source that leads there.
pub(super) const LEADS_INSIDE: &str = "the source URL leads into the daemon's own files; give a repository elsewhere";

/// Holds the roots and open files of every process, in places that its links do not tell.
const PROCESSES: &str = "/proc";
/// As many links as the kernel follows on one way.
const LINKS: usize = 40;

/// Directories in which there is what others may not read: mirrors that were fetched with a login, and the files of jobs.
#[derive(Debug)]
pub(super) struct Closed {
    /// As configured, absolute.
    named: Vec<PathBuf>,
    /// Without links.
    real: Vec<PathBuf>,
}

impl Closed {
    /// Asks the file system.
    pub(super) fn new<'a>(directories: impl IntoIterator<Item = &'a Path>) -> Self {
        let directories = directories.into_iter().chain([Path::new(PROCESSES)]);
        let named: Vec<_> = directories.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.into())).collect();
        let real = named.iter().map(|path| real(path)).collect();
        Self { named, real }
    }

    /// Whether `path` is in one of them already as it is written. The file system is not asked.
    pub(super) fn are_named_by(&self, path: &Path) -> bool {
        self.named.iter().chain(&self.real).any(|directory| path.starts_with(directory))
    }

    /// Whether a walk through `real`, a path without links, is or comes to be in one of them.
    pub(super) fn meet(&self, real: &Path) -> bool {
        self.real.iter().any(|directory| real.starts_with(directory) || directory.starts_with(real))
    }

    /// Where the absolute `path` leads to, without links; what is not there is left as it is.
    ///
    /// # Errors
    /// [`LEADS_INSIDE`], also if only the way there does.
    pub(super) fn follow(&self, path: &Path) -> Result<PathBuf, &'static str> {
        let mut real = PathBuf::from("/");
        let (mut ahead, mut links) = (parts(path), 0);
        while let Some(part) = ahead.pop() {
            if part == ".." {
                real.pop();
                continue;
            }
            real.push(part);
            if self.real.iter().any(|directory| real.starts_with(directory)) {
                return Err(LEADS_INSIDE);
            }
            let Ok(target) = fs::read_link(&real) else { continue };
            links += 1;
            if links > LINKS {
                // It leads nowhere, but what was not followed to its end is not vouched for.
                return Err(LEADS_INSIDE);
            }
            real.pop();
            if target.is_absolute() {
                real = PathBuf::from("/");
            }
            ahead.extend(parts(&target));
        }
        Ok(real)
    }
}

/// The steps of `path`, the first at the end.
fn parts(path: &Path) -> Vec<OsString> {
    let step = |part: Component<'_>| {
        matches!(part, Component::Normal(_) | Component::ParentDir).then(|| part.as_os_str().to_owned())
    };
    path.components().rev().filter_map(step).collect()
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
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_way_leads_into_a_closed_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("state/git")).expect("made");
        fs::create_dir(path("open")).expect("made");
        symlink(path("state/git"), path("open/link")).expect("linked");
        symlink("../also/none", path("open/dangling")).expect("linked");
        symlink("loop", path("open/loop")).expect("linked");
        symlink(path("open"), path("around")).expect("linked");
        symlink(path("state"), path("also")).expect("linked");
        let closed = Closed::new([path("also").as_path(), path("jobs").as_path()]);
        for inside in [
            "state",
            "state/git/x/y",
            "also/git",
            "open/link",
            "open/link/x",
            "open/link/../../open",
            "open/dangling",
            "open/loop",
            "around/../state/git",
            "open/../state/git",
            "jobs/x",
        ] {
            assert_eq!(closed.follow(&path(inside)), Err(LEADS_INSIDE), "{inside}");
        }
        let real = dir.path().canonicalize().expect("there");
        for (outside, place) in [
            ("open", "open"),
            ("around/x", "open/x"),
            ("state.git", "state.git"),
            ("none/x", "none/x"),
            ("open/./../open", "open"),
            ("around/../none", "none"),
        ] {
            assert_eq!(closed.follow(&path(outside)), Ok(real.join(place)), "{outside}");
        }
        assert_eq!(closed.follow(Path::new("/")), Ok("/".into()));
        assert_eq!(closed.follow(Path::new("/dev/fd/1")), Err(LEADS_INSIDE));
        assert!(closed.meet(&real) && closed.meet(&real.join("state/x")) && !closed.meet(&real.join("open")));
    }

    #[test]
    fn what_is_written_out_needs_no_file_system() {
        let closed = Closed::new([Path::new("/none/state")]);
        for (path, is_named) in
            [("/none/state/git/x", true), ("/none/state", true), ("/proc/1/root/x", true), ("/none/states", false)]
        {
            assert_eq!(closed.are_named_by(Path::new(path)), is_named, "{path}");
        }
    }
}
