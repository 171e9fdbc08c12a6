//! What a job becomes for the backend: argv, environment, limits.

use crate::config::Service;
use crate::domain::{Job, Variable, own_variables};
use crate::ports::{JobDirs, RunRef, RunSpec, User};

/// The run of one replica of a job, as its service is configured now.
pub(super) fn run_spec(job: &Job, service: &Service, run: RunRef, dirs: JobDirs) -> RunSpec {
    let mut argv = service.shell.clone();
    argv.push(job.work.command.clone());
    RunSpec {
        run,
        service: job.service.clone(),
        image: service.image.clone(),
        pull: service.pull,
        argv,
        env: environment(job, service, &run),
        user: service.user.unwrap_or_else(own_user),
        extra_groups: service.extra_groups.clone(),
        cpus: service.max_cpus,
        memory: service.max_memory,
        pids: service.pids,
        network: service.network.clone(),
        mounts: service.mounts.clone(),
        secrets: service.secrets.clone(),
        dirs,
    }
}

fn own_user() -> User {
    User { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() }
}

/// The variables of a job: a home, the daemon's own, the caller's, the site's; of a repeated name only the last is kept.
fn environment(job: &Job, service: &Service, run: &RunRef) -> Vec<(String, String)> {
    let inside = JobDirs::inside(&job.id);
    let mut all: Vec<(String, String)> = vec![("HOME".to_owned(), format!("{inside}/home"))];
    let own = own_variables(job.id, &job.work, &inside, Some(run.replica));
    all.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned())));
    all.extend(job.work.environment.iter().map(|Variable { name, value }| (name.clone(), value.clone())));
    all.extend(service.env.iter().cloned());
    all.extend(service.secrets.iter().map(|secret| (secret.name.clone(), secret.target.clone())));
    keep_last(all)
}

fn keep_last(all: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<_> = all.into_iter().rev().filter(|(name, _)| seen.insert(name.clone())).collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_repeated_name_the_last_wins_in_its_place() {
        let pairs = |text: &[(&str, &str)]| -> Vec<(String, String)> {
            text.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let kept = keep_last(pairs(&[("A", "1"), ("B", "2"), ("A", "3"), ("C", "4")]));
        assert_eq!(kept, pairs(&[("B", "2"), ("A", "3"), ("C", "4")]));
    }
}
