//! What a supervisor answers the daemon that had it launched, in one line on its standard output.

use std::fs::File;
use std::io::{self, Write};

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
}

impl Answer {
    /// Says it and closes standard output, which ends the daemon's waiting.
    pub(super) fn say(&self) -> io::Result<()> {
        let line = match self {
            Self::Started => "started".to_owned(),
            Self::Already => "already".to_owned(),
            Self::Stopped => "stopped".to_owned(),
            Self::Failed(why) => format!("failed {why}"),
        };
        // A daemon that is gone by now hears it from the run's directory.
        let _ = io::stdout().write_all(line.as_bytes()).and_then(|()| io::stdout().flush());
        nix::unistd::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
        Ok(())
    }

    /// The answer that was said; `None`: the supervisor died before.
    pub(in crate::backend::process) fn parse(text: &str) -> Option<Self> {
        match text {
            "started" => Some(Self::Started),
            "already" => Some(Self::Already),
            "stopped" => Some(Self::Stopped),
            _ => text.strip_prefix("failed ").map(|why| Self::Failed(why.to_owned())),
        }
    }
}
