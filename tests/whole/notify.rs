//! What systemd is told: when requests are answered, that all is well, and that the daemon stops.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use http::StatusCode;
use nix::sys::signal::Signal;
use rusqlite::Connection;

use crate::bed::{Bed, Daemon, Engine, UWSD};
use crate::program::{database, names};

/// What the watchdog allows; the daemon feeds it twice in this time.
const ALLOWED: Duration = Duration::from_secs(4);

/// systemd's end of the notices.
struct Systemd(UnixDatagram);

impl Systemd {
    fn at(path: &Path) -> Self {
        Self(UnixDatagram::bind(path).expect("bound"))
    }

    /// The next notice, if one comes in this time.
    fn hears(&self, within: Duration) -> Option<String> {
        let mut notice = [0; 1024];
        self.0.set_read_timeout(Some(within)).expect("a time");
        match self.0.recv(&mut notice) {
            Ok(length) => Some(String::from_utf8_lossy(&notice[..length]).trim().to_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next one but for the watchdog's.
    fn hears_of_a_change(&self) -> String {
        loop {
            let notice = self.hears(Duration::from_secs(30)).expect("a notice");
            if notice != "WATCHDOG=1" {
                return notice;
            }
        }
    }
}

/// A daemon as `Type=notify` with a watchdog starts it; it is not waited for.
fn begin(bed: &Bed, socket: &Path) -> Daemon {
    let mut command = Command::new(UWSD);
    command.stdin(Stdio::null()).env_remove("WATCHDOG_PID");
    command.env("NOTIFY_SOCKET", socket).env("WATCHDOG_USEC", ALLOWED.as_micros().to_string());
    bed.spawn(command)
}

#[tokio::test]
async fn ready_is_told_when_requests_are_answered_and_not_before() {
    let bed = Bed::new(&Engine::Process, "");
    let socket = bed.path().join("notify");
    let systemd = Systemd::at(&socket);
    // An older database, which somebody holds: the start has its backup made, and waits for it (10 s at most) before it changes it.
    let state = bed.path().join("state");
    std::fs::create_dir(&state).expect("made");
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/schema-4.sql");
    let connection = Connection::open(database(&bed)).expect("made");
    connection.execute_batch(&std::fs::read_to_string(fixture).expect("there")).expect("filled");
    connection.pragma_update(None, "journal_mode", "WAL").expect("set");
    connection.execute_batch("BEGIN IMMEDIATE").expect("held");

    let daemon = begin(&bed, &socket);
    let is_backed_up = async || names(&state).iter().any(|name| name.starts_with("uwsd.db.schema-4-"));
    bed.until("the backup", is_backed_up).await;
    // Its port is bound, so this is a request that waits.
    let request = bed.request("GET", "/healthz", &[], "");
    assert!(tokio::time::timeout(Duration::from_secs(1), request).await.is_err(), "it answers:\n{}", bed.log());
    assert_eq!(systemd.hears(Duration::from_millis(1)), None);

    connection.execute_batch("ROLLBACK").expect("let go");
    assert_eq!(systemd.hears(Duration::from_secs(30)).as_deref(), Some("READY=1"), "{}", bed.log());
    assert_eq!(bed.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
}

#[tokio::test]
async fn the_watchdog_is_fed_twice_in_its_time_and_the_stop_is_told() {
    let bed = Bed::new(&Engine::Process, "");
    let socket = bed.path().join("notify");
    let systemd = Systemd::at(&socket);
    let mut daemon = begin(&bed, &socket);
    assert_eq!(systemd.hears(Duration::from_secs(30)).as_deref(), Some("READY=1"), "{}", bed.log());

    let mut fed = Vec::new();
    while fed.len() < 4 {
        assert_eq!(systemd.hears(ALLOWED).as_deref(), Some("WATCHDOG=1"), "{fed:?}:\n{}", bed.log());
        fed.push(Instant::now());
    }
    // Three halves of it; a first one that came late shortens them.
    let took = fed[3] - fed[0];
    assert!(took > ALLOWED && took < ALLOWED * 2, "{took:?}");

    daemon.signal(Signal::SIGTERM);
    assert_eq!(systemd.hears_of_a_change(), "STOPPING=1");
    assert_eq!(daemon.dies().await, Some(0), "{}", bed.log());
}
