//! Where jobs run.

pub mod docker;
#[cfg(feature = "test-support")]
pub mod fake;
