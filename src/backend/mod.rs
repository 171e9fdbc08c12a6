//! Where jobs run.

#[cfg(feature = "test-support")]
pub mod fake;
