//! A job's files: whose they are, who may read them, and their end. Links are never followed.

mod deeds;
mod walk;

pub(super) use deeds::{give, open_up, remove};
