//! Going through directories that a job may write to at the same time, without ever following a link out of them.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat};
use nix::unistd::{Gid, Uid, fchownat};

/// Gives `names` below `root`, with all that is in them, to the user and group.
pub(super) fn give(root: &Path, names: &[&str], uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    let root = open(AT_FDCWD, root)?;
    names.iter().try_for_each(|name| {
        let name = CString::new(*name)?;
        visit(&root, &name, &mut |dir, name, _| fchownat(dir, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW))?;
        Ok(())
    })
}

/// Makes everything below and including `root` readable for its owner, who is the caller.
pub(super) fn open_up(root: &Path) -> io::Result<()> {
    add_modes(root, Mode::S_IRUSR, Mode::S_IRUSR | Mode::S_IXUSR)
}

/// Removes `root` with all that is in it; succeeds if it is not there.
pub(super) fn remove(root: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Directories that the owner may not look into or change.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            add_modes(root, Mode::empty(), Mode::S_IRWXU)?;
            std::fs::remove_dir_all(root)
        }
        other => other,
    }
}

fn add_modes(root: &Path, file: Mode, directory: Mode) -> io::Result<()> {
    let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else { return Ok(()) };
    let parent = open(AT_FDCWD, parent)?;
    let name = CString::new(name.as_encoded_bytes())?;
    visit(&parent, &name, &mut |dir, name, kind| {
        let wanted = match kind {
            Type::Directory => directory,
            Type::File => file,
            _ => return Ok(()),
        };
        let mode = Mode::from_bits_truncate(fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?.st_mode);
        if mode.contains(wanted) {
            return Ok(());
        }
        match fchmodat(dir, name, mode | wanted, FchmodatFlags::NoFollowSymlink) {
            Err(Errno::EPERM) => Ok(()), // another user's: whoever needs it will find out
            other => other,
        }
    })?;
    Ok(())
}

type Deed<'a> = dyn FnMut(&OwnedFd, &CStr, Type) -> nix::Result<()> + 'a;

/// Does the deed to `name` in `dir`, then, if that is a directory, to everything in it.
fn visit(dir: &OwnedFd, name: &CStr, deed: &mut Deed<'_>) -> nix::Result<()> {
    let kind = match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => kind_of(stat.st_mode),
        Err(Errno::ENOENT) => return Ok(()), // removed meanwhile
        Err(error) => return Err(error),
    };
    match deed(dir, name, kind) {
        Ok(()) => {}
        Err(Errno::ENOENT) => return Ok(()),
        Err(error) => return Err(error),
    }
    if kind != Type::Directory {
        return Ok(());
    }
    let inner = match open(dir, name) {
        Ok(inner) => inner,
        // Removed or replaced by a link meanwhile.
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in Dir::from_fd(inner.try_clone().map_err(|_| Errno::EMFILE)?)?.iter() {
        let name = entry?.file_name().to_owned();
        if !matches!(name.as_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    names.iter().try_for_each(|name| visit(&inner, name, deed))
}

fn open<Fd: AsFd, P: ?Sized + nix::NixPath>(dir: Fd, path: &P) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(dir, path, flags, Mode::empty())
}

fn kind_of(mode: nix::libc::mode_t) -> Type {
    match SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFDIR => Type::Directory,
        SFlag::S_IFREG => Type::File,
        SFlag::S_IFLNK => Type::Symlink,
        SFlag::S_IFIFO => Type::Fifo,
        SFlag::S_IFSOCK => Type::Socket,
        SFlag::S_IFBLK => Type::BlockDevice,
        _ => Type::CharacterDevice,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).expect("there").mode() & 0o777
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
    }

    #[test]
    fn modes_are_added_where_they_lack_and_links_are_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let outside = dir.path().join("outside");
        std::fs::write(&outside, "x").expect("written");
        chmod(&outside, 0o000);
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("d/e")).expect("made");
        std::fs::write(root.join("d/e/f"), "x").expect("written");
        symlink(&outside, root.join("d/link")).expect("linked");
        symlink("/", root.join("all")).expect("linked");
        chmod(&root.join("d/e/f"), 0o000);
        chmod(&root.join("d/e"), 0o000);
        chmod(&root.join("d"), 0o000);
        open_up(&root).expect("opened");
        assert_eq!((mode(&root.join("d")), mode(&root.join("d/e"))), (0o500, 0o500));
        assert_eq!(mode(&root.join("d/e/f")), 0o400);
        assert_eq!(mode(&outside), 0o000);
        remove(&root).expect("removed");
        assert!(!root.exists() && outside.exists());
        remove(&root).expect("again");
    }
}
