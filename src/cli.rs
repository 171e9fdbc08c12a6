//! The command line of `uwsd`, and the way from there to the daemon.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing::{error, info, warn};

use crate::backend::process::{HostError, ProcessBackend};
use crate::config::{Backend, BackendKind, Config, LoadRequest, Loaded, load, show};
use crate::lifecycle::{Lifecycle, raise_open_file_limit};
use crate::{app, telemetry};

/// The exit code of a configuration error, as of a usage error.
const EXIT_CONFIG: u8 = 2;

/// A job server for observatory machines: OCPS and IVOA UWS over local containers.
#[derive(Debug, Parser)]
#[command(name = "uwsd", version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground.
    ///
    /// Without any configuration it listens on 127.0.0.1:8080 and offers one service, `ocps`, on Docker. SIGTERM or
    /// SIGINT stops it; jobs run on and are adopted at the next start. A second signal stops it at once.
    Serve(Serve),
    /// Check the configuration and print it.
    ///
    /// Prints the configuration in force, each value with where it comes from, credentials masked. Exit code 0, or 2
    /// with every problem on standard error. For the process backend it also looks whether bubblewrap works here.
    Check(Check),
}

#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "these texts are printed as help, where backticks are noise")]
struct Check {
    /// The configuration file; drop-ins are read from conf.d/*.toml beside it.
    ///
    /// Default: /etc/uwsd/uwsd.toml if it exists, else none. [env: UWSD_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "these texts are printed as help, where backticks are noise")]
struct Serve {
    #[command(flatten)]
    file: Check,

    /// A further address to listen on; may be repeated.
    ///
    /// With it, the default 127.0.0.1:8080 is only used if the configuration names it. [env: UWSD_LISTEN, with commas
    /// between addresses]
    #[arg(long, value_name = "ADDR:PORT|unix:PATH")]
    listen: Vec<String>,

    /// Where the state is kept.
    ///
    /// Default: server.state_dir, else $STATE_DIRECTORY, else $XDG_STATE_HOME/uwsd, else $HOME/.local/state/uwsd.
    /// [env: UWSD_STATE_DIR]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,

    /// What runs the jobs: docker, process or kubernetes.
    ///
    /// Default: backend.kind, else docker. [env: UWSD_BACKEND]
    #[arg(long, value_name = "KIND")]
    backend: Option<String>,
}

/// Parses the command line and does what it asks for; `environment` is that of the process.
///
/// Help, version and usage errors end the process here.
#[must_use]
pub fn main(environment: Vec<(OsString, OsString)>) -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(serve) => serve.run(environment),
        Command::Check(check) => check.run(environment),
    }
}

impl Check {
    fn run(self, environment: Vec<(OsString, OsString)>) -> ExitCode {
        let request = LoadRequest { config: self.config, ..LoadRequest::new(environment) };
        let Some(loaded) = load_or_say(&request) else { return ExitCode::from(EXIT_CONFIG) };
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        if let Err(problem) = host_can_run(&loaded.config.backend) {
            eprintln!("config: 1 problem\n  {problem}");
            return ExitCode::from(EXIT_CONFIG);
        }
        match io::stdout().write_all(show(&loaded.effective).as_bytes()) {
            // A reader that has seen enough, such as `head`, is no failure.
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                eprintln!("uwsd: failed to print the configuration: {e}");
                ExitCode::FAILURE
            }
            Ok(()) | Err(_) => ExitCode::SUCCESS,
        }
    }
}

impl Serve {
    fn run(self, environment: Vec<(OsString, OsString)>) -> ExitCode {
        let journal_stream = environment.iter().find(|(name, _)| name == "JOURNAL_STREAM");
        let journal_stream = journal_stream.and_then(|(_, value)| value.to_str()).map(str::to_owned);
        let request = LoadRequest {
            config: self.file.config,
            listen: self.listen,
            state_dir: self.state_dir.map(PathBuf::from),
            backend: self.backend,
            ..LoadRequest::new(environment)
        };
        let Some(Loaded { config, warnings, .. }) = load_or_say(&request) else {
            return ExitCode::from(EXIT_CONFIG);
        };
        if let Err(e) = telemetry::init(&config.log, journal_stream.as_deref()) {
            eprintln!("uwsd: {:#}", anyhow::Error::from(e));
            return ExitCode::FAILURE;
        }
        for warning in &warnings {
            warn!("configuration: {warning}");
        }
        match serve(config) {
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

fn load_or_say(request: &LoadRequest) -> Option<Loaded> {
    load(request).inspect_err(|errors| eprintln!("{errors}")).ok()
}

/// Whether this host can run jobs as the configuration says, as far as that does not change from minute to minute: an
/// engine that does not answer now is no problem of the configuration.
fn host_can_run(backend: &Backend) -> Result<(), HostError> {
    match backend.kind {
        BackendKind::Docker => Ok(()),
        BackendKind::Process => ProcessBackend::check_host(&backend.process),
    }
}

fn serve(config: Config) -> Result<(), ServeError> {
    if let Err(e) = raise_open_file_limit() {
        warn!("the limit of open files cannot be raised: {e}");
    }
    let lifecycle = Lifecycle::new(config.server.shutdown_linger + config.server.shutdown_grace);
    // The daemon waits more than it computes: a few workers do, and each has its own share of memory.
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(2, 4))
        .max_blocking_threads(64)
        .thread_name("uwsd-worker")
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let end = runtime.block_on(app::run(config, lifecycle));
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_host_without_bubblewrap_is_a_problem_of_the_process_backend_only() {
        let config = |kind: &str| -> Backend {
            let dir = tempfile::tempdir().expect("temp dir");
            let file = dir.path().join("uwsd.toml");
            let text = format!("[backend]\nkind = {kind:?}\n[backend.process]\nbwrap = \"/no/such/bwrap\"\n");
            std::fs::write(&file, text).expect("written");
            let environment = [("UWSD_STATE_DIR".into(), dir.path().into())];
            load(&LoadRequest { config: Some(file), ..LoadRequest::new(environment) }).expect("fine").config.backend
        };
        let problem = host_can_run(&config("process")).expect_err("no bubblewrap").to_string();
        assert!(problem.starts_with("backend.process.bwrap: /no/such/bwrap "), "{problem}");
        host_can_run(&config("docker")).expect("nobody needs it");
    }

    #[test]
    fn serve_takes_several_addresses() {
        let parsed = Arguments::try_parse_from(["uwsd", "serve", "--listen", "127.0.0.1:0", "--listen", "unix:/x"]);
        let Command::Serve(serve) = parsed.expect("fine").command else { panic!("serve was asked for") };
        assert_eq!(serve.listen, ["127.0.0.1:0", "unix:/x"]);
        assert!(Arguments::try_parse_from(["uwsd"]).is_err(), "a command has to be given");
    }
}
