//! Sockets that the service manager passes, as systemd does for a socket unit: they outlive the daemon, and so do the
//! requests that wait in them.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::bed::{Bed, Daemon, Engine, UWSD};

/// The daemon with both sockets as its file descriptors 3 and 4.
pub async fn start(bed: &Bed, tcp: &TcpListener, unix: &UnixListener) -> Daemon {
    let passed = |socket: OwnedFd| Stdio::from(socket);
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ exec \"$@\"", "sh", UWSD])
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", "http:local")
        .stdin(passed(tcp.try_clone().expect("cloned").into()))
        .stdout(passed(unix.try_clone().expect("cloned").into()));
    bed.start_by(command, None).await
}

/// The status line of an answer over the Unix socket.
async fn get(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).await.expect("somebody listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn passed_sockets_are_served_and_keep_requests_while_the_daemon_restarts() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("uwsd.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let unix = UnixListener::bind(&path).expect("bound");
    let extra = format!("[[server.listener]]\naddress = \"unix:{}\"\n", path.display());
    let bed = Bed::new(&Engine::Process, &extra).at_port(tcp.local_addr().expect("bound").port());

    let daemon = start(&bed, &tcp, &unix).await;
    assert_eq!(bed.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(get(&path, "/healthz").await, "HTTP/1.1 200 OK");
    // A run outlives the daemon, but must not keep its sockets.
    let id = bed.submit("sleep 1; exit 3").await;
    while bed.get(&format!("/api/v1/job/{id}")).await.json()["phase"] != "executing" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
    assert!(path.exists(), "the file belongs to whoever passed the socket");

    // Nobody answers now, and nobody is turned away.
    let job = format!("/api/v1/job/{id}");
    let mut early = pin!(async { tokio::join!(bed.get(&job), get(&path, "/healthz")) });
    let answered = tokio::time::timeout(Duration::from_millis(300), early.as_mut()).await;
    assert!(answered.is_err(), "answered by nobody");
    let daemon = start(&bed, &tcp, &unix).await;
    let (job, status) = early.await;
    assert_eq!((job.status, status.as_str()), (StatusCode::OK, "HTTP/1.1 200 OK"));
    assert_eq!(bed.ends(&id).await["jobInfo"]["exitCode"], json!(3));
    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
}

#[tokio::test]
async fn passed_sockets_are_the_listeners_where_none_is_configured() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("uwsd.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let unix = UnixListener::bind(&path).expect("bound");
    let address = tcp.local_addr().expect("bound");
    let mut daemon = Command::new("sh")
        .args(["-c", "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ exec \"$@\"", "sh", UWSD])
        .args(["serve", "--backend", "process", "--state-dir"])
        .arg(dir.path().join("state"))
        .env("LISTEN_FDS", "2")
        .stdin(Stdio::from(OwnedFd::from(tcp.try_clone().expect("cloned"))))
        .stdout(Stdio::from(OwnedFd::from(unix.try_clone().expect("cloned"))))
        .spawn()
        .expect("started");
    let answer = tokio::time::timeout(Duration::from_secs(20), get(&path, "/healthz")).await;
    let stream = std::net::TcpStream::connect(address).expect("listens");
    drop((stream, daemon.kill(), daemon.wait()));
    assert_eq!(answer.expect("in time"), "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_passed_socket_that_no_listener_names_stops_the_start_by_name() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("other.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let unix = UnixListener::bind(&path).expect("bound");
    let mut command = Command::new("sh");
    let done = command
        .args(["-c", "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ exec \"$@\"", "sh", UWSD])
        .args(["serve", "--backend", "process", "--listen", &tcp.local_addr().expect("bound").to_string()])
        .arg("--state-dir")
        .arg(dir.path().join("state"))
        .env("LISTEN_FDS", "2")
        .stdin(Stdio::from(OwnedFd::from(tcp)))
        .stdout(Stdio::from(OwnedFd::from(unix)))
        .stderr(Stdio::piped())
        .spawn()
        .expect("started")
        .wait_with_output()
        .expect("ended");
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("passed socket unix:{}", path.display())), "{said}");
}
