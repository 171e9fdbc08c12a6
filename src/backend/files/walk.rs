//! Going through directories that a job may write to at the same time, without ever following a link out of them.
//!
//! However deep they are: the way back is noted, and only a few directories of it are kept open.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};

/// How many directories on the way back are kept open.
const KEPT: usize = 32;

/// What is done on the way.
pub(super) trait Visit {
    /// Meets `name` in `dir`; tells whether to go in, if it is a directory.
    fn meet(&mut self, dir: &OwnedFd, name: &CStr) -> io::Result<bool>;

    /// Comes back from the directory `name` in `dir`.
    fn leave(&mut self, dir: &OwnedFd, name: &CStr) -> io::Result<()> {
        let _ = (dir, name);
        Ok(())
    }
}

/// What tells one directory from all others.
type Identity = (nix::libc::dev_t, nix::libc::ino_t);

/// A directory on the way.
struct Level {
    name: CString,
    identity: Identity,
    /// What in it is still to be met.
    names: Vec<CString>,
}

/// Visits `names` in `dir` and all below, each directory before what is in it. What vanishes meanwhile is left out.
pub(super) fn walk(dir: OwnedFd, names: Vec<CString>, visit: &mut impl Visit) -> io::Result<()> {
    let mut current = dir;
    let mut kept = VecDeque::new();
    let mut way = vec![Level { name: CString::default(), identity: identity(&current)?, names }];
    while let Some(level) = way.last_mut() {
        if let Some(name) = level.names.pop() {
            if visit.meet(&current, &name)?
                && let Some(inner) = enter(&current, &name)?
            {
                way.push(Level { name, identity: identity(&inner)?, names: names_in(&inner)? });
                kept.push_back(std::mem::replace(&mut current, inner));
                if kept.len() > KEPT {
                    kept.pop_front();
                }
            }
        } else if let (Some(done), Some(above)) = (way.pop(), way.last()) {
            current = match kept.pop_back() {
                Some(dir) => dir,
                None => climb(&current, above.identity)?,
            };
            visit.leave(&current, &done.name)?;
        }
    }
    Ok(())
}

/// Opens the directory `name`; `None` if it is none, or gone.
fn enter(dir: &OwnedFd, name: &CStr) -> io::Result<Option<OwnedFd>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(dir, name, flags, Mode::empty()) {
        Ok(inner) => Ok(Some(inner)),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens the directory above, if it still is the one that the way came through.
fn climb(dir: &OwnedFd, above: Identity) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let found = openat(dir, c"..", flags, Mode::empty())?;
    if identity(&found)? == above {
        Ok(found)
    } else {
        Err(io::Error::other("a directory was moved elsewhere while its files were gone through"))
    }
}

fn identity(dir: &impl AsFd) -> io::Result<Identity> {
    let stat = fstat(dir)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn names_in(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(dir.try_clone()?)?.iter() {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    Ok(names)
}
