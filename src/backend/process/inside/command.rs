//! The last step: becomes the job's user, gives up every privilege, becomes the command.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command as Program, ExitCode};

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid, setsid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::{dispositions, take_standard_input};
use crate::backend::process::plan::{Command, Limits};

/// How much sooner than the rest of the host a job is chosen when the host itself runs out of memory (0 to 1000).
const OOM_SCORE: &str = "500";

/// Why there is no command.
enum Failure {
    /// A step before it failed, or the system cannot execute anything at the moment.
    Ours(String),
    /// There is no program of that name, or none that can be executed.
    Commands { why: String, code: u8 },
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Ours(why)
    }
}

/// The main function of the step; returns only if the command could not be executed.
pub(in crate::backend::process) fn command_main() -> ExitCode {
    let Ok(mut init) = take_standard_input() else { return ExitCode::FAILURE };
    match become_command(&mut init) {
        Ok(never) => match never {},
        Err(Failure::Ours(why)) => {
            let _ = init.write_all(why.as_bytes());
            ExitCode::FAILURE
        }
        // A fault of the job's, told where a shell tells it and as one does. Init hears of no failure: the command has run.
        Err(Failure::Commands { why, code }) => {
            let _ = writeln!(io::stderr(), "{why}");
            ExitCode::from(code)
        }
    }
}

fn become_command(init: &mut impl Read) -> Result<Infallible, Failure> {
    let mut plan = Vec::new();
    init.read_to_end(&mut plan).map_err(|e| format!("the plan could not be read: {e}"))?;
    let command: Command = serde_json::from_slice(&plan).map_err(|e| format!("the plan is damaged: {e}"))?;
    let step = |doing: &'static str| move |e: io::Error| format!("failed to {doing}: {e}");

    setsid().map_err(io::Error::from).map_err(step("begin a session"))?;
    umask(Mode::from_bits_truncate(0o022));
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE); // already higher is fine
    if let Some(limits) = &command.rlimits {
        ask_for(limits).map_err(step("set limits"))?;
    }
    if command.is_switching {
        switch_user(&command).map_err(step("become the job's user"))?;
    }
    drop_privileges().map_err(step("give up privileges"))?;
    std::env::set_current_dir(&command.cwd).map_err(|e| format!("no working directory {}: {e}", command.cwd))?;
    dispositions::reset().map_err(step("reset signals"))?;
    SigSet::empty().thread_set_mask().map_err(io::Error::from).map_err(step("unblock signals"))?;

    let (program, args) = command.argv.split_first().ok_or_else(|| "the command is empty".to_owned())?;
    let error = Program::new(program).args(args).env_clear().envs(command.env).exec();
    let why = format!("{program}: {error}");
    Err(match code_of(&error) {
        Some(code) => Failure::Commands { why, code },
        None => Failure::Ours(why),
    })
}

/// With which code a shell ends that cannot execute its command for this error; `None`: it is not the program's fault.
fn code_of(error: &io::Error) -> Option<u8> {
    match Errno::from_raw(error.raw_os_error()?) {
        Errno::ENOENT | Errno::ENOTDIR => Some(127),
        Errno::EACCES | Errno::ENOEXEC | Errno::EISDIR | Errno::ELOOP | Errno::ENAMETOOLONG => Some(126),
        _ => None,
    }
}

/// Limits for each process: the kernel keeps them for a process or a user, not for the run; so they are advisory.
fn ask_for(limits: &Limits) -> io::Result<()> {
    if limits.memory > 0 {
        // What is written to, not what is merely reserved (RLIMIT_AS): Java and Go reserve much more than they use.
        lower(Resource::RLIMIT_DATA, limits.memory)?;
    }
    if limits.pids > 0 {
        lower(Resource::RLIMIT_NPROC, u64::from(limits.pids) + 1)?;
    }
    Ok(())
}

fn lower(resource: Resource, to: u64) -> io::Result<()> {
    let (_, hard) = nix::sys::resource::getrlimit(resource)?;
    let to = to.min(hard);
    Ok(setrlimit(resource, to, to)?)
}

fn switch_user(command: &Command) -> io::Result<()> {
    for number in 0..u64::BITS {
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL) => break, // beyond the kernel's last
            Err(errno) => return Err(errno.into()),
        }
    }
    let (uid, gid) = (Uid::from_raw(command.uid), Gid::from_raw(command.gid));
    let groups: Vec<Gid> = command.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups)?;
    setresgid(gid, gid, gid)?;
    Ok(setresuid(uid, uid, uid)?)
}

fn drop_privileges() -> io::Result<()> {
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    nix::sys::prctl::set_no_new_privs()?;
    Ok(())
}
