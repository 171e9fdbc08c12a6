//! Orders to the running daemon, over its administration socket.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::arguments::{EXIT_CONFIG, Operator};
use super::output::print;
use crate::client::print::shown;
use crate::client::{Client, ClientError, Prefetched, ReloadAnswer, Status};
use crate::config::load;
use crate::domain::chain;

/// How often it is asked whether jobs still run.
const EVERY: Duration = Duration::from_secs(1);
/// Where the daemon of the package listens.
const SYSTEM_SOCKET: &str = "/run/uwsd/uwsd.sock";

/// What is ordered.
#[derive(Debug, Clone)]
pub(super) enum Order {
    /// To tell how it does.
    Status {
        /// As JSON.
        json: bool,
    },
    /// To accept and start no more jobs.
    Drain {
        /// Until none runs.
        wait: bool,
    },
    /// To accept and start jobs again.
    Undrain,
    /// To fetch an image or a repository.
    Prefetch {
        /// Which.
        what: String,
    },
    /// To read the configuration again.
    Reload,
}

/// Gives the order and prints what came of it.
pub(super) fn run(operator: Operator, environment: Vec<(OsString, OsString)>, order: Order) -> ExitCode {
    let socket = match socket(operator, environment) {
        Ok(socket) => socket,
        Err(why) => {
            eprintln!("uwsd: {why}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("uwsd: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let client = Client::of_operator(&socket);
    match runtime.block_on(give(&client, order)) {
        Ok(done) => done,
        Err(error) => fail(&socket, &error),
    }
}

async fn give(client: &Client, order: Order) -> Result<ExitCode, ClientError> {
    match order {
        Order::Status { json } => {
            let status = client.status().await?;
            let code = if status.accepts && status.runs { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            let text = if json { status.to_json() } else { status.to_string() };
            Ok(print(&text, code))
        }
        Order::Drain { wait } => {
            let mut status = client.drain(true).await?;
            while wait && status.running_total > 0 {
                tokio::time::sleep(EVERY).await;
                status = client.status().await?;
            }
            Ok(print(&drained(&status), ExitCode::SUCCESS))
        }
        Order::Undrain => {
            client.drain(false).await?;
            Ok(print("jobs are accepted and started again\n", ExitCode::SUCCESS))
        }
        Order::Prefetch { what } => match client.prefetch(&what, |line| eprintln!("{}", shown(line))).await? {
            Prefetched::Done(text) | Prefetched::Progress(text) => {
                Ok(print(&format!("{}\n", shown(&text)), ExitCode::SUCCESS))
            }
            Prefetched::Failed(why) => {
                eprintln!("uwsd: {}", shown(&why));
                Ok(ExitCode::FAILURE)
            }
        },
        Order::Reload => match client.reload().await? {
            ReloadAnswer::Done(text) => Ok(print(&text, ExitCode::SUCCESS)),
            ReloadAnswer::Refused(why) => {
                eprintln!("uwsd: the old configuration stays in force\n{why}");
                Ok(ExitCode::from(EXIT_CONFIG))
            }
        },
    }
}

fn drained(status: &Status) -> String {
    let running = match status.running_total {
        0 => "no job runs".to_owned(),
        1 => "1 job still runs".to_owned(),
        n => format!("{n} jobs still run"),
    };
    format!("drained: no job is accepted or started until uwsd undrain; {running}\n")
}

/// The administration socket of the daemon that is meant.
fn socket(operator: Operator, environment: Vec<(OsString, OsString)>) -> Result<PathBuf, &'static str> {
    let variable = |name: &str| {
        let found = environment.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| PathBuf::from(value))
    };
    if let Some(socket) = operator.socket.or_else(|| variable("UWSD_SOCKET")) {
        return Ok(socket);
    }
    let runtime = variable("RUNTIME_DIRECTORY");
    // A configuration with a problem is no reason: the daemon is to be asked what it says to it.
    match load(&operator.files.request(environment)) {
        Ok(loaded) => match loaded.config.server.admin_socket {
            Some(socket) => Ok(socket),
            None => Err("the configuration says admin_socket = \"none\": the daemon takes no orders"),
        },
        Err(_) => Ok(runtime.map_or_else(|| PathBuf::from(SYSTEM_SOCKET), |dir| dir.join("uwsd.sock"))),
    }
}

fn fail(socket: &Path, error: &ClientError) -> ExitCode {
    eprintln!("uwsd: {}", why(socket, error));
    ExitCode::FAILURE
}

/// Why it did not work, down to the first cause: a socket that is missing and one that is not for this user look alike else.
fn why(socket: &Path, error: &ClientError) -> String {
    match error {
        ClientError::Unreachable { source, .. } => format!(
            "no daemon answers at {}; is it running (systemctl status uwsd), may this user use its socket (root and group \
             uwsd), and is --socket or --config right? ({})",
            socket.display(),
            shown(&chain(&**source))
        ),
        ClientError::BadUrl { .. }
        | ClientError::Broken { .. }
        | ClientError::TimedOut { .. }
        | ClientError::Refused { .. }
        | ClientError::Malformed { .. }
        | ClientError::Accepted { .. }
        | ClientError::Output(_) => shown(&chain(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_is_not_there_is_told_from_one_where_nobody_listens() {
        let dir = tempfile::tempdir().expect("temp dir");
        let ask = async |socket: &Path| match Client::of_operator(socket).status().await {
            Err(error) => why(socket, &error),
            Ok(status) => panic!("nobody answers, and yet {status:?}"),
        };
        let missing = dir.path().join("missing");
        let deserted = dir.path().join("deserted");
        drop(std::os::unix::net::UnixListener::bind(&deserted).expect("left behind"));
        let (missing, deserted) = (ask(&missing).await, ask(&deserted).await);
        assert!(missing.contains("No such file or directory"), "{missing}");
        assert!(deserted.contains("Connection refused"), "{deserted}");
    }
}
