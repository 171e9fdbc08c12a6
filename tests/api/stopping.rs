//! The end of the server: requests in flight finish, idle connections are closed, nothing takes for ever.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use uwsd::config::ListenAddress;
use uwsd::ports::Store;

use crate::bed::{Bed, Daemon, eventually};
use crate::client::{request, whole};
use crate::odd_store::odd;
use crate::uws::{FORM, LIST, create};

/// A PUT whose body is only half sent.
async fn half_a_request(daemon: &Daemon) -> TcpStream {
    let ListenAddress::Tcp(address) = &daemon.addresses[0] else { panic!("TCP") };
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let head = b"PUT /api/v1/job HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Expect: 100-continue\r\nContent-Length: 22\r\n\r\n";
    stream.write_all(head).await.expect("sent");
    // The interim answer tells that the handler waits for the body.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.expect("the server goes on");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{\"command\": ").await.expect("sent");
    stream
}

async fn ended(mut daemon: Daemon, within: Duration) -> Duration {
    let began = Instant::now();
    let served = tokio::time::timeout(within, daemon.server.join_next()).await.expect("ended in time");
    served.expect("one").expect("no panic").expect("served");
    began.elapsed()
}

#[tokio::test]
async fn a_request_in_flight_is_finished_and_no_new_one_begun() {
    let daemon = Bed::without_runs().start().await;
    let mut stream = half_a_request(&daemon).await;
    let mut idle = daemon.client().connect().await;
    whole(idle.send(request("GET", "/healthz", &[], "")).await.expect("answered")).await;
    daemon.stop.cancel();
    crate::bed::eventually("the idle connection to be closed", || async { idle.sender.is_closed().then_some(()) })
        .await;
    stream.write_all(b"\"print 1\"}").await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered and closed");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let ListenAddress::Tcp(address) = daemon.addresses[0].clone() else { panic!("TCP") };
    ended(daemon, Duration::from_secs(4)).await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_request_that_does_not_finish_is_cut_after_the_grace_time() {
    let mut bed = Bed::without_runs();
    bed.config.server.shutdown_grace = Duration::from_millis(300);
    let daemon = bed.start().await;
    let mut stream = half_a_request(&daemon).await;
    daemon.stop.cancel();
    let took = ended(daemon, Duration::from_secs(5)).await;
    assert!(took >= Duration::from_millis(250), "{took:?}");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "no answer to half a request");
}

#[tokio::test]
async fn the_stop_waits_for_what_was_begun_for_a_request() {
    let mut bed = Bed::without_runs();
    bed.is_odd_within = true;
    let (daemon, store) = odd(bed).await;
    let id = create(&daemon, "COMMAND=print+1").await;
    let job = async || daemon.store.job(id.parse().expect("an id")).await.expect("read").expect("there");
    let before = job().await.destruction;
    eventually("earlier connections to end", || async { daemon.tracker.is_empty().then_some(()) }).await;
    store.updates.forget_permits(Semaphore::MAX_PERMITS);

    let (client, path) = (daemon.client(), format!("{LIST}/{id}/destruction"));
    let asked = client.send("POST", &path, &[FORM], "DESTRUCTION=2100-01-01");
    // The connection and the deed; then the client hangs up.
    let begun = eventually("the deed to begin", || async { (daemon.tracker.len() == 2).then_some(()) });
    tokio::select! {
        _ = asked => panic!("it cannot be answered yet"),
        () = begun => {}
    }
    daemon.stop.cancel();
    daemon.tracker.close();
    eventually("the connection to end", || async { (daemon.tracker.len() == 1).then_some(()) }).await;
    let waited = tokio::time::timeout(Duration::from_millis(200), daemon.tracker.wait()).await;
    assert!(waited.is_err(), "the deed is not done yet");
    store.updates.add_permits(1);
    tokio::time::timeout(Duration::from_secs(10), daemon.tracker.wait()).await.expect("it is done");
    assert_ne!(job().await.destruction, before);
}

#[tokio::test]
async fn without_connections_it_ends_at_once() {
    let daemon = Bed::without_runs().start().await;
    let _fresh = daemon.client().connect().await;
    daemon.stop.cancel();
    ended(daemon, Duration::from_secs(2)).await;
}
