//! Where jobs run: the adapters behind [`crate::ports::Backend`].

pub mod process;
