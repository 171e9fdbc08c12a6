//! `uwsd serve`: from a checked configuration to the daemon.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tracing::{error, info, warn};

use super::arguments::{EXIT_CONFIG, Files};
use super::check::load_or_say;
use crate::app::{self, Setup};
use crate::config::{Config, LoadRequest};
use crate::lifecycle::{Lifecycle, raise_open_file_limit};
use crate::telemetry;

#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "these texts are printed as help, where backticks are noise")]
pub(super) struct Serve {
    #[command(flatten)]
    files: Files,

    /// A further address to listen on; may be repeated.
    ///
    /// With it, the default 127.0.0.1:8080 is only used if the configuration names it. [env: UWSD_LISTEN, with commas
    /// between addresses]
    #[arg(long, value_name = "ADDR:PORT|unix:PATH")]
    pub(super) listen: Vec<String>,

    /// Where the state is kept.
    ///
    /// Default: server.state_dir, else $STATE_DIRECTORY, else $XDG_STATE_HOME/uwsd, else $HOME/.local/state/uwsd.
    /// [env: UWSD_STATE_DIR]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,

    /// What runs the jobs: docker or process; kubernetes is not in this build.
    ///
    /// Default: backend.kind, else docker. [env: UWSD_BACKEND]
    #[arg(long, value_name = "KIND")]
    backend: Option<String>,
}

impl Serve {
    pub(super) fn run(self, environment: Vec<(OsString, OsString)>) -> ExitCode {
        let journal_stream = environment.iter().find(|(name, _)| name == "JOURNAL_STREAM");
        let journal_stream = journal_stream.and_then(|(_, value)| value.to_str()).map(str::to_owned);
        let request = LoadRequest {
            listen: self.listen,
            state_dir: self.state_dir.map(PathBuf::from),
            backend: self.backend,
            ..self.files.request(environment)
        };
        let Some(loaded) = load_or_say(&request) else { return ExitCode::from(EXIT_CONFIG) };
        let Config { log, server, .. } = &loaded.config;
        let log = match telemetry::init(log, &server.instance, journal_stream.as_deref()) {
            Ok(log) => log,
            Err(e) => {
                eprintln!("uwsd: {:#}", anyhow::Error::from(e));
                return ExitCode::FAILURE;
            }
        };
        for warning in &loaded.warnings {
            warn!("configuration: {warning}");
        }
        match serve(Setup { request, loaded, log: Some(log) }) {
            Ok(()) => {
                info!("stopped");
                ExitCode::SUCCESS
            }
            Err(e) => {
                let code = e.exit_code();
                error!("{:#}", anyhow::Error::from(e));
                code
            }
        }
    }
}

fn serve(setup: Setup) -> Result<(), ServeError> {
    if let Err(e) = raise_open_file_limit() {
        warn!("the limit of open files cannot be raised: {e}");
    }
    let server = &setup.loaded.config.server;
    let lifecycle = Lifecycle::new(server.shutdown_linger + server.shutdown_grace);
    // The daemon waits more than it computes: a few workers do, and each has its own share of memory.
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(2, 4))
        .max_blocking_threads(64)
        .thread_name("uwsd-worker")
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let end = runtime.block_on(app::run(setup, lifecycle));
    // What was left behind on blocking threads must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    end.map_err(ServeError::App)
}

/// Why the daemon did not run or did not end well.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("the runtime cannot be started")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    App(#[from] app::AppError),
}

impl ServeError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::App(error) if error.is_configuration() => ExitCode::from(EXIT_CONFIG),
            Self::App(_) | Self::Runtime(_) => ExitCode::FAILURE,
        }
    }
}
