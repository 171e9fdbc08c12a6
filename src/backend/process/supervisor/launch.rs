//! The launcher: starts the supervisor and ends, so that the supervisor is nobody's child.

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use crate::backend::process::descriptors::close_inherited;
use crate::backend::process::entry;

use super::answer::Answer;

/// The main function of the launcher. Its standard output becomes the supervisor's.
pub(in crate::backend::process) fn launch_main(rundir: &Path) -> ExitCode {
    close_inherited();
    let launched = File::options().append(true).create(true).open(rundir.join("supervisor.log")).and_then(|words| {
        let mut supervisor = Command::new("/proc/self/exe");
        supervisor.arg(entry::SUPERVISOR).arg(rundir).env_clear().stdin(Stdio::null()).stderr(words).spawn()
    });
    match launched {
        Ok(_its_init_will_reap_it) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = Answer::of(&error).say(); // a daemon that hears nothing looks for itself
            ExitCode::FAILURE
        }
    }
}
