//! The processes outside the sandbox: the launcher, and the supervisor of one run.

mod answer;
mod arguments;
mod clients;
mod launch;
mod link;
mod log;
mod sandbox;
mod supervise;
mod watch;

pub(super) use answer::Answer;
pub(super) use arguments::Arguments;
pub(super) use launch::launch_main;
pub(super) use supervise::supervisor_main;
