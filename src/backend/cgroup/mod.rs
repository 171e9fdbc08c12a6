//! Control groups, of both versions.
//!
//! ```text
//! changes.rs    hearing of events of a group at once
//! hierarchy.rs  where groups can be made on this host
//! jobs_unit.rs  the unit that holds the groups of jobs of a daemon that is not root
//! look.rs       what is there, seen without making any
//! memory.rs     what the kernel counts of a group's memory: its peak, and whether it killed for want of it
//! ```

mod changes;
mod hierarchy;
mod jobs_unit;
mod look;
mod memory;

pub(super) use hierarchy::{Hierarchy, Mounts, OURS, can_make_groups, delegate};
pub(super) use jobs_unit::move_there;
pub(crate) use look::GroupsSeen;
pub(super) use memory::MemoryFiles;
pub(crate) use memory::Version;
