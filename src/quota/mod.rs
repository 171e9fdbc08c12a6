//! Project quotas of ext4 and XFS: the adapter of [`crate::ports::Quotas`].
//!
//! A job's directories get a project id of their own, which all that is made in them inherits, and that project a hard limit of
//! blocks (`quotactl(2)`). The id is not stored: it is read back from the job's directory, which no job can reach.

mod ids;
mod kernel;
mod probe;
mod projects;

pub use probe::{Without, are_in_force, may_be_set};
pub use projects::ProjectQuotas;
