//! The process backend: bubblewrap, and control groups for its limits.

use nix::unistd::Pid;

use super::cgroups;
use super::examine::Case;
use super::finding::{Finding, Subject};
use super::patience::looked;
use crate::backend::GroupsSeen;
use crate::backend::process::{HostError, ProcessBackend};

/// `running` is the process of the daemon, if it runs.
pub(super) async fn look(case: &Case, running: Option<Pid>) -> Vec<Finding> {
    let settings = case.config.backend.process.clone();
    let program = settings.bwrap.display().to_string();
    let name = program.clone();
    let mut findings = looked(Subject::Bubblewrap, program, move || {
        vec![match ProcessBackend::check_host(&settings) {
            Ok(()) => Finding::fine(Subject::Bubblewrap, format!("{name} makes a sandbox here")),
            Err(error) => unable(&error),
        }]
    })
    .await;
    let daemon = case.daemon.clone();
    findings.extend(
        looked(Subject::Cgroups, "/sys/fs/cgroup", move || {
            let seen = GroupsSeen::look();
            let own = running.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok());
            vec![cgroups::version(&seen), cgroups::of_processes(&seen, &daemon, own.as_deref())]
        })
        .await,
    );
    findings
}

fn unable(error: &HostError) -> Finding {
    let (sentence, remedy) = match error {
        HostError::Missing(program) => (format!("{} is not there", program.display()), "apt-get install bubblewrap"),
        HostError::NotExecutable(program, why) => {
            (format!("{} could not be executed: {why}", program.display()), "apt-get install --reinstall bubblewrap")
        }
        HostError::TooOld(program, version) => (
            format!("{} is of version {version:?}; 0.8 or newer is needed", program.display()),
            "install the bubblewrap of Debian 12 or newer",
        ),
        HostError::Unable(program, why) => (
            format!("{} cannot make a sandbox here: {why}", program.display()),
            "sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000    # in a container: its runtime too",
        ),
        HostError::NoProgram(why) => {
            (format!("the executable of uwsd cannot be found: {why}"), "start uwsd by its full path")
        }
    };
    Finding::wrong(Subject::Bubblewrap, sentence, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_the_package() {
        let found = unable(&HostError::Missing("bwrap".into()));
        assert_eq!(
            (found.sentence.as_str(), found.remedy.as_deref()),
            ("bwrap is not there", Some("apt-get install bubblewrap"))
        );
    }
}
