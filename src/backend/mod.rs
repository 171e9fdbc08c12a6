//! Where jobs run: the adapters of [`crate::ports::Backend`].

pub mod docker;
pub mod process;
