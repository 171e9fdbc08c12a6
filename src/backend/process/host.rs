//! Whether this host can run jobs this way.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};

use super::supervisor::Arguments;
use crate::ports::User;

/// The oldest bubblewrap that can do what is asked of it.
const OLDEST: (u32, u32) = (0, 8);
/// How long a program that is only looked at may take.
const PATIENCE: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);
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

/// The version of bubblewrap, once a sandbox of the kind that jobs get was made with it: by `user`, as whom only root can try, else
/// by this process's own.
pub(super) fn check(bwrap: &Path, user: Option<User>) -> Result<String, HostError> {
    let own = || bwrap.to_owned();
    let told = run(bwrap, ["--version"], user).map_err(|why| HostError::NotExecutable(own(), why))?;
    let version = told.trim().trim_start_matches("bubblewrap ").to_owned();
    if parse(&version).is_none_or(|version| version < OLDEST) {
        return Err(HostError::TooOld(own(), version));
    }
    let is_root = user.map_or_else(|| geteuid().is_root(), |user| user.uid == 0);
    // What is executed in it is bubblewrap itself, through its link in `/proc`: a program that is surely there.
    let trial = Arguments::of_trial(is_root).map_err(|e| e.to_string()).and_then(|mut args| {
        args.extend(["--", "/proc/self/exe", "--version"].map(Into::into));
        run(bwrap, args, user)
    });
    trial.map_err(|why| HostError::Unable(own(), why))?;
    Ok(version)
}

/// What a program prints. It writes into memory and not into pipes: a child of it that lives on must not keep us waiting.
fn run(
    program: &Path,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    user: Option<User>,
) -> Result<String, String> {
    let memory = || memfd_create("uwsd", MFdFlags::MFD_CLOEXEC).map(File::from);
    let (mut out, mut err) = (memory().map_err(|e| e.to_string())?, memory().map_err(|e| e.to_string())?);
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).process_group(0);
    if let Some(User { uid, gid }) = user {
        // Root's further groups go with it; where root looks from may be closed to the other.
        command.uid(uid).gid(gid).current_dir("/");
    }
    command.stdout(out.try_clone().map_err(|e| e.to_string())?).stderr(err.try_clone().map_err(|e| e.to_string())?);
    let status = wait(command.spawn().map_err(|e| e.to_string())?)?;
    let words = |file: &mut File| {
        let mut bytes = Vec::new();
        let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
        read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).map_err(|e| e.to_string())
    };
    if status.success() {
        return words(&mut out);
    }
    let words = words(&mut err)?.trim().to_owned();
    Err(if words.is_empty() { status.to_string() } else { words })
}

/// Waits for the end of a program; one that takes too long is killed.
fn wait(mut child: Child) -> Result<ExitStatus, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            let group = i32::try_from(child.id()).map(Pid::from_raw);
            // It may have ended just now.
            let _ = group.map(|group| killpg(group, Signal::SIGKILL));
            drop(child.wait());
            return Err(format!("it did not end within {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

fn parse(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

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
        let refused = check(Path::new("/bin/false"), None);
        assert!(matches!(refused, Err(HostError::NotExecutable(..))), "{refused:?}");
        let refused = check(Path::new("/bin/echo"), None);
        assert!(matches!(refused, Err(HostError::TooOld(..))), "{refused:?}");
    }

    #[test]
    fn the_trial_is_the_users_that_is_asked_for() {
        if !geteuid().is_root() {
            eprintln!("SKIPPED: only root can try as somebody else");
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("ours");
        let program = dir.path().join("bwrap");
        // Written by another process: of what this one has open for writing a child of it could hold a copy.
        let script =
            r#"[ "$1" = --version ] && echo bubblewrap 0.8.0 && exit; echo "$(id -u):$(id -G) $*" >&2; exit 1"#;
        let write = ["-c", r#"printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod 755 "$1""#, "sh"].map(OsStr::new);
        let write = write.into_iter().chain([program.as_os_str(), script.as_ref()]);
        run(Path::new("/bin/sh"), write, None).expect("written");
        let why = |user| match check(&program, user) {
            Err(HostError::Unable(_, why)) => why,
            other => panic!("{other:?}"),
        };
        let other = why(Some(User { uid: 61_778, gid: 61_779 }));
        assert!(other.starts_with("61778:61779 ") && other.contains("--unshare-user"), "{other}");
        let own = why(None);
        assert!(own.starts_with("0:") && !own.contains("--unshare-user"), "{own}");
    }

    #[test]
    fn a_child_that_lives_on_and_keeps_the_output_is_not_waited_for() {
        let began = Instant::now();
        assert_eq!(run(Path::new("/bin/sh"), ["-c", "sleep 30 & echo said"], None), Ok("said\n".to_owned()));
        assert!(began.elapsed() < PATIENCE);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(parse("0.10.0") > parse("0.8.0"));
        assert_eq!(parse("x"), None);
    }
}
