//! Whether this host can run jobs this way.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::supervisor::Arguments;

/// The oldest bubblewrap that can do what is asked of it.
const OLDEST: (u32, u32) = (0, 8);
/// The remedy for most.
const INSTALL: &str = "install it with: apt-get install bubblewrap";

/// Why this host cannot run jobs as processes; the text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is no bubblewrap.
    #[error("backend.process.bwrap: {0} is not there; {INSTALL}")]
    Missing(PathBuf),
    /// It could not be executed.
    #[error("backend.process.bwrap: {0} could not be executed: {1}")]
    NotExecutable(PathBuf, String),
    /// It is too old.
    #[error("backend.process.bwrap: {0} is of version {1:?}; 0.8 or newer is needed (Debian 12 has it)")]
    TooOld(PathBuf, String),
    /// It cannot make a sandbox here.
    #[error(
        "backend.process.bwrap: {0} cannot make a sandbox here: {1}; the kernel must allow user namespaces \
         (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone), in a container also its runtime, and in a chroot / must be a mount point"
    )]
    Unable(PathBuf, String),
    /// The daemon's own executable is not to be found.
    #[error("the executable of uwsd cannot be found: {0}")]
    NoProgram(String),
}

/// The bubblewrap program of this name.
///
/// # Errors
/// [`HostError::Missing`].
pub(super) fn locate(bwrap: &Path) -> Result<PathBuf, HostError> {
    find_program(bwrap, std::env::var_os("PATH").as_deref()).ok_or_else(|| HostError::Missing(bwrap.to_owned()))
}

/// The program `name`, looked for in `path` if it has no directory.
fn find_program(name: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    let is_there = |candidate: &PathBuf| candidate.is_file();
    if name.components().count() > 1 {
        return Some(name.to_owned()).filter(is_there).and_then(|found| std::path::absolute(found).ok());
    }
    let path = path.unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(is_there)
}

/// The version of bubblewrap, once a sandbox of the kind that jobs get was made with it.
pub(super) fn check(bwrap: &Path) -> Result<String, HostError> {
    let own = || bwrap.to_owned();
    let told = run(bwrap, ["--version"]).map_err(|why| HostError::NotExecutable(own(), why))?;
    let version = told.trim().trim_start_matches("bubblewrap ").to_owned();
    if parse(&version).is_none_or(|version| version < OLDEST) {
        return Err(HostError::TooOld(own(), version));
    }
    // What is executed in it is bubblewrap itself, through its link in `/proc`: a program that is surely there.
    let trial =
        Arguments::of_trial(nix::unistd::geteuid().is_root()).map_err(|e| e.to_string()).and_then(|mut args| {
            args.extend(["--", "/proc/self/exe", "--version"].map(Into::into));
            run(bwrap, args)
        });
    trial.map_err(|why| HostError::Unable(own(), why))?;
    Ok(version)
}

fn run(program: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String, String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(if words.is_empty() { output.status.to_string() } else { words })
}

fn parse(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_remedy() {
        assert_eq!(find_program(Path::new("/no/such/bwrap"), None), None);
        assert_eq!(find_program(Path::new("no-such-bwrap"), Some("/usr/bin".as_ref())), None);
        let said = HostError::Missing("bwrap".into()).to_string();
        assert!(said.contains("apt-get install bubblewrap"), "{said}");
    }

    #[test]
    fn a_program_that_is_no_bubblewrap_is_refused() {
        let refused = check(Path::new("/bin/false"));
        assert!(matches!(refused, Err(HostError::NotExecutable(..))), "{refused:?}");
        let refused = check(Path::new("/bin/echo"));
        assert!(matches!(refused, Err(HostError::TooOld(..))), "{refused:?}");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(parse("0.10.0") > parse("0.8.0"));
        assert_eq!(parse("x"), None);
    }
}
