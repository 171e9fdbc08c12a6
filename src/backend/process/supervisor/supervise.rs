//! The supervisor of one run, from the lock to the record of its end.

use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{chdir, setsid};

use super::answer::Answer;
use super::clients::Clients;
use super::watch::Watch;
use crate::backend::process::descriptors::close_inherited;
use crate::backend::process::plan::Plan;
use crate::backend::process::record::{End, Exit, Process, Started};
use crate::backend::process::rundir::RunDir;
use crate::backend::system::{boot_id, is_full};
use crate::ports::{Clock, SystemClock};

/// How long somebody who only looks may hold the lock.
const A_LOOK: Duration = Duration::from_secs(10);

/// How often a sandbox is tried to be made.
const ATTEMPTS: u32 = 3;
/// The time between two attempts.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// The main function of a supervisor.
pub(in crate::backend::process) fn supervisor_main(rundir: &Path) -> ExitCode {
    close_inherited();
    match supervise(&RunDir::at(rundir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = Answer::of(&error).say();
            // Not by `eprintln!`, which panics if there is no room for its words.
            let _ = writeln!(io::stderr(), "the supervisor of {} failed: {error}", rundir.display());
            ExitCode::FAILURE
        }
    }
}

fn supervise(run: &RunDir) -> io::Result<()> {
    setsid()?; // the end of the daemon's terminal or group is not ours
    chdir("/")?;
    prctl::set_name(c"uwsd-run")?;
    prctl::set_child_subreaper(true)?; // whatever happens to bubblewrap, its init's end is told to us

    let Some(_lock) = lock(run)? else { return Answer::Already.say() };
    if run.started()?.is_some() {
        return Answer::Already.say();
    }
    if run.is_stopped()? {
        return Answer::Stopped.say();
    }
    let plan = run.load_plan()?;
    let boot_id = boot_id(&plan.boot_id_file)?;
    let signals = take_signals()?;
    let clients = &mut Clients::new(listen(run)?)?;
    run.note_started(&Started { boot_id: boot_id.clone(), supervisor: Process::own()? })?; // from here on, never again

    let mut is_answered = false;
    let exit = carry_out(run, &plan, clients, &signals, || {
        is_answered = true;
        Answer::Started.say()
    })?;
    let exit = Exit { boot_id, ..exit };
    note_exit(run, &exit)?;
    match exit.end {
        End::NotStarted(_) | End::NoRoom(_) if run.is_stopped()? => Answer::Stopped.say(),
        End::NotStarted(why) => Answer::Failed(why).say(),
        End::NoRoom(why) => Answer::NoRoom(why).say(),
        End::Status(_) | End::OutOfMemory { .. } if is_answered => Ok(()),
        End::Status(_) | End::OutOfMemory { .. } => Answer::Started.say(),
    }
}

/// The run, from the sandbox to its end.
fn carry_out(
    run: &RunDir,
    plan: &Plan,
    clients: &mut Clients,
    signals: &SignalFd,
    mut started: impl FnMut() -> io::Result<()>,
) -> io::Result<Exit> {
    let mut attempt = 1;
    loop {
        let watch = match Watch::begin(run, plan, clients, signals) {
            Ok(watch) => watch,
            Err(error) => return Ok(never_begun(error.to_string())),
        };
        let (exit, is_made) = watch.see_to_the_end(&mut started);
        if is_made || attempt == ATTEMPTS || run.is_stopped()? {
            return Ok(exit);
        }
        // The host's mounts or its configuration may have changed while bubblewrap looked at them. Nothing has run.
        attempt += 1;
        std::thread::sleep(BETWEEN_ATTEMPTS);
    }
}

/// Takes the lock; `None`: the run has a supervisor, or had one.
fn lock(run: &RunDir) -> io::Result<Option<nix::fcntl::Flock<std::fs::File>>> {
    let patience = Instant::now() + A_LOOK;
    loop {
        let lock = run.lock()?;
        if lock.is_some() || run.started()?.is_some() || Instant::now() > patience {
            return Ok(lock);
        }
        std::thread::sleep(Duration::from_millis(2)); // the daemon looks where the run stands
    }
}

fn listen(run: &RunDir) -> io::Result<UnixListener> {
    run.with_control(|path| match UnixListener::bind(path) {
        // Left over from a supervisor that got no further: ours is the lock.
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    })
}

fn take_signals() -> io::Result<SignalFd> {
    let mut wanted = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        wanted.add(signal);
    }
    wanted.thread_block()?;
    Ok(SignalFd::with_flags(&wanted, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

fn never_begun(why: String) -> Exit {
    Exit {
        boot_id: String::new(),
        end: End::NotStarted(why),
        started_at: None,
        ended_at: SystemClock.now().millis(),
        peak_memory: None,
        is_advisory: false,
        log_bytes: [0, 0],
        log_failure: None,
        is_log_full: false,
    }
}

/// Writes the record, however long the disk may be full: without it the run would be taken for lost.
fn note_exit(run: &RunDir, exit: &Exit) -> io::Result<()> {
    loop {
        match run.note_exit(exit) {
            Err(error) if is_full(&error) => {
                std::thread::sleep(Duration::from_secs(1));
            }
            result => return result,
        }
    }
}
