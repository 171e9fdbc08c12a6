//! Checks out git repositories with the `git` executable: the adapter behind [`ports::Sources`](crate::ports::Sources).
//!
//! The URL and the ref come from strangers. They are checked here by form (`address`, `reference`), and git itself
//! is held to the same protocols by its environment; it runs without a shell, without the configuration, hooks and
//! helpers of this host or of the repository, in a process group that ends with the future that waits for it.

mod address;
mod checkout;
mod closed;
mod doctor;
mod find;
mod git;
mod group;
mod leftovers;
mod lfs;
mod mirror;
mod reach;
mod reference;
mod remote;
mod settings;
mod size;
mod ssh;
mod words;

pub use checkout::GitSources;
pub(crate) use doctor::{asks, program_in_path, version_of};
pub use settings::SetupError;
