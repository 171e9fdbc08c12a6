//! What is done with all files of a directory.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};

use super::walk::{Visit, walk};
use crate::ports::{JobDirs, User};

/// Makes all that the run may use of the job's directories belong to `user`; only root may.
pub(in crate::backend) fn give(dirs: &JobDirs, user: User) -> io::Result<()> {
    let own = [dirs.input(), dirs.source(), dirs.output(), dirs.home()];
    let names = own.iter().filter_map(|dir| dir.file_name()).map(|name| CString::new(name.as_encoded_bytes()));
    let mut giving = Give { uid: Uid::from_raw(user.uid), gid: Gid::from_raw(user.gid) };
    walk(open_dir(&dirs.root)?, names.collect::<Result<_, _>>()?, &mut giving)
}

/// Makes all that is in and below `top` readable for its owner; what belongs to somebody else is left as it is.
pub(in crate::backend) fn open_up(top: &Path) -> io::Result<()> {
    walk_from(top, &mut OpenUp)
}

/// Removes `top` with all that is in it; there being nothing is success.
///
/// What failed once can be asked again, and goes on with the rest.
pub(in crate::backend) fn remove(top: &Path) -> io::Result<()> {
    match walk_from(top, &mut Remove) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn walk_from(top: &Path, visit: &mut impl Visit) -> io::Result<()> {
    let (Some(parent), Some(name)) = (top.parent(), top.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    walk(open_dir(parent)?, vec![CString::new(name.as_encoded_bytes())?], visit)
}

/// Opens a directory of the daemon's own, which may be a link if its operator wants.
fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

struct Give {
    uid: Uid,
    gid: Gid,
}

impl Visit for Give {
    fn meet(&mut self, dir: &OwnedFd, name: &CStr) -> io::Result<bool> {
        match fchownat(dir, name, Some(self.uid), Some(self.gid), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

struct OpenUp;

impl Visit for OpenUp {
    fn meet(&mut self, dir: &OwnedFd, name: &CStr) -> io::Result<bool> {
        add_modes(dir, name, Mode::S_IRUSR, Mode::S_IRUSR | Mode::S_IXUSR)
    }
}

struct Remove;

impl Visit for Remove {
    fn meet(&mut self, dir: &OwnedFd, name: &CStr) -> io::Result<bool> {
        match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(false),
            // A directory, which the job may have closed to its owner.
            Err(Errno::EISDIR) => add_modes(dir, name, Mode::empty(), Mode::S_IRWXU),
            Err(errno) => Err(errno.into()),
        }
    }

    fn leave(&mut self, dir: &OwnedFd, name: &CStr) -> io::Result<()> {
        match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Adds what a file or directory lacks of these modes; whether it is a directory.
fn add_modes(dir: &OwnedFd, name: &CStr, file: Mode, directory: Mode) -> io::Result<bool> {
    // Opened as a place only: that needs no permission for it, and has no effect on pipes and devices.
    let found = match openat(dir, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(false),
        found => found?,
    };
    let stat = fstat(&found)?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    let wanted = match kind {
        SFlag::S_IFDIR => directory,
        SFlag::S_IFREG => file,
        _ => Mode::empty(), // of a link these would be somebody else's
    };
    let mode = Mode::from_bits_truncate(stat.st_mode);
    if !mode.contains(wanted) {
        // Through the descriptor, so that it is this file and not what has its name by now.
        let path = format!("/proc/self/fd/{}", found.as_raw_fd());
        match fchmodat(AT_FDCWD, path.as_str(), mode | wanted, FchmodatFlags::FollowSymlink) {
            // Another user's: whoever needs it will find out.
            Ok(()) | Err(Errno::EPERM) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(kind == SFlag::S_IFDIR)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use nix::sys::stat::mkdirat;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("there").mode() & 0o777
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
    }

    #[test]
    fn what_was_closed_is_opened_and_removed_and_links_are_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).expect("made");
        fs::write(outside.join("precious"), "x").expect("written");
        chmod(&outside.join("precious"), 0o000);
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("d/e")).expect("made");
        fs::write(root.join("d/e/f"), "x").expect("written");
        symlink(&outside, root.join("d/link")).expect("linked");
        symlink(outside.join("precious"), root.join("d/file")).expect("linked");
        symlink("/", root.join("all")).expect("linked");
        for (path, mode) in [("d/e/f", 0o000), ("d/e", 0o000), ("d", 0o000)] {
            chmod(&root.join(path), mode);
        }
        open_up(&root).expect("opened");
        assert_eq!((mode(&root.join("d")), mode(&root.join("d/e"))), (0o500, 0o500));
        assert_eq!((mode(&root.join("d/e/f")), mode(&outside.join("precious"))), (0o400, 0o000));
        chmod(&root.join("d/e"), 0o000);
        remove(&root).expect("removed");
        assert!(!root.exists() && outside.join("precious").exists());
        remove(&root).expect("nothing there");
        remove(&root.join("deeper")).expect("nothing there at all");
    }

    #[test]
    fn what_is_no_directory_is_removed_too() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["link", "dangling"] {
            symlink(if name == "link" { "/" } else { "nowhere" }, dir.path().join(name)).expect("linked");
            remove(&dir.path().join(name)).expect("removed");
        }
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0);
    }

    #[test]
    fn a_tree_deeper_than_files_may_be_open_is_gone_through() {
        // The limit is a process's own: so this test is run again in another one.
        const AGAIN: &str = "UWSD_TEST_FEW_FILES";
        if std::env::var_os(AGAIN).is_none() {
            let own = std::env::current_exe().expect("known");
            let name = "backend::files::deeds::tests::a_tree_deeper_than_files_may_be_open_is_gone_through";
            let script = "ulimit -n 100; exec \"$0\" \"$@\"";
            let run = std::process::Command::new("/bin/sh")
                .args(["-c", script])
                .arg(own)
                .args(["--exact", name])
                .env(AGAIN, "yes")
                .output()
                .expect("a shell");
            let said = String::from_utf8_lossy(&run.stdout);
            assert!(run.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let dirs = JobDirs { root: dir.path().join("job") };
        fs::create_dir_all(dirs.output()).expect("made");
        let mut deepest = open_dir(&dirs.output()).expect("there");
        for _ in 0..300 {
            mkdirat(&deepest, c"deeper", Mode::S_IRWXU).expect("made");
            deepest = openat(&deepest, c"deeper", OFlag::O_PATH, Mode::empty()).expect("there");
        }
        drop(deepest);
        open_up(&dirs.output()).expect("opened");
        let own = User { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() };
        give(&dirs, own).expect("given");
        remove(&dirs.root).expect("removed");
        assert!(!dirs.root.exists());
    }
}
