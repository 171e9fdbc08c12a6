//! What may be given on the command line, and who does it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use super::backup::{Backup, Restore};
use super::check;
use super::database::Database;
use super::doctor::Doctor;
use super::operate::{self, Order};
use super::serve::Serve;
use crate::config::LoadRequest;

/// The exit code of a configuration error, as of a usage error.
pub(super) const EXIT_CONFIG: u8 = 2;

/// A job server for observatory machines: OCPS and IVOA UWS over local containers.
#[derive(Debug, Parser)]
#[command(name = "uwsd", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground.
    ///
    /// Without any configuration it listens on 127.0.0.1:8080 and offers one service, `ocps`, on Docker. SIGTERM or
    /// SIGINT stops it; jobs run on and are adopted at the next start. A second signal stops it at once. SIGHUP makes it
    /// read its configuration again.
    Serve(Serve),
    /// Check the configuration and print it.
    ///
    /// Prints the configuration in force, each value with where it comes from, credentials masked. Exit code 0, or 2
    /// with every problem on standard error. For the process backend it also looks whether bubblewrap works here.
    Check(Files),
    /// Look at this host: what keeps the daemon or its jobs from working, and what to do about it.
    ///
    /// Engine, limits, images, registries, git, disks, database, users, permissions, secrets, clock. What counts is what the
    /// daemon's user may do: the owner of the state directory. Run it as root, or as that user. Nothing is changed. Exit
    /// code 0 if nothing is wrong, 1 if something is, 2 for a configuration that cannot be used.
    Doctor(Doctor),
    /// Show how the running daemon does: whether it accepts and runs jobs, and which.
    ///
    /// Exit code 0 if it accepts jobs and can run them, else 1.
    Status {
        #[command(flatten)]
        operator: Operator,
        /// Print JSON.
        #[arg(long, env = "UWSD_JSON", hide_env_values = true)]
        json: bool,
    },
    /// Accept no new jobs and start none of those that wait; those that run go on.
    ///
    /// It lasts until `uwsd undrain`, over restarts and reboots. New jobs are answered 503 with Retry-After.
    Drain {
        #[command(flatten)]
        operator: Operator,
        /// Return only once no job runs any more.
        #[arg(long, env = "UWSD_WAIT", hide_env_values = true)]
        wait: bool,
    },
    /// Accept and start jobs again.
    Undrain(Operator),
    /// Fetch an image or a git repository before jobs need it, such as in the afternoon before the night.
    ///
    /// The running daemon does it, with its own logins and mirrors: an image as the registry has it now, of a repository every
    /// branch and tag. It goes on if this command is interrupted.
    Prefetch {
        #[command(flatten)]
        operator: Operator,
        /// The name of an image, or the URL of a git repository.
        #[arg(value_name = "IMAGE|URL")]
        what: String,
    },
    /// Make the running daemon read its configuration again, and print what that changes.
    ///
    /// A configuration with a problem is refused as a whole, and the old one stays in force: exit code 2. Some keys need
    /// a restart, which is said.
    Reload(Operator),
    /// Copy the job database into a file, also while the daemon runs.
    ///
    /// What was committed before is in it, and it is checked before it has its name. FILE is an SQLite database in one file
    /// that only its owner can read. The files of jobs and the configuration are not in it.
    Backup(Backup),
    /// Put a backup in the place of the job database, which is kept.
    ///
    /// The daemon must be stopped. The backup is checked first, and keeps the owner that the database had. At the next start
    /// containers of jobs that the backup does not know are removed, jobs that waited then run, also if they have run since,
    /// and jobs that ran then and whose container is gone end as lost.
    Restore(Restore),
    /// Look after the job database.
    #[command(subcommand)]
    Db(Database),
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
#[expect(clippy::doc_markdown, reason = "these texts are printed as help, where backticks are noise")]
pub(super) struct Files {
    /// The configuration file; drop-ins are read from conf.d/*.toml beside it (of NAME.toml: NAME.conf.d).
    ///
    /// Default: /etc/uwsd/uwsd.toml if it exists, else none. [env: UWSD_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl Files {
    /// What the configuration is loaded from.
    pub(super) fn request(self, environment: Vec<(OsString, OsString)>) -> LoadRequest {
        LoadRequest { config: self.config, ..LoadRequest::new(environment) }
    }
}

/// Where the running daemon is.
#[derive(Debug, Clone, Args)]
#[expect(clippy::doc_markdown, reason = "these texts are printed as help, where backticks are noise")]
pub(super) struct Operator {
    #[command(flatten)]
    pub(super) files: Files,
    /// The daemon's administration socket.
    ///
    /// Default: server.admin_socket of the configuration, if that can be read, else $RUNTIME_DIRECTORY/uwsd.sock, else
    /// /run/uwsd/uwsd.sock. [env: UWSD_SOCKET]
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
}

/// The command line, for manuals and completions.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Parses the command line and does what it asks for; `environment` is that of the process.
///
/// Help, version and usage errors end the process here.
#[must_use]
pub fn main(environment: Vec<(OsString, OsString)>) -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(serve) => serve.run(environment),
        Command::Check(files) => check::run(files, environment),
        Command::Doctor(doctor) => doctor.run(environment),
        Command::Status { operator, json } => operate::run(operator, environment, Order::Status { json }),
        Command::Drain { operator, wait } => operate::run(operator, environment, Order::Drain { wait }),
        Command::Undrain(operator) => operate::run(operator, environment, Order::Undrain),
        Command::Prefetch { operator, what } => operate::run(operator, environment, Order::Prefetch { what }),
        Command::Reload(operator) => operate::run(operator, environment, Order::Reload),
        Command::Backup(backup) => backup.run(environment),
        Command::Restore(restore) => restore.run(environment),
        Command::Db(database) => database.run(environment),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable() {
        fn look(command: &clap::Command, seen: &mut usize) {
            for flag in command.get_arguments() {
                let Some(name) = flag.get_long().filter(|name| !["help", "version"].contains(name)) else { continue };
                let variable = format!("UWSD_{}", name.to_uppercase().replace('-', "_"));
                // The configuration reads its variables itself, to tell which value came from where: the help names them.
                let help = flag.get_long_help().or(flag.get_help()).map(ToString::to_string).unwrap_or_default();
                let is_named = [",", "]"].iter().any(|end| help.contains(&format!("[env: {variable}{end}")));
                assert!(flag.get_env() == Some(variable.as_ref()) || is_named, "--{name} of {}", command.get_name());
                *seen += 1;
            }
            command.get_subcommands().for_each(|command| look(command, seen));
        }
        let mut seen = 0;
        look(&command(), &mut seen);
        assert!(seen > 10, "{seen} flags");
    }

    #[test]
    fn serve_takes_several_addresses() {
        let parsed = Arguments::try_parse_from(["uwsd", "serve", "--listen", "127.0.0.1:0", "--listen", "unix:/x"]);
        let Command::Serve(serve) = parsed.expect("fine").command else { panic!("serve was asked for") };
        assert_eq!(serve.listen, ["127.0.0.1:0", "unix:/x"]);
        assert!(Arguments::try_parse_from(["uwsd"]).is_err(), "a command has to be given");
    }
}
