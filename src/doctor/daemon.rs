//! The daemon that runs, if one does: what it says of itself, and how many files it may open.

use std::path::{Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Pid;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::finding::{Finding, Subject};
use super::patience::PATIENCE;
use crate::client::print::shown;
use crate::client::{Client, Status};
use crate::config::Config;
use crate::domain::chain;

/// Files beside connections: database, logs of jobs, the engine.
const BESIDE: u64 = 1024;

/// What there is of a daemon.
#[derive(Debug)]
pub(super) struct Running {
    socket: Option<PathBuf>,
    answer: Answer,
    /// Its process.
    pub(super) pid: Option<Pid>,
    /// How many files that may open, once it has raised its limit.
    files: Option<u64>,
}

/// What comes over the administration socket.
#[derive(Debug)]
enum Answer {
    /// How it does.
    Status(Box<Status>),
    /// Nobody listens.
    Nobody(String),
    /// Somebody does, and does not answer as it should.
    Silent(String),
    /// The one who looks may not ask.
    Forbidden,
}

/// Asks the daemon behind `socket`.
pub(super) async fn ask(socket: Option<&Path>) -> Running {
    let Some(socket) = socket else {
        let answer = Answer::Nobody("admin_socket = \"none\"".to_owned());
        return Running { socket: None, answer, pid: None, files: None };
    };
    let (mut answer, mut pid) = (Answer::Silent(format!("no answer within {} s", PATIENCE.as_secs())), None);
    match timeout(PATIENCE, UnixStream::connect(socket)).await {
        Ok(Ok(stream)) => {
            let peer = getsockopt(&stream, PeerCredentials).ok().map(|peer| Pid::from_raw(peer.pid()));
            // Of a socket that the service manager passed on, the peer is the manager.
            pid = peer.filter(|pid| is_daemon(*pid));
            let client = Client::of_operator(socket).with_timeout(PATIENCE);
            match timeout(PATIENCE, client.status()).await {
                Ok(Ok(status)) => {
                    let told = status.pid.and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
                    pid = pid.or(told.filter(|pid| is_daemon(*pid)));
                    answer = Answer::Status(Box::new(status));
                }
                Ok(Err(error)) => answer = Answer::Silent(chain(&error)),
                Err(_) => {}
            }
        }
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => answer = Answer::Forbidden,
        Ok(Err(error)) => answer = Answer::Nobody(error.to_string()),
        Err(_) => {}
    }
    let limits = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/limits")).ok());
    Running { socket: Some(socket.to_owned()), answer, pid, files: limits.as_deref().and_then(open_files) }
}

fn is_daemon(pid: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "uwsd")
}

/// The soft limit of open files; the daemon raises it to the hard one at its start.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

pub(super) fn judge(running: &Running, config: &Config) -> Vec<Finding> {
    let mut findings = vec![answered(running)];
    let wanted = u64::from(config.server.max_connections) + BESIDE;
    if let Some(files) = running.files.filter(|files| *files < wanted) {
        findings.push(Finding::odd(
            Subject::Daemon,
            format!("it may open {files} files, and server.max_connections wants {wanted}"),
            format!("systemctl edit uwsd: LimitNOFILE={wanted} below [Service]; or lower server.max_connections"),
        ));
    }
    findings
}

fn answered(running: &Running) -> Finding {
    let socket = running.socket.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let status = match &running.answer {
        Answer::Status(status) => status,
        Answer::Nobody(why) if socket.is_empty() => {
            return Finding::fine(Subject::Daemon, format!("it was not asked: {why}"));
        }
        Answer::Nobody(why) => {
            return Finding::odd(
                Subject::Daemon,
                format!("no daemon answers at {socket}: {why}"),
                "systemctl start uwsd    # or is another one meant: --config FILE",
            );
        }
        Answer::Silent(why) => {
            return Finding::wrong(
                Subject::Daemon,
                format!("the daemon at {socket} does not answer as it should: {}", shown(why)),
                "journalctl -u uwsd -n 50; systemctl restart uwsd    # jobs that run go on",
            );
        }
        Answer::Forbidden => {
            return Finding::odd(
                Subject::Daemon,
                format!("this user may not ask the daemon at {socket}"),
                "run uwsd doctor as root, or usermod -aG uwsd USER",
            );
        }
    };
    let version = format!("uwsd {} runs since {}", shown(&status.version), shown(&status.up_since));
    let why = shown(status.note.as_deref().unwrap_or("it does not say why"));
    match (status.accepts, status.runs) {
        (true, true) => Finding::fine(
            Subject::Daemon,
            format!("{version}, accepts and runs jobs: {} wait, {} run", status.waiting, status.running_total),
        ),
        _ if status.drained_since.is_some() => {
            Finding::odd(Subject::Daemon, format!("{version}, and an operator drains it: {why}"), "uwsd undrain")
        }
        (false, _) => Finding::wrong(Subject::Daemon, format!("{version} and accepts no jobs: {why}"), "uwsd status"),
        (true, false) => {
            Finding::wrong(Subject::Daemon, format!("{version} and cannot start jobs: {why}"), "uwsd status")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use crate::config::Host;

    fn running(answer: Answer) -> Running {
        Running { socket: Some("/run/uwsd.sock".into()), answer, pid: None, files: None }
    }

    fn status(accepts: bool, runs: bool, drained_since: Option<&str>) -> Answer {
        Answer::Status(Box::new(Status {
            version: "1".into(),
            instance: String::new(),
            pid: None,
            up_since: "today".into(),
            accepts,
            runs,
            backend: "x".into(),
            note: Some("because".into()),
            drained_since: drained_since.map(str::to_owned),
            waiting: 0,
            running_total: 0,
            running: Vec::new(),
        }))
    }

    #[test]
    fn what_the_daemon_says_is_judged() {
        for (answer, state) in [
            (status(true, true, None), State::Fine),
            (status(false, false, Some("today")), State::Odd),
            (status(false, true, None), State::Wrong),
            (status(true, false, None), State::Wrong),
            (Answer::Nobody("x".into()), State::Odd),
            (Answer::Forbidden, State::Odd),
            (Answer::Silent("x".into()), State::Wrong),
        ] {
            let running = running(answer);
            assert_eq!(answered(&running).state, state, "{running:?}");
        }
        let none = Running { socket: None, ..running(Answer::Nobody("none".into())) };
        assert_eq!(answered(&none).state, State::Fine);
    }

    #[test]
    fn too_few_open_files_are_odd() {
        let config = Config::defaults(Path::new("/nowhere"), Host { cpus: 4.0, memory: 8 << 30 });
        let limits = |soft: &str| {
            format!("Limit  Soft Limit  Hard Limit  Units\nMax open files            {soft}   524288   files\n")
        };
        for (soft, count) in [("1024", 2), ("524288", 1), ("unlimited", 1)] {
            let running = Running { files: open_files(&limits(soft)), ..running(Answer::Forbidden) };
            assert_eq!(judge(&running, &config).len(), count, "{soft}");
        }
    }
}
