//! What a supervisor does while there is a sandbox.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use rustix::process::{WaitOptions, wait};

use super::clients::Clients;
use super::sandbox::Sandbox;
use crate::backend::process::cgroup::{self, Cgroup};
use crate::backend::process::inside::FromInit;
use crate::backend::process::plan::{Limits, Plan};
use crate::backend::process::record::{End, Exit, Process, Status};
use crate::backend::process::rundir::RunDir;
use crate::ports::{Clock, SystemClock};

/// How long the sandbox may take to be made.
const MAKING: Duration = Duration::from_secs(60);
/// How long after a kill the next is tried, if nothing ends meanwhile.
const AGAIN: Duration = Duration::from_secs(1);
/// How much of bubblewrap's words is kept, in bytes.
const WORDS: usize = 4096;

/// How far the run has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Bubblewrap makes the sandbox.
    Making,
    /// Init was told the command.
    Starting,
    /// The command runs.
    Running {
        /// Since when, in milliseconds since the epoch.
        since: i64,
    },
    /// The command was not executed.
    Failed {
        /// Why.
        end: End,
    },
    /// The command ended.
    Ended {
        /// When it had started.
        since: i64,
        /// How it ended.
        status: Status,
        /// When.
        at: i64,
    },
}

/// A run under supervision.
pub(super) struct Watch<'a> {
    run: &'a RunDir,
    plan: &'a Plan,
    clients: &'a mut Clients,
    signals: &'a SignalFd,
    sandbox: Sandbox,
    group: Cgroup,
    name: String,
    stage: Stage,
    /// What bubblewrap said before there was a run.
    words: String,
    /// When everything is killed.
    kill_at: Option<Instant>,
    is_killing: bool,
}

impl<'a> Watch<'a> {
    /// Makes the run's group and starts its sandbox.
    pub(super) fn begin(
        run: &'a RunDir,
        plan: &'a Plan,
        clients: &'a mut Clients,
        signals: &'a SignalFd,
    ) -> io::Result<Self> {
        let name = plan.run().ok_or(ErrorKind::InvalidData)?.name();
        let sandbox = Sandbox::start(plan)?;
        let group = Cgroup::create(&plan.hierarchy, &name, &plan.limits);
        Ok(Self {
            run,
            plan,
            clients,
            signals,
            sandbox,
            group,
            name,
            stage: Stage::Making,
            words: String::new(),
            kill_at: Some(Instant::now() + MAKING),
            is_killing: false,
        })
    }

    /// Stays until nothing of the sandbox is left and the logs are durable; `started` is called when the command runs.
    ///
    /// The second value tells whether the sandbox was made: if not, and nobody stopped it, it may be tried again.
    pub(super) fn see_to_the_end(mut self, mut started: impl FnMut() -> io::Result<()>) -> (Exit, bool) {
        let mut has_word = false;
        loop {
            if has_word {
                self.hear_init(&mut started);
            }
            self.bring_logs();
            self.hear_clients();
            self.hear_signals();
            if is_all_reaped() {
                break;
            }
            self.keep_time();
            has_word = self.wait();
        }
        self.hear_init(&mut started); // its last words
        let is_made = self.stage != Stage::Making;
        (self.conclude(), is_made)
    }

    /// Waits for anything; whether init may have spoken.
    fn wait(&self) -> bool {
        fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
            PollFd::new(fd, PollFlags::POLLIN)
        }
        let timeout = self.kill_at.map_or(PollTimeout::NONE, |at| {
            let left = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let link = self.sandbox.link.fd();
        let others = self.sandbox.logs.iter().filter_map(super::log::Log::pipe).chain(self.clients.fds());
        let mut fds: Vec<PollFd<'_>> =
            link.into_iter().chain([self.signals.as_fd()]).chain(others).map(readable).collect();
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => std::thread::sleep(Duration::from_millis(10)), // want of memory: come round again
        }
        link.is_some() && fds[0].any().unwrap_or(true)
    }

    fn hear_init(&mut self, started: &mut impl FnMut() -> io::Result<()>) {
        for word in self.sandbox.link.hear() {
            self.stage = match (word, &self.stage) {
                (FromInit::Ready, Stage::Making) => self.begin_command(),
                (FromInit::Started { at }, Stage::Starting) => {
                    let _ = started(); // it runs, whoever is told
                    Stage::Running { since: at }
                }
                (FromInit::Failed { why }, Stage::Starting) => Stage::Failed { end: End::NotStarted(why) },
                (FromInit::Obeyed, stage) => {
                    self.clients.obeyed();
                    stage.clone()
                }
                (FromInit::Ended { status, at }, &Stage::Running { since }) => Stage::Ended { since, status, at },
                (_, stage) => stage.clone(), // out of turn
            };
        }
    }

    /// The sandbox is there and waits for its command.
    fn begin_command(&mut self) -> Stage {
        self.hear_bubblewrap();
        let begun = self.sandbox.init().and_then(|pid| {
            // Before the command runs: who comes after us can then see that the sandbox is gone.
            self.run.note_init(&Process::find(pid.as_raw()).ok_or(ErrorKind::NotFound)?)?;
            self.group.join(pid);
            let mut command = self.plan.command.clone();
            if !self.group.is_whole {
                // For root the kernel would count all the user's processes on the host: no limit of the run's.
                let pids = if self.plan.is_root { 0 } else { self.plan.limits.pids };
                command.rlimits = Some(Limits { pids, ..self.plan.limits });
            }
            self.sandbox.link.send(&command)
        });
        match begun {
            Ok(()) => {
                self.kill_at = None;
                Stage::Starting
            }
            Err(error) => {
                self.kill_at = Some(Instant::now());
                Stage::Failed { end: End::before_start("the sandbox failed", &error) }
            }
        }
    }

