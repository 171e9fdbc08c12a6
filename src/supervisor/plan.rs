//! What a job becomes for the backend: argv, environment, limits.

use crate::config::{Program, Service};
use crate::domain::jdl::{Declaration, Jdl, Unfit, ValueKind};
use crate::domain::{Job, JobId, Parameter, Variable, Work, own_variables};
use crate::ports::{JobDirs, Pull, RunRef, RunSpec, User};

use super::files::upload;
use super::image;

/// What every replica of a job runs, as its service is configured now: the words and the variables of its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invocation {
    image: String,
    pull: Pull,
    argv: Vec<String>,
    parameters: Vec<(String, String)>,
}

impl Invocation {
    /// What `job` runs.
    ///
    /// # Errors
    /// [`Unfit`] if its parameters do not fit the service.
    pub(super) fn of(job: &Job, service: &Service) -> Result<Self, Unfit> {
        let (image, pull) = image::of(service, &job.work)?;
        match &service.program {
            Program::Shell(shell) => {
                let argv = shell.iter().chain([&job.work.command]).cloned().collect();
                Ok(Self { image, pull, argv, parameters: Vec::new() })
            }
            Program::Command(jdl) => {
                let complete = jdl.complete(jdl.settle(job.work.parameters.clone())?)?;
                let shown = |declaration: &Declaration, value: &str| shown(job.id, &job.work, declaration, value);
                Ok(Self { image, pull, argv: jdl.argv(&complete, shown), parameters: variables(jdl, &complete, shown) })
            }
        }
    }

    /// Of a job whose runs were made already and that would not fit its service any more: they go on, and none is made.
    pub(super) fn of_old(job: &Job, service: &Service) -> Self {
        let image = job.facts.image.clone().unwrap_or_else(|| service.image.clone());
        Self { image, pull: Pull::Never, argv: Vec::new(), parameters: Vec::new() }
    }
}

/// The variables of the parameters that a service declares, several values one a line (contract §5).
fn variables(jdl: &Jdl, complete: &[Parameter], shown: impl Fn(&Declaration, &str) -> String) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for declaration in &jdl.declarations {
        let given = complete.iter().filter(|given| given.name == declaration.name);
        let values: Vec<String> = given.map(|given| shown(declaration, &given.value)).collect();
        if !values.is_empty() {
            variables.push((format!("UWS_PARAM_{}", declaration.name.to_ascii_uppercase()), values.join("\n")));
        }
    }
    variables
}

/// What a job sees of a value: of a file its path.
pub(super) fn shown(job: JobId, work: &Work, declaration: &Declaration, value: &str) -> String {
    match upload(work, value).filter(|_| declaration.kind == ValueKind::File) {
        Some(upload) => format!("{}/in/{}", JobDirs::inside(&job), upload.name),
        None => value.to_owned(),
    }
}

/// The run of one replica of a job.
pub(super) fn run_spec(job: &Job, service: &Service, invocation: &Invocation, run: RunRef, dirs: JobDirs) -> RunSpec {
    RunSpec {
        run,
        service: job.service.clone(),
        image: invocation.image.clone(),
        pull: invocation.pull,
        argv: invocation.argv.clone(),
        env: environment(job, service, invocation, &run),
        user: user(service),
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

/// Who the jobs of a service run as.
pub(super) fn user(service: &Service) -> User {
    let own = || User { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() };
    service.user.unwrap_or_else(own)
}

/// The variables of a job: a home, the daemon's own, its parameters, the caller's, the site's; of a repeated name only the
/// last is kept.
fn environment(job: &Job, service: &Service, invocation: &Invocation, run: &RunRef) -> Vec<(String, String)> {
    let inside = JobDirs::inside(&job.id);
    let mut all: Vec<(String, String)> = vec![("HOME".to_owned(), format!("{inside}/home"))];
    let own = own_variables(job.id, &job.work, &inside, Some(run.replica));
    all.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned())));
    all.extend(invocation.parameters.iter().cloned());
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
