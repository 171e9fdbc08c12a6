//! The hidden first arguments of `uwsd`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{inside, supervisor};

/// Sets a supervisor free.
pub(super) const LAUNCH: &str = "run-launch";
/// Supervises one run.
pub(super) const SUPERVISOR: &str = "run-supervisor";
/// Is PID 1 of a sandbox.
pub(super) const INIT: &str = "run-init";
/// Becomes the command.
pub(super) const COMMAND: &str = "run-command";

/// Does the work of a hidden command of the process backend, if `args` (with the program's name first) name one.
///
/// To be called first of all in `main`: those commands need a process without other threads.
#[must_use]
pub fn run_hidden_command(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.into_iter().skip(1);
    let word = args.next()?;
    let mut rundir = || args.next().map_or_else(PathBuf::new, PathBuf::from);
    match word.to_str()? {
        LAUNCH => Some(supervisor::launch_main(&rundir())),
        SUPERVISOR => Some(supervisor::supervisor_main(&rundir())),
        INIT => Some(inside::init_main()),
        COMMAND => Some(inside::command_main()),
        _ => None,
    }
}
