//! Clients that poll and never try again, while the daemon is restarted under them: with sockets that somebody else keeps
//! open, as systemd does, none of them is ever turned away or told something untrue.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::bed::{Bed, Engine};
use crate::passed::start;

/// How often the daemon is restarted.
const RESTARTS: u32 = 100;
/// How often it is killed.
const KILLS: u32 = 30;
/// How long a client may not have heard of the end of a connection that it keeps: what it sends there meanwhile is in flight too.
const UNHEARD: Duration = Duration::from_millis(50);
/// How often each client asks: more often than the control system does, so that more hits the moments that matter.
const EVERY: Duration = Duration::from_millis(25);

/// One that polls a job.
struct Poller {
    port: u16,
    path: String,
    is_kept_alive: bool,
    connection: Option<SendRequest<Empty<Bytes>>>,
    drivers: JoinSet<()>,
    /// Whether a request that could not be sent, since its connection had broken unnoticed, is sent on a new one.
    sends_again: bool,
}

/// Why a request came to nothing.
enum Failure {
    /// It was never sent: the connection was closed.
    Unsent,
    Other(String),
}

impl Poller {
    /// The phase that one request is told; there is no second try.
    async fn ask(&mut self) -> Result<String, String> {
        // What any client does: a connection that was closed meanwhile is none.
        let connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let answer = match self.request(connection).await {
            // The connection had broken unnoticed, and the request was never sent.
            Err(Failure::Unsent) if self.sends_again => {
                let connection = self.connect().await?;
                self.request(connection).await
            }
            answer => answer,
        };
        let (phase, connection) = answer.map_err(|failure| match failure {
            Failure::Unsent => "the connection was closed before the request".to_owned(),
            Failure::Other(why) => why,
        })?;
        self.connection = connection.filter(|_| self.is_kept_alive);
        Ok(phase)
    }

    async fn connect(&mut self) -> Result<SendRequest<Empty<Bytes>>, String> {
        let stream =
            TcpStream::connect(("127.0.0.1", self.port)).await.map_err(|error| format!("connecting: {error}"))?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(|error| format!("speaking: {error}"))?;
        self.drivers.spawn(async move { drop(driver.await) });
        Ok(sender)
    }

