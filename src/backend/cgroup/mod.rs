//! Control groups, of both versions.
//!
//! ```text
//! hierarchy.rs  where groups can be made on this host
//! memory.rs     what the kernel counts of a group's memory: its peak, and whether it killed for want of it
//! ```

mod hierarchy;
mod memory;

pub(super) use hierarchy::{Hierarchy, Mounts, OURS, can_make_groups, delegate};
pub(super) use memory::{MemoryFiles, Version};
