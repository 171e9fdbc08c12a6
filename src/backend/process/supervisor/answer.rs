//! What a supervisor answers the daemon that had it launched, in one line on its standard output.

use std::fs::File;
use std::io::{self, Write};

use crate::backend::process::backend::refused;
use crate::backend::system::is_full;
use crate::ports::BackendError;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend::process) enum Answer {
    /// The command runs.
    Started,
    /// It was started before.
    Already,
    /// The run was stopped: it will never be started.
    Stopped,
    /// The command could not be started, and never ran.
    Failed(String),
    /// There was no room on the disk to start it.
    NoRoom(String),
}

impl Answer {
    /// That of an error before the command began.
    pub(super) fn of(error: &io::Error) -> Self {
        if is_full(error) { Self::NoRoom(error.to_string()) } else { Self::Failed(error.to_string()) }
    }

    /// Says it and closes standard output, which ends the daemon's waiting.
    pub(super) fn say(&self) -> io::Result<()> {
        let line = match self {
            Self::Started => "started".to_owned(),
            Self::Already => "already".to_owned(),
            Self::Stopped => "stopped".to_owned(),
            Self::Failed(why) => format!("failed {why}"),
            Self::NoRoom(why) => format!("no-room {why}"),
        };
        // A daemon that is gone by now hears it from the run's directory.
        let _ = io::stdout().write_all(line.as_bytes()).and_then(|()| io::stdout().flush());
        nix::unistd::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
        Ok(())
    }

    /// What it means for the start that was asked for.
    pub(in crate::backend::process) fn heard(self, doing: &'static str) -> Result<(), BackendError> {
        match self {
            Self::Started | Self::Already => Ok(()),
            Self::Stopped => Err(refused(doing, "it was stopped")),
            Self::Failed(why) => Err(refused(doing, why)),
            Self::NoRoom(why) => Err(BackendError::DiskFull { doing, why }),
        }
    }

    /// The answer that was said; `None`: the supervisor died before.
    pub(in crate::backend::process) fn parse(text: &str) -> Option<Self> {
        match text {
            "started" => Some(Self::Started),
            "already" => Some(Self::Already),
            "stopped" => Some(Self::Stopped),
            _ => match text.split_once(' ')? {
                ("failed", why) => Some(Self::Failed(why.to_owned())),
                ("no-room", why) => Some(Self::NoRoom(why.to_owned())),
                _ => None,
            },
        }
    }
}
