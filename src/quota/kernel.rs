//! The kernel's calls for project quotas, of which no crate has safe ones: `FS_IOC_FSGETXATTR` and `FS_IOC_FSSETXATTR`
//! (`ioctl_xfs_fsgetxattr(2)`), and `quotactl_fd` (`quotactl(2)`, Linux 5.14), which needs no device node.
#![expect(unsafe_code, reason = "system calls that take pointers, without a safe wrapper in nix or rustix")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc;
use rustix::ioctl::{Getter, Opcode, Setter, ioctl, opcode};

/// `PRJQUOTA`.
const PROJECTS: libc::c_int = 2;
/// `Q_XGETQSTAT`: which quotas are in force.
const Q_XGETQSTAT: libc::c_int = (b'X' as libc::c_int) << 8 | 5;
/// `FS_QUOTA_PDQ_ACCT` and `FS_QUOTA_PDQ_ENFD`: projects are counted, and their limits are kept.
const IN_FORCE: u16 = 1 << 4 | 1 << 5;
/// `FS_XFLAG_PROJINHERIT`: what is made in a directory gets its project.
const INHERIT: u32 = 0x200;
/// The unit of limits.
const UNIT: u64 = 1024;

/// `struct fsxattr`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    pad: [u8; 8],
}

const FS_IOC_FSGETXATTR: Opcode = opcode::read::<Attributes>(b'X', 31);
const FS_IOC_FSSETXATTR: Opcode = opcode::write::<Attributes>(b'X', 32);

/// The beginning of `struct fs_quota_stat`, and more room than its 80 bytes.
#[repr(C, align(8))]
struct Standing {
    version: i8,
    flags: u16,
    rest: [u32; 31],
}

/// What is counted of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counted {
    /// The most bytes that it may take; 0: any.
    pub(super) limit: u64,
    /// How many bytes it takes.
    pub(super) bytes: u64,
    /// How many files and directories it has.
    pub(super) inodes: u64,
}

/// Whether the file system of `place` counts projects and keeps their limits. Anybody may ask.
pub(super) fn is_in_force(place: &File) -> io::Result<bool> {
    let mut standing = Standing { version: 0, flags: 0, rest: [0; 31] };
    // SAFETY: the kernel writes a `struct fs_quota_stat` there, and `Standing` has more room, is as aligned, and is plain numbers.
    let asked = unsafe { quotactl(place, Q_XGETQSTAT, 0, (&raw mut standing).cast()) };
    match asked {
        Ok(()) => Ok(standing.flags & IN_FORCE == IN_FORCE),
        // It has no quotas at all, none are in force, or none of projects.
        Err(Errno::ENOSYS | Errno::ESRCH | Errno::EINVAL | Errno::EOPNOTSUPP) if has_call() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether this kernel has the call: a file system without quotas answers as a kernel without it does, but a descriptor that is none
/// is looked at first.
fn has_call() -> bool {
    // SAFETY: the descriptor is none, so that the call ends before it looks at the address.
    let none = unsafe { libc::syscall(libc::SYS_quotactl_fd, -1, 0, 0, std::ptr::null_mut::<libc::c_void>()) };
    none == -1 && Errno::last() != Errno::ENOSYS
}

/// What is counted of project `id` on the file system of `place`.
pub(super) fn counted(place: &File, id: u32) -> io::Result<Counted> {
    let mut block = none();
    // SAFETY: the kernel writes a `struct if_dqblk` there, which `dqblk` is.
    match unsafe { quotactl(place, libc::Q_GETQUOTA, id, (&raw mut block).cast()) } {
        Ok(()) => Ok(Counted {
            limit: block.dqb_bhardlimit.saturating_mul(UNIT),
            bytes: block.dqb_curspace,
            inodes: block.dqb_curinodes,
        }),
        // XFS, of an id that no file ever had.
        Err(Errno::ENOENT) => Ok(Counted::default()),
        Err(error) => Err(error.into()),
    }
}

/// Lets project `id` take `most` bytes on the file system of `place`, in whole KiB; `None`: any number.
pub(super) fn limit(place: &File, id: u32, most: Option<u64>) -> io::Result<()> {
    let mut block = none();
    block.dqb_bhardlimit = most.map_or(0, |most| (most / UNIT).max(1));
    block.dqb_valid = libc::QIF_BLIMITS;
    // SAFETY: the kernel reads a `struct if_dqblk` there, which `dqblk` is.
    match unsafe { quotactl(place, libc::Q_SETQUOTA, id, (&raw mut block).cast()) } {
        Ok(()) => Ok(()),
        Err(Errno::ENOENT) if most.is_none() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The project of a file or directory; 0: that of no other.
pub(super) fn project(file: &File) -> io::Result<u32> {
    Ok(attributes(file)?.project)
}

/// Gives a directory to project `id`, and with `is_inherited` all that will be made in it.
pub(super) fn set_project(directory: &File, id: u32, is_inherited: bool) -> io::Result<()> {
    let mut attributes = attributes(directory)?;
    attributes.project = id;
    if is_inherited {
        attributes.flags |= INHERIT;
    }
    // SAFETY: this call reads a `struct fsxattr`, which `Attributes` is.
    unsafe { ioctl(directory.as_fd(), Setter::<FS_IOC_FSSETXATTR, Attributes>::new(attributes)) }?;
    Ok(())
}

fn attributes(file: &File) -> io::Result<Attributes> {
    // SAFETY: this call writes a `struct fsxattr`, which `Attributes` is.
    Ok(unsafe { ioctl(file.as_fd(), Getter::<FS_IOC_FSGETXATTR, Attributes>::new()) }?)
}

const fn none() -> libc::dqblk {
    libc::dqblk {
        dqb_bhardlimit: 0,
        dqb_bsoftlimit: 0,
        dqb_curspace: 0,
        dqb_ihardlimit: 0,
        dqb_isoftlimit: 0,
        dqb_curinodes: 0,
        dqb_btime: 0,
        dqb_itime: 0,
        dqb_valid: 0,
    }
}

/// Asks for something about projects.
///
/// # Safety
/// `address` is that of what the command reads or writes.
unsafe fn quotactl(place: &File, command: libc::c_int, id: u32, address: *mut libc::c_void) -> Result<(), Errno> {
    let command = libc::QCMD(command, PROJECTS);
    // SAFETY: the descriptor lives as long as the call, and of the address the caller has made sure.
    let done = unsafe { libc::syscall(libc::SYS_quotactl_fd, place.as_raw_fd(), command, id, address) };
    if done == 0 { Ok(()) } else { Err(Errno::last()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_given_what_it_takes() {
        assert_eq!(size_of::<Attributes>(), 28);
        assert!(size_of::<Standing>() >= 80 && std::mem::offset_of!(Standing, flags) == 2);
        assert_eq!(size_of::<libc::dqblk>(), 72);
    }

    #[test]
    fn a_file_system_without_quotas_is_none_that_failed() {
        // That of processes never has any.
        let place = File::open("/proc").expect("there");
        match is_in_force(&place) {
            Ok(is_in_force) => assert!(!is_in_force),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOSYS), "{error}"),
        }
    }
}
