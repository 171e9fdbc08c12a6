//! PID 1 of the sandbox: starts the command, reaps everything, tells the command's true end.
//!
//! Its own end is the end of everything in the sandbox: the kernel kills what is left in the namespace. It ends when the
//! command has ended, or when its supervisor is gone.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command as Program, ExitCode};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Gid, Pid, Uid, chown};
use rustix::process::{WaitOptions, wait};

use super::messages::{FromInit, PAUSE, RESUME, TERMINATE};
use super::take_standard_input;
use crate::backend::process::descriptors::close_inherited;
use crate::backend::process::entry;
use crate::backend::process::plan::Command;
use crate::backend::process::record::Status;
use crate::ports::{Clock, SystemClock};

/// The main function of the sandbox's init.
pub(in crate::backend::process) fn init_main() -> ExitCode {
    close_inherited();
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody is left to be told: standard error is the job's.
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    // The command may run as this very user: it must not look into this process, nor trace it.
    prctl::set_dumpable(false)?;
    prctl::set_name(c"uwsd-init")?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;

    let mut supervisor = BufReader::new(take_standard_input()?);
    say(supervisor.get_mut(), &FromInit::Ready)?;
    let mut plan = String::new();
    if supervisor.read_line(&mut plan)? == 0 {
        return Ok(());
    }
    let command: Command = serde_json::from_str(&plan)?;
    let pid = match start(&command, plan.as_bytes()) {
        Ok(pid) => pid,
        Err(error) => return say(supervisor.get_mut(), &FromInit::Failed { why: error.to_string() }),
    };
    say(supervisor.get_mut(), &FromInit::Started { at: now() })?;
    attend(&signals, &mut supervisor, pid)
}

/// Starts the command; an error says that it was not executed.
fn start(command: &Command, plan: &[u8]) -> io::Result<Pid> {
    if command.is_switching {
        for secret in &command.secrets {
            chown(secret, Some(Uid::from_raw(command.uid)), Some(Gid::from_raw(command.gid)))?;
        }
    }
    let (mut ours, theirs) = UnixStream::pair()?;
    let child = Program::new("/proc/self/exe").arg(entry::COMMAND).env_clear().stdin(OwnedFd::from(theirs)).spawn()?;
    ours.write_all(plan)?;
    ours.shutdown(Shutdown::Write)?;
    // The other end is closed by the successful execution, or says why there was none.
    let mut why = String::new();
    ours.read_to_string(&mut why)?;
    if !why.is_empty() {
        return Err(io::Error::other(why));
    }
    // From here on the command is reaped like everything else; `Child` does nothing when it is dropped.
    Ok(Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?))
}

/// Reaps until the command has ended and been told of, or the supervisor is gone.
fn attend(signals: &SignalFd, supervisor: &mut BufReader<UnixStream>, command: Pid) -> io::Result<()> {
    loop {
        let [has_signal, has_word] = await_either(signals, supervisor)?;
        if has_signal {
            while let Some(signal) = signals.read_signal()? {
                if i32::try_from(signal.ssi_signo) == Ok(Signal::SIGTERM as i32) {
                    terminate_all();
                }
            }
            if let Some(status) = reap(command)? {
                return say(supervisor.get_mut(), &FromInit::Ended { status, at: now() });
            }
        }
        if has_word {
            let mut word = String::new();
            if supervisor.read_line(&mut word)? == 0 {
                return Ok(());
            }
            match word.trim_end() {
                TERMINATE => terminate_all(),
                PAUSE => {
                    signal_all(Signal::SIGSTOP);
                    say(supervisor.get_mut(), &FromInit::Obeyed)?;
                }
                RESUME => {
                    signal_all(Signal::SIGCONT);
                    say(supervisor.get_mut(), &FromInit::Obeyed)?;
                }
                _ => {}
            }
        }
    }
}

/// Asks everything in the sandbox but init to end; what is halted hears it too.
fn terminate_all() {
    signal_all(Signal::SIGTERM);
    signal_all(Signal::SIGCONT);
}

/// Sends a signal to everything in the sandbox but init, in one sweep of the kernel's: what is being forked is included.
fn signal_all(signal: Signal) {
    let _ = kill(Pid::from_raw(-1), signal); // nobody there is fine
}

/// Whether there is a signal, and whether there is a word of the supervisor's; waits for one of them.
fn await_either(signals: &SignalFd, supervisor: &BufReader<UnixStream>) -> io::Result<[bool; 2]> {
    let has_word = !supervisor.buffer().is_empty();
    let timeout = if has_word { PollTimeout::ZERO } else { PollTimeout::NONE };
    let mut fds =
        [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(supervisor.get_ref().as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, timeout) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok([false, has_word]),
        Err(errno) => return Err(errno.into()),
    }
    let [signal, word] = fds.map(|fd| fd.any().unwrap_or(true));
    Ok([signal, word || has_word])
}

/// Reaps all that has ended; how the command did, if it is among them.
fn reap(command: Pid) -> io::Result<Option<Status>> {
    let mut end = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid.as_raw_pid() == command.as_raw() => end = Some(Status::of(status)),
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(end),
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {} // an orphan of the command's, or nothing
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn say(supervisor: &mut UnixStream, word: &FromInit) -> io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    supervisor.write_all(&line)
}

fn now() -> i64 {
    SystemClock.now().millis()
}
