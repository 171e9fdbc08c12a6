//! `uwsd check`: the configuration in force, or what is wrong with it.

use std::ffi::OsString;
use std::process::ExitCode;

use super::arguments::{EXIT_CONFIG, Files};
use super::output::print;
use crate::backend::process::{HostError, ProcessBackend};
use crate::config::{Backend, BackendKind, LoadRequest, Loaded, load, show};

/// Prints the configuration.
pub(super) fn run(files: Files, environment: Vec<(OsString, OsString)>) -> ExitCode {
    let request = files.request(environment);
    let Some(loaded) = load_or_say(&request) else { return ExitCode::from(EXIT_CONFIG) };
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    if let Err(problem) = host_can_run(&loaded.config.backend) {
        eprintln!("config: 1 problem\n  {problem}");
        return ExitCode::from(EXIT_CONFIG);
    }
    print(&show(&loaded.effective), ExitCode::SUCCESS)
}

/// The configuration, unless something is wrong with it, which is said on standard error.
pub(super) fn load_or_say(request: &LoadRequest) -> Option<Loaded> {
    load(request).inspect_err(|errors| eprintln!("{errors}")).ok()
}

/// Whether this host can run jobs as the configuration says, as far as that does not change from minute to minute: an
/// engine that does not answer now is no problem of the configuration.
fn host_can_run(backend: &Backend) -> Result<(), HostError> {
    match backend.kind {
        BackendKind::Docker => Ok(()),
        BackendKind::Process => ProcessBackend::check_host(&backend.process),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_bubblewrap_is_a_problem_of_the_process_backend_only() {
        let config = |kind: &str| -> Backend {
            let dir = tempfile::tempdir().expect("temp dir");
            let file = dir.path().join("uwsd.toml");
            let text = format!("[backend]\nkind = {kind:?}\n[backend.process]\nbwrap = \"/no/such/bwrap\"\n");
            std::fs::write(&file, text).expect("written");
            let environment = [("UWSD_STATE_DIR".into(), dir.path().into())];
            load(&LoadRequest { config: Some(file), ..LoadRequest::new(environment) }).expect("fine").config.backend
        };
        let problem = host_can_run(&config("process")).expect_err("no bubblewrap").to_string();
        assert!(problem.starts_with("backend.process.bwrap: /no/such/bwrap "), "{problem}");
        host_can_run(&config("docker")).expect("nobody needs it");
    }
}
