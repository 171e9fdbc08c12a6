//! Control groups, of both versions.
//!
//! ```text
//! changes.rs    hearing of events of a group at once
//! hierarchy.rs  where groups can be made on this host
//! look.rs       what is there, seen without making any
//! memory.rs     what the kernel counts of a group's memory: its peak, and whether it killed for want of it
//! ```

mod changes;
mod hierarchy;
mod look;
mod memory;

pub(super) use hierarchy::{Hierarchy, Mounts, OURS, can_make_groups, delegate};
pub(crate) use look::GroupsSeen;
pub(super) use memory::MemoryFiles;
pub(crate) use memory::Version;
