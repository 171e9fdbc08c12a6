//! What of the host's configuration a job may read.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The host's configuration.
pub(super) const ETC: &str = "/etc";
/// Our own, hidden in any case.
const OURS: &str = "uwsd";

/// What is hidden below a directory: everything that not every user of the host may read.
///
/// That covers password hashes, host keys, private keys and keytabs wherever they lie, also from a job of root.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hidden {
    /// Directories, with all that is in them.
    pub dirs: Vec<PathBuf>,
    /// Files, sockets and the like.
    pub files: Vec<PathBuf>,
}

impl Hidden {
    /// Looks through `etc`. What vanishes meanwhile is left out.
    pub(super) fn below(etc: &Path) -> Self {
        let mut hidden = Self::default();
        hidden.look(etc, true);
        hidden
    }

    /// Hides one file more, if it is below `etc` and not hidden yet.
    pub(super) fn add(&mut self, etc: &Path, file: &Path) {
        let Ok(file) = file.canonicalize() else { return };
        let is_hidden = self.contains(&file) || self.dirs.iter().any(|dir| file.starts_with(dir));
        if file.starts_with(etc) && file.is_file() && !is_hidden {
            self.files.push(file);
        }
    }

    /// Whether something below this path is hidden.
    pub(super) fn is_something_in(&self, dir: &Path) -> bool {
        self.dirs.iter().chain(&self.files).any(|hidden| hidden != dir && hidden.starts_with(dir))
    }

    /// Whether exactly this path is hidden.
    pub(super) fn contains(&self, path: &Path) -> bool {
        self.dirs.iter().chain(&self.files).any(|hidden| hidden == path)
    }

    fn look(&mut self, dir: &Path, is_top: bool) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            let path = entry.path();
            if meta.is_dir() {
                if !is_open_dir(&meta) || (is_top && is_ours(&entry.file_name())) {
                    self.dirs.push(path);
                } else {
                    self.look(&path, false);
                }
            } else if !meta.is_symlink() && !is_open_file(&meta) {
                self.files.push(path);
            }
        }
    }
}

fn is_ours(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name == OURS || name.starts_with("uwsd-"))
}

fn is_open_dir(meta: &Metadata) -> bool {
    meta.mode() & 0o005 == 0o005
}

fn is_open_file(meta: &Metadata) -> bool {
    let kind = meta.file_type();
    meta.mode() & 0o004 != 0
        && !kind.is_socket()
        && !kind.is_fifo()
        && !kind.is_block_device()
        && !kind.is_char_device()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_not_everybody_may_read_is_hidden_and_so_is_our_own() {
        let etc = tempfile::tempdir().expect("a directory");
        let path = |name: &str| etc.path().join(name);
        for (dir, mode) in [("ssl", 0o755), ("ssl/private", 0o710), ("uwsd", 0o755), ("polkit", 0o700)] {
            fs::create_dir(path(dir)).expect("made");
            fs::set_permissions(path(dir), fs::Permissions::from_mode(mode)).expect("ours");
        }
        for (file, mode) in [("passwd", 0o644), ("shadow", 0o640), ("ssl/key", 0o600), ("uwsd/uwsd.toml", 0o644)] {
            fs::write(path(file), "x").expect("made");
            fs::set_permissions(path(file), fs::Permissions::from_mode(mode)).expect("ours");
        }
        std::os::unix::fs::symlink("shadow", path("link")).expect("made");
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("bound");
        fs::set_permissions(path("socket"), fs::Permissions::from_mode(0o777)).expect("ours");

        let mut hidden = Hidden::below(etc.path());
        hidden.dirs.sort();
        hidden.files.sort();
        assert_eq!(hidden.dirs, [path("polkit"), path("ssl/private"), path("uwsd")]);
        assert_eq!(hidden.files, [path("shadow"), path("socket"), path("ssl/key")]);
        assert!(hidden.contains(&path("uwsd")) && !hidden.contains(&path("passwd")));

        hidden.add(etc.path(), &path("uwsd/uwsd.toml"));
        assert_eq!(hidden.files.len(), 3, "it is hidden with its directory");
        assert!(hidden.is_something_in(&path("ssl")) && !hidden.is_something_in(&path("uwsd")));
        std::os::unix::fs::symlink("passwd", path("secret")).expect("made");
        hidden.add(etc.path(), &path("secret"));
        assert!(hidden.contains(&path("passwd")));
    }
}
