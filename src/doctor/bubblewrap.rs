//! The process backend: bubblewrap, and control groups for its limits.

use nix::unistd::{Pid, geteuid};

use super::access::{Person, user_name};
use super::cgroups;
use super::examine::Case;
use super::finding::{Finding, Subject};
use super::patience::looked;
use crate::backend::GroupsSeen;
use crate::backend::process::{HostError, ProcessBackend};
use crate::ports::User;

/// `running` is the process of the daemon, if it runs.
pub(super) async fn look(case: &Case, running: Option<Pid>) -> Vec<Finding> {
    let settings = case.config.backend.process.clone();
    let program = settings.bwrap.display().to_string();
    let name = program.clone();
    let user = user_of_trial(&case.daemon, geteuid().as_raw());
    let mut findings = looked(Subject::Bubblewrap, program, move || {
        let (tried, who) = match user {
            Some(user) => (ProcessBackend::check_host_for(&settings, user), user_name(user.uid)),
            None => (ProcessBackend::check_host(&settings), user_name(geteuid().as_raw())),
        };
        vec![match tried {
            Ok(()) => Finding::fine(Subject::Bubblewrap, format!("{name} makes a sandbox here for the user {who}")),
            Err(error) => unable(&error, &who),
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

/// As whom a sandbox is made, if not as the one who looks: as the daemon's user, which only root can.
fn user_of_trial(daemon: &Person, me: u32) -> Option<User> {
    let gid = daemon.gids.first().copied().unwrap_or(daemon.uid);
    (me == 0 && daemon.uid != me).then_some(User { uid: daemon.uid, gid })
}

/// `who` tried it.
fn unable(error: &HostError, who: &str) -> Finding {
    let (sentence, remedy) = match error {
        HostError::Missing(program) => (format!("{} is not there", program.display()), "apt-get install bubblewrap"),
        HostError::NotExecutable(program, why) => (
            format!("{} could not be executed by the user {who}: {why}", program.display()),
            "apt-get install --reinstall bubblewrap",
        ),
        HostError::TooOld(program, version) => (
            format!("{} is of version {version:?}; 0.8 or newer is needed", program.display()),
            "install the bubblewrap of Debian 12 or newer",
        ),
        HostError::Unable(program, why) => (
            format!("{} cannot make a sandbox here for the user {who}: {why}", program.display()),
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
        let found = unable(&HostError::Missing("bwrap".into()), "uwsd");
        assert_eq!(
            (found.sentence.as_str(), found.remedy.as_deref()),
            ("bwrap is not there", Some("apt-get install bubblewrap"))
        );
        let found = unable(&HostError::Unable("bwrap".into(), "no permissions".into()), "uwsd");
        assert_eq!(found.sentence, "bwrap cannot make a sandbox here for the user uwsd: no permissions");
    }

    #[test]
    fn root_tries_as_the_daemons_user_and_others_as_themselves() {
        let daemon = Person::in_a_job(990, vec![991, 992]);
        assert_eq!(user_of_trial(&daemon, 0), Some(User { uid: 990, gid: 991 }));
        assert_eq!(user_of_trial(&Person::in_a_job(990, Vec::new()), 0), Some(User { uid: 990, gid: 990 }));
        assert_eq!((user_of_trial(&daemon, 990), user_of_trial(&daemon, 1000)), (None, None));
        assert_eq!(user_of_trial(&Person::in_a_job(0, vec![0]), 0), None, "a daemon that is root");
    }
}
