//! What `uwsd doctor` looks at: whether the programs are there, and whether a repository answers. No job's files are touched.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::git::{Git, PATH};
use super::group;
use super::remote::Remote;
use super::settings::Settings;
use crate::config;
use crate::ports::SourceError;

/// What `git ARGUMENTS` says, in one line, found and run as for a checkout.
///
/// # Errors
/// Why there is no answer, as a fragment.
pub(crate) async fn version_of(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("git");
    command.current_dir("/").env_clear().env("PATH", PATH).env("LC_ALL", "C").env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").args(arguments);
    let done = Box::pin(group::run(command)).await.map_err(|error| error.to_string())?;
    let first = |text: &str| text.lines().next().unwrap_or_default().trim().to_owned();
    if done.status.success() { Ok(first(&done.stdout)) } else { Err(first(&done.stderr)) }
}

/// Where git finds a program.
pub(crate) fn program_in_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(PATH).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// How many branches and tags the repository at `url` has, asked for as for a checkout. `scratch` is a private directory for
/// this alone, which the caller removes.
///
/// # Errors
/// [`SourceError`], with git's own last words and without credentials.
pub(crate) async fn asks(config: &config::Sources, scratch: &Path, url: &str) -> Result<usize, SourceError> {
    let settings = Settings::prepare(config, scratch, &[]).map_err(|error| SourceError::Refused(error.to_string()))?;
    let address = settings.address(url).map_err(SourceError::Refused)?;
    let remote = Remote::new(address, url, config.proxy.as_deref());
    let git = Git { settings: &settings, remote: &remote, mirror: None, directory: &settings.home };
    let arguments = ["ls-remote", "--quiet", "--", &remote.url, "refs/heads/*", "refs/tags/*"];
    let done = git.outside(&arguments.map(OsStr::new)).await?;
    if !done.status.success() {
        return Err(git.failure(&format!("{} does not answer as it should", remote.shown), &done));
    }
    Ok(done.stdout.lines().filter(|line| !line.ends_with("^{}")).count())
}
