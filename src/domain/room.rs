//! Room on a disk.

/// The room on the disk of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskRoom {
    /// What lies there: `state`, `jobs` or `database`.
    pub place: &'static str,
    /// What is free for the daemon, in bytes.
    pub free: u64,
    /// The size of the file system, in bytes.
    pub size: u64,
}
