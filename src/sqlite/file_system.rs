//! On what file system a path lies, and its room.

use std::path::{Path, PathBuf};

/// File systems over a network: their locks and memory maps are not those of a local disk.
const NETWORK: [&str; 25] = [
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "fuse.beegfs",
    "fuse.ceph",
    "fuse.ceph-fuse",
    "fuse.glusterfs",
    "fuse.juicefs",
    "fuse.lizardfs",
    "fuse.mfs",
    "fuse.moosefs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "orangefs",
    "smb3",
];

/// The type of the network file system that `path` lies on; `None` if it is local or cannot be told.
pub(crate) fn network_type(path: &Path) -> Option<String> {
    file_system_of(path).filter(|file_system| NETWORK.contains(&file_system.as_str()))
}

/// The type of the file system that `path` lies on, if it can be told.
pub(crate) fn file_system_of(path: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let path = path.canonicalize().ok()?;
    type_of(&mounts, &path).map(str::to_owned)
}

/// How many bytes this process may still write on the file system of `path`.
pub(super) fn free(path: &Path) -> std::io::Result<u64> {
    let disk = nix::sys::statvfs::statvfs(path)?;
    #[expect(clippy::useless_conversion, reason = "the widths of these fields differ between platforms")]
    let (blocks, size) = (u64::from(disk.blocks_available()), u64::from(disk.fragment_size()));
    Ok(blocks.saturating_mul(size))
}

/// The type of the file system that `path` lies on, by the lines of `mountinfo` (proc(5)).
fn type_of<'a>(mountinfo: &'a str, path: &Path) -> Option<&'a str> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let point = unescape(left.split(' ').nth(4)?);
            let file_system = right.split(' ').next()?;
            path.starts_with(&point).then_some((point.components().count(), file_system))
        })
        // Of two mounts on the same point the later one covers the earlier.
        .max_by_key(|(depth, _)| *depth)
        .map(|(_, file_system)| file_system)
}

/// A mount point as the kernel writes it: blank, tab, newline and backslash are in octal.
fn unescape(point: &str) -> PathBuf {
    let text = point.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    PathBuf::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:30 / /data rw shared:1 - nfs4 server:/export rw
31 30 0:31 / /data/local\\040disk rw - xfs /dev/vdb rw
32 22 0:32 / /home rw - fuse.sshfs user@host: rw
33 22 0:33 / /both rw - ext4 /dev/vdc rw
34 22 0:34 / /both rw - nfs server:/b rw
";

    #[test]
    fn the_deepest_mount_decides_and_the_later_one_covers() {
        for (path, file_system) in [
            ("/var/lib/uwsd/uwsd.db", "ext4"),
            ("/data/uwsd.db", "nfs4"),
            ("/data/local disk/uwsd.db", "xfs"),
            ("/database/uwsd.db", "ext4"),
            ("/home/ada/uwsd.db", "fuse.sshfs"),
            ("/both/x", "nfs"),
        ] {
            assert_eq!(type_of(MOUNTS, Path::new(path)), Some(file_system), "{path}");
        }
    }
}
