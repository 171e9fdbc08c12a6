//! Where jobs run: the adapters of [`crate::ports::Backend`].

mod capped;
mod cgroup;
pub mod docker;
#[cfg(feature = "test-support")]
pub mod fake;
#[cfg(feature = "test-support")]
mod fake_images;
#[cfg(feature = "test-support")]
mod fake_script;
mod files;
pub mod process;
mod system;

pub(crate) use cgroup::{GroupsSeen, Version};
