//! The job's files: whose they are, and their end. Links are never followed.

use std::ffi::{CStr, CString};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat};
use nix::unistd::{Gid, Uid, fchownat};

use crate::ports::{JobDirs, User};

/// Makes all that the run may use of the job's directories belong to `user`; only root may.
pub(super) fn give(dirs: &JobDirs, user: User) -> io::Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)));
    for top in [dirs.input(), dirs.source(), dirs.output(), dirs.home()] {
        walk(&top, &mut |parent, name, _| Ok(fchownat(parent, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)?))?;
    }
    Ok(())
}

/// Makes all that is below `top` readable for its owner.
pub(super) fn open_up(top: &Path) -> io::Result<()> {
    walk(top, &mut |_, _, found| {
        let stat = fstat(found)?;
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        let wanted = match kind {
            SFlag::S_IFDIR => Mode::S_IRWXU,
            SFlag::S_IFREG => Mode::S_IRUSR,
            _ => return Ok(()),
        };
        let mode = Mode::from_bits_truncate(stat.st_mode);
        if mode.contains(wanted) {
            return Ok(());
        }
        // Through the descriptor, so that it is this file and not what has its name by now.
        let path = format!("/proc/self/fd/{}", found.as_raw_fd());
        Ok(fchmodat(AT_FDCWD, path.as_str(), mode | wanted, FchmodatFlags::FollowSymlink)?)
    })
}

/// Removes `top` and all below; there being nothing is success.
pub(super) fn remove(top: &Path) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    };
    match gone(std::fs::remove_dir_all(top)) {
        // Directories that the job closed to their owner.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            open_up(top)?;
            gone(std::fs::remove_dir_all(top))
        }
        result => result,
    }
}

/// What is done with a file: given its directory, its name in it, and the file itself, opened as a place only.
type Visit<'a> = &'a mut dyn FnMut(&OwnedFd, &CStr, &OwnedFd) -> io::Result<()>;

/// Visits `top` and all below, each directory before what is in it. What vanishes meanwhile is left out.
fn walk(top: &Path, visit: Visit<'_>) -> io::Result<()> {
    let (Some(parent), Some(name)) = (top.parent(), top.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let parent = nix::fcntl::open(parent, flags, Mode::empty())?;
    step(&parent, &CString::new(name.as_encoded_bytes())?, visit)
}

fn step(parent: &OwnedFd, name: &CStr, visit: Visit<'_>) -> io::Result<()> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let found = match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(()),
        found => found?,
    };
    visit(parent, name, &found)?;
    let kind = SFlag::from_bits_truncate(fstat(found.as_fd())?.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFDIR {
        for name in names(&found)? {
            step(&found, &name, visit)?;
        }
    }
    Ok(())
}

/// The names in a directory that was opened as a place only.
fn names(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = Dir::openat(dir, c".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_was_closed_is_opened_and_links_are_left_alone() {
        let outside = tempfile::tempdir().expect("a directory");
        let top = tempfile::tempdir().expect("a directory");
        let precious = outside.path().join("precious");
        fs::write(&precious, "x").expect("written");
        fs::set_permissions(&precious, fs::Permissions::from_mode(0o000)).expect("ours");
        let deep = top.path().join("out/a/b");
        fs::create_dir_all(&deep).expect("made");
        fs::write(deep.join("f"), "x").expect("written");
        symlink(&precious, deep.join("link")).expect("made");
        fs::set_permissions(deep.join("f"), fs::Permissions::from_mode(0o000)).expect("ours");
        fs::set_permissions(&deep, fs::Permissions::from_mode(0o000)).expect("ours");

        open_up(&top.path().join("out")).expect("opened");
        assert_eq!(fs::read_to_string(deep.join("f")).expect("readable"), "x");
        assert_eq!(fs::metadata(&precious).expect("there").permissions().mode() & 0o777, 0);

        fs::set_permissions(&deep, fs::Permissions::from_mode(0o000)).expect("ours");
        remove(&top.path().join("out")).expect("removed");
        remove(&top.path().join("out")).expect("nothing there");
        assert!(!top.path().join("out").exists() && precious.exists());
    }
}