    async fn request(
        &self,
        mut connection: SendRequest<Empty<Bytes>>,
    ) -> Result<(String, Option<SendRequest<Empty<Bytes>>>), Failure> {
        let request = Request::get(&self.path).header("host", "localhost").body(Empty::new()).expect("a request");
        let other = |why: String| Failure::Other(why);
        let answer = connection
            .send_request(request)
            .await
            .map_err(|error| if error.is_canceled() { Failure::Unsent } else { other(format!("asking: {error:?}")) })?;
        let (status, is_last) =
            (answer.status(), answer.headers().get("connection").is_some_and(|value| value == "close"));
        let body = answer.into_body().collect().await.map_err(|error| other(format!("reading: {error:?}")))?.to_bytes();
        if status != 200 {
            return Err(other(format!("{status}: {}", String::from_utf8_lossy(&body))));
        }
        let job: serde_json::Value = serde_json::from_slice(&body).map_err(|error| other(error.to_string()))?;
        // What any client does that reads the headers.
        let phase = job["phase"].as_str().unwrap_or_default().to_owned();
        Ok((phase, (!is_last).then_some(connection)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_polls_is_never_turned_away_while_the_daemon_is_restarted_a_hundred_times() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("uwsd.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let unix = UnixListener::bind(&path).expect("bound");
    let port = tcp.local_addr().expect("bound").port();
    // Longer than anybody rests here; a connection of the test's own that nobody uses costs each restart so much.
    let linger = "[server]\nshutdown_linger = \"300ms\"\n";
    let extra = format!("{linger}[[server.listener]]\naddress = \"unix:{}\"\n", path.display());
    let bed = Bed::new(&Engine::Process, &extra).at_port(port);
    let mut daemon = start(&bed, &tcp, &unix).await;
    let id = bed.submit("sleep 1000").await;
    while bed.get(&format!("/api/v1/job/{id}")).await.json()["phase"] != "executing" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (is_over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut pollers = JoinSet::new();
    for is_kept_alive in [true, false, true, false] {
        let (is_over, asked) = (Arc::clone(&is_over), Arc::clone(&asked));
        let path = format!("/api/v1/job/{id}");
        let mut poller =
            Poller { port, path, is_kept_alive, connection: None, drivers: JoinSet::new(), sends_again: false };
        pollers.spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                let told = poller.ask().await;
                assert_eq!(told.as_deref(), Ok("executing"), "kept alive: {is_kept_alive}");
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(EVERY).await;
            }
        });
    }
    for restart in 0..RESTARTS {
        // At any moment of the pollers' lives.
        tokio::time::sleep(Duration::from_millis(u64::from(restart % 10) * 5)).await;
        assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
        daemon = start(&bed, &tcp, &unix).await;
        assert!(pollers.try_join_next().is_none(), "somebody was turned away");
    }
    is_over.store(true, Ordering::SeqCst);
    pollers.join_all().await;
    println!("{} requests over {RESTARTS} restarts, none failed", asked.load(Ordering::SeqCst));
    let answer = bed.request("DELETE", &format!("/api/v1/job/{id}"), &[], "").await;
    assert_eq!(answer.status, 200);
    bed.leaves_no_run(&[id]).await;
    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_only_requests_in_flight_fail() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("uwsd.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let unix = UnixListener::bind(&path).expect("bound");
    let port = tcp.local_addr().expect("bound").port();
    let extra = format!("[[server.listener]]\naddress = \"unix:{}\"\n", path.display());
    let bed = Bed::new(&Engine::Process, &extra).at_port(port);
    let mut daemon = start(&bed, &tcp, &unix).await;
    let id = bed.submit("sleep 1000").await;
    while bed.get(&format!("/api/v1/job/{id}")).await.json()["phase"] != "executing" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let mut pollers = JoinSet::new();
    for is_kept_alive in [true, false, true, false] {
        let is_over = Arc::clone(&is_over);
        let path = format!("/api/v1/job/{id}");
        let mut poller =
            Poller { port, path, is_kept_alive, connection: None, drivers: JoinSet::new(), sends_again: true };
        pollers.spawn(async move {
            let (mut asked, mut failed) = (0_u32, Vec::new());
            while !is_over.load(Ordering::SeqCst) {
                let sent = Instant::now();
                match poller.ask().await {
                    Ok(phase) => assert_eq!(phase, "executing"),
                    Err(why) => failed.push((sent, Instant::now(), why)),
                }
                asked += 1;
                tokio::time::sleep(EVERY).await;
            }
            (asked, failed)
        });
    }
    let mut kills = Vec::new();
    for kill in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(100 + u64::from(kill % 10) * 5)).await;
        let before = Instant::now();
        daemon.kill();
        kills.push((before, Instant::now()));
        daemon = start(&bed, &tcp, &unix).await;
    }
    is_over.store(true, Ordering::SeqCst);
    let (mut all, mut in_flight) = (0, 0);
    for (asked, failed) in pollers.join_all().await {
        all += asked;
        in_flight += failed.len();
        for (sent, heard, why) in failed {
            let was_in_flight = kills.iter().any(|(before, after)| sent <= *after + UNHEARD && heard >= *before);
            assert!(was_in_flight, "{why}: sent and failed with no kill in between");
        }
    }
    println!("{all} requests over {KILLS} kills; {in_flight} failed, all of them in flight");
    assert!(in_flight <= 4 * KILLS as usize, "at most one of each client at each kill");
    bed.request("DELETE", &format!("/api/v1/job/{id}"), &[], "").await;
    bed.leaves_no_run(&[id]).await;
    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
}
