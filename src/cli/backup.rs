//! `uwsd backup` and `uwsd restore`: the job database into a file, and back.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::print;
use super::place::{Place, State};
use crate::domain::{Phase, chain, shown_bytes};
use crate::ports::{Clock, SystemClock};
use crate::sqlite::{BackedUp, Restored, backup, restore};

/// What becomes a backup.
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The file to make; it must not exist yet.
    #[arg(value_name = "FILE", value_parser = file)]
    file: PathBuf,

    /// Replace FILE if it exists, once the new one is whole.
    #[arg(long, env = "UWSD_FORCE", hide_env_values = true)]
    force: bool,

    #[command(flatten)]
    place: Place,
}

/// What is restored.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// A backup: of uwsd backup, or one that the daemon made before it changed the schema.
    #[arg(value_name = "FILE", value_parser = file)]
    file: PathBuf,

    /// Let the daemon start no job until uwsd undrain, to look first at what waits in the backup.
    #[arg(long, env = "UWSD_DRAINED", hide_env_values = true)]
    drained: bool,

    #[command(flatten)]
    place: Place,
}

/// The name of a file.
fn file(text: &str) -> Result<PathBuf, String> {
    if text == "-" {
        return Err("standard input and output cannot be used: a database is checked before it has its name".to_owned());
    }
    Ok(PathBuf::from(text))
}

impl Backup {
    pub(super) fn run(&self, environment: Vec<(OsString, OsString)>) -> ExitCode {
        let state = match self.place.find(environment) {
            Ok(state) => state,
            Err(code) => return code,
        };
        match backup(&state.database, &self.file, self.force) {
            Ok(BackedUp { size, schema, jobs }) => {
                let text = format!(
                    "backed up {} to {}\n  {}, schema {schema}, {jobs}\n  not in it: the files of the jobs, in {}, and the \
                     configuration\n",
                    state.database.display(),
                    self.file.display(),
                    shown_bytes(size),
                    state.jobs.display(),
                );
                print(&text, ExitCode::SUCCESS)
            }
            Err(error) => {
                eprintln!("uwsd: no backup was made: {}", chain(&error));
                ExitCode::FAILURE
            }
        }
    }
}

impl Restore {
    pub(super) fn run(&self, environment: Vec<(OsString, OsString)>) -> ExitCode {
        let state = match self.place.find(environment) {
            Ok(state) => state,
            Err(code) => return code,
        };
        match self.restored(&state) {
            Ok(restored) => print(&self.told(&state, &restored), ExitCode::SUCCESS),
            Err(why) => {
                eprintln!("uwsd: nothing was restored, the database is as it was: {why}");
                ExitCode::FAILURE
            }
        }
    }

    fn restored(&self, state: &State) -> Result<Restored, String> {
        let _lock = state.lock()?;
        restore(&self.file, &state.database, SystemClock.now(), self.drained).map_err(|error| chain(&error))
    }

    fn told(&self, state: &State, restored: &Restored) -> String {
        let Restored { kept, schema, newest, jobs } = restored;
        let mut text =
            format!("restored {} from {}\n  schema {schema}, {jobs}\n", state.database.display(), self.file.display());
        let mut line = |words: String| writeln!(text, "  {words}").expect("into a text");
        match kept {
            Some(kept) => line(format!("what it replaces is kept as {}", kept.display())),
            None => line("there was no database before".to_owned()),
        }
        if schema < newest {
            line(format!("the next start of this version brings its schema to {newest}, after a backup of its own"));
        }
        match (jobs.of(&[Phase::Queued]), self.drained) {
            (_, true) => line("no job is started until uwsd undrain".to_owned()),
            (0, false) => {}
            (1, false) => line("1 job that waited then runs at the next start, also if it has run since".to_owned()),
            (n, false) => {
                line(format!("{n} jobs that waited then run at the next start, also those that have run since"));
            }
        }
        text + "start the daemon: systemctl start uwsd, or uwsd serve\n"
    }
}
