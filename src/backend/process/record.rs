//! What a supervisor leaves in the run's directory.

use std::io;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::backend::system::is_full;
use crate::domain::{LogBytes, PeakMemory, Timestamp};
use crate::ports::{Ending, How, LogLoss};

/// How a process ended, as the kernel told its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    /// It exited with this code.
    Exited(i32),
    /// This signal killed it.
    Signaled(i32),
}

/// `started.json`: the command may have run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    /// The boot of the host that it was started in.
    pub boot_id: String,
    /// Its supervisor.
    pub supervisor: Process,
}

/// `init.json`: a process that no other can be taken for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    /// Its number, as the host sees it.
    pub pid: i32,
    /// When it started, in clock ticks since the host's boot.
    pub start: u64,
}

/// `exit.json`: how a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exit {
    /// The boot of the host that it ended in.
    pub boot_id: String,
    /// How its command ended.
    pub end: End,
    /// When it was started, in milliseconds since the epoch.
    pub started_at: Option<i64>,
    /// When it ended, likewise.
    pub ended_at: i64,
    /// The most memory that it used, in bytes.
    pub peak_memory: Option<u64>,
    /// Whether some limit was only asked for.
    pub is_advisory: bool,
    /// Bytes that were told on `stdout` and `stderr`.
    pub log_bytes: [u64; 2],
    /// Why some of the logs could not be written.
    pub log_failure: Option<String>,
    /// Whether that was for want of room.
    #[serde(default)]
    pub is_log_full: bool,
}

/// How a run's command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum End {
    /// As its parent was told.
    Status(Status),
    /// It ran out of memory and failed.
    OutOfMemory {
        /// Its exit code, if it had one.
        exit_code: Option<i32>,
    },
    /// It never ran.
    NotStarted(String),
    /// Its command was not started for want of room on the disk.
    NoRoom(String),
}

impl Status {
    /// The status of a process that was reaped; any signal, real-time ones too.
    pub(super) fn of(status: rustix::process::WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(signal)) => Self::Signaled(signal),
            (None, None) => Self::Exited(-1), // stopped or continued: not asked for, never told
        }
    }
}

impl Process {
    /// The process that has this number now.
    pub(super) fn find(pid: i32) -> Option<Self> {
        let facts = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, second, may hold anything; the start is the 22nd field.
        let (_, rest) = facts.rsplit_once(')')?;
        let start = rest.split_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, start })
    }

    /// This process.
    pub(super) fn own() -> std::io::Result<Self> {
        Self::find(nix::unistd::getpid().as_raw()).ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    /// Kills it, if it is there.
    pub(super) fn kill(&self) {
        if self.is_there() {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL); // gone meanwhile is fine
        }
    }

    /// Whether it still runs (or waits to be reaped).
    pub(super) fn is_there(&self) -> bool {
        Self::find(self.pid).as_ref() == Some(self)
    }
}

impl End {
    /// That of a command which `error` kept from starting.
    pub(super) fn before_start(doing: &str, error: &io::Error) -> Self {
        let why = format!("{doing}: {error}");
        if is_full(error) { Self::NoRoom(why) } else { Self::NotStarted(why) }
    }
}

impl Exit {
    /// The end as the supervisor of jobs is told, with what the logs have kept; what is only seen after another boot was the host's doing.
    pub(super) fn ending(self, boot_id: &str, kept: [u64; 2]) -> Ending {
        let how = if self.boot_id == boot_id {
            match self.end {
                End::Status(Status::Exited(code)) => How::Exited(code),
                End::Status(Status::Signaled(signal)) => How::Signaled { signal, exit_code: None },
                End::OutOfMemory { exit_code } => How::OutOfMemory { exit_code },
                End::NotStarted(why) => How::NotStarted(why),
                End::NoRoom(why) => How::NoRoom(why),
            }
        } else {
            How::HostRestarted
        };
        // Of what could not be written not all was counted.
        let bytes = [0, 1].map(|stream| LogBytes { written: self.log_bytes[stream], kept: kept[stream] });
        let logs = self.log_failure.is_none().then_some(bytes);
        Ending {
            how,
            started_at: self.started_at.map(Timestamp::from_millis),
            ended_at: Some(Timestamp::from_millis(self.ended_at)),
            peak_memory: self.peak_memory.map(|bytes| PeakMemory { bytes, is_sampled: false }),
            logs,
            is_advisory: self.is_advisory,
            log_error: self.log_failure.map(|why| LogLoss { why, is_full: self.is_log_full }),
            log_gap: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there_and_a_later_one_of_its_number_is_not_taken_for_it() {
        let own = Process::own().expect("it runs");
        assert!(own.is_there());
        assert!(!Process { start: own.start + 1, ..own }.is_there());
    }

    #[test]
    fn an_exit_seen_after_another_boot_is_the_hosts() {
        let exit = Exit {
            boot_id: "first".into(),
            end: End::Status(Status::Exited(0)),
            started_at: Some(1),
            ended_at: 2,
            peak_memory: None,
            is_advisory: false,
            log_bytes: [0, 0],
            log_failure: None,
            is_log_full: false,
        };
        let unlogged = Exit { log_failure: Some("no room".into()), is_log_full: true, ..exit.clone() };
        let loss = LogLoss { why: "no room".into(), is_full: true };
        assert_eq!(unlogged.ending("first", [0, 0]).log_error, Some(loss));
        let no_room = Exit { end: End::NoRoom("no room".into()), ..exit.clone() };
        assert_eq!(no_room.ending("first", [0, 0]).how, How::NoRoom("no room".into()));
        assert_eq!(exit.clone().ending("first", [0, 0]).how, How::Exited(0));
        assert_eq!(exit.ending("second", [0, 0]).how, How::HostRestarted);
    }
}
