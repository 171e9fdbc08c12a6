//! Where the state is that a command works on.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use nix::fcntl::Flock;

use super::arguments::{EXIT_CONFIG, Files};
use super::check::load_or_say;
use crate::app::{AppError, lock_database, lock_state};
use crate::config::LoadRequest;
use crate::domain::chain;

/// Whose state it is.
#[derive(Debug, Clone, Args)]
#[expect(clippy::doc_markdown, reason = "these texts are printed as help, where backticks are noise")]
pub(super) struct Place {
    #[command(flatten)]
    files: Files,

    /// Where the daemon keeps its state.
    ///
    /// Default: server.state_dir, else $STATE_DIRECTORY, else $XDG_STATE_HOME/uwsd, else $HOME/.local/state/uwsd.
    /// [env: UWSD_STATE_DIR]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// The parts of a state.
pub(super) struct State {
    dir: PathBuf,
    /// The database of jobs.
    pub(super) database: PathBuf,
    /// Where the files of jobs are.
    pub(super) jobs: PathBuf,
}

impl Place {
    /// Finds it by the configuration; what is wrong with that is said, and the exit code returned.
    pub(super) fn find(&self, environment: Vec<(OsString, OsString)>) -> Result<State, ExitCode> {
        let request = LoadRequest { state_dir: self.state_dir.clone(), ..self.files.clone().request(environment) };
        let loaded = load_or_say(&request).ok_or(ExitCode::from(EXIT_CONFIG))?;
        let server = loaded.config.server;
        Ok(State { dir: server.state_dir, database: loaded.config.store.path, jobs: server.jobs_dir })
    }
}

impl State {
    /// Takes state and database for this process, so that no daemon starts on them until the locks are dropped; refuses
    /// while one runs.
    pub(super) fn lock(&self) -> Result<Vec<Flock<File>>, String> {
        // A directory that root made here would not be the daemon's.
        if !self.dir.is_dir() {
            return Err(format!(
                "there is no state directory {}; is --config or --state-dir right? For a daemon that never ran, make it for \
                 the daemon's user first (install -d -m 750 -o uwsd -g uwsd {0})",
                self.dir.display()
            ));
        }
        self.locks().map_err(|error| match error {
            AppError::Running(dir) => format!(
                "a daemon runs on {}; stop it first (systemctl stop uwsd.socket uwsd.service), and start it again afterwards",
                dir.display()
            ),
            error => chain(&error),
        })
    }

    fn locks(&self) -> Result<Vec<Flock<File>>, AppError> {
        let mut locks = vec![lock_state(&self.dir)?];
        // Nor would the database's be, and without it there is no database.
        if self.database.parent().is_some_and(Path::is_dir) {
            locks.extend(lock_database(&self.database, &self.dir)?);
        }
        Ok(locks)
    }
}