    fn bring_logs(&mut self) {
        if self.stage == Stage::Making {
            self.hear_bubblewrap();
        } else {
            for log in &mut self.sandbox.logs {
                log.copy();
            }
        }
    }

    /// What standard error brings before there is a run is bubblewrap's, not the run's.
    fn hear_bubblewrap(&mut self) {
        let text = self.sandbox.logs[1].take_text();
        if self.words.len() < WORDS {
            self.words.push_str(&text);
        }
    }

    fn hear_clients(&mut self) {
        let wishes = self.clients.hear();
        for order in wishes.orders {
            match self.stage {
                Stage::Running { .. } => self.sandbox.link.order(order),
                // What does not run needs no order; it is not told yet, or no longer.
                Stage::Making | Stage::Starting | Stage::Failed { .. } | Stage::Ended { .. } => self.clients.obeyed(),
            }
        }
        let Some(grace) = wishes.stop else { return };
        let mut kill_at = Instant::now() + grace;
        match self.stage {
            Stage::Making => kill_at = Instant::now(),
            Stage::Starting | Stage::Running { .. } if !grace.is_zero() => self.sandbox.link.terminate(),
            Stage::Starting | Stage::Running { .. } | Stage::Failed { .. } | Stage::Ended { .. } => {}
        }
        self.kill_at = Some(self.kill_at.map_or(kill_at, |other| other.min(kill_at)));
    }

    fn hear_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            // The host goes down, or an operator means the job: it is asked to end, and we see to its record.
            if i32::try_from(signal.ssi_signo) != Ok(Signal::SIGCHLD as i32) {
                self.sandbox.link.terminate();
            }
        }
    }

    fn keep_time(&mut self) {
        if self.is_killing || self.kill_at.is_some_and(|at| at <= Instant::now()) {
            if self.stage == Stage::Making && !self.run.is_stopped().unwrap_or(false) {
                let why = format!("the sandbox was not made within {} s", MAKING.as_secs());
                self.stage = Stage::Failed { end: End::NotStarted(why) };
            }
            self.is_killing = true;
            self.sandbox.link.cut();
            // Bubblewrap, and whatever it left to us when it died: a child of its that has not come to
            // `--die-with-parent` yet is not taken along.
            for child in children() {
                let _ = kill(child, Signal::SIGKILL); // not reaped yet: it is no other's number
            }
            self.kill_at = Some(Instant::now() + AGAIN);
        }
    }

    /// All is gone: what is left is to write down how it went.
    fn conclude(mut self) -> Exit {
        if self.stage == Stage::Making {
            self.hear_bubblewrap();
        }
        for log in &mut self.sandbox.logs {
            log.finish();
        }
        let has_run_out = self.group.has_run_out();
        let now = SystemClock.now().millis();
        let of = |status: Status| match status {
            Status::Exited(code) if has_run_out && code != 0 => End::OutOfMemory { exit_code: Some(code) },
            Status::Signaled(_) if has_run_out => End::OutOfMemory { exit_code: None },
            Status::Exited(_) | Status::Signaled(_) => End::Status(status),
        };
        // Init is gone without a word: it was killed, and everything with it.
        let killed = of(Status::Signaled(Signal::SIGKILL as i32));
        let (end, started_at, ended_at) = match self.stage {
            Stage::Making => (End::NotStarted(self.why_not_made()), None, now),
            Stage::Failed { end } => (end, None, now),
            Stage::Starting => (killed, None, now),
            Stage::Running { since } => (killed, Some(since), now),
            Stage::Ended { since, status, at } => (of(status), Some(since), at),
        };
        let loss = self.sandbox.logs.iter().find_map(|log| log.failure.clone());
        let exit = Exit {
            boot_id: String::new(),
            end,
            started_at,
            ended_at,
            peak_memory: self.group.peak(),
            is_advisory: !self.group.is_whole,
            log_bytes: self.sandbox.logs.each_ref().map(super::log::Log::told),
            log_failure: loss.as_ref().map(|loss| loss.why.clone()),
            is_log_full: loss.is_some_and(|loss| loss.is_full),
        };
        cgroup::remove(&self.plan.hierarchy, &self.name);
        exit
    }

    fn why_not_made(&self) -> String {
        let words = self.words.trim();
        if self.run.is_stopped().unwrap_or(false) {
            "it was stopped before its command started".to_owned()
        } else if words.is_empty() {
            "bubblewrap ended without a word before the sandbox was made".to_owned()
        } else {
            words.to_owned()
        }
    }
}

/// Reaps; whether nothing is left of bubblewrap, its init and all that was in the sandbox.
fn is_all_reaped() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(None) => return false,
            Err(rustix::io::Errno::CHILD) => return true,
            Ok(Some(_)) | Err(_) => {}
        }
    }
}

/// The children of this process, also those that were left to it.
fn children() -> Vec<Pid> {
    let own = nix::unistd::getpid().to_string();
    let is_ours = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        parent == Some(own.as_str())
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(is_ours).map(Pid::from_raw).collect()
}
