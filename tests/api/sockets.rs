//! Listeners and connections: limits in number and time.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uwsd::config::ListenAddress;
use uwsd::http::{BindError, Passed, bind};

use crate::bed::{Bed, Daemon, listener};
use crate::client::{Client, request, whole};

async fn stream(daemon: &Daemon) -> TcpStream {
    let ListenAddress::Tcp(address) = &daemon.addresses[0] else { panic!("TCP") };
    TcpStream::connect(address).await.expect("connected")
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_head_is_cut() {
    let mut bed = Bed::new();
    bed.config.server.header_timeout = Duration::from_millis(300);
    let daemon = bed.start().await;
    let began = Instant::now();
    let mut slow = stream(&daemon).await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: local").await.expect("sent");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), slow.read_to_end(&mut rest)).await.expect("cut in time");
    assert!(ended.is_err() || !rest.starts_with(b"HTTP/1.1 200"), "never answered");
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(daemon.client().get("/healthz").await.text(), "ok");
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_their_turn() {
    let mut bed = Bed::new();
    bed.config.server.max_connections = 2;
    let daemon = bed.start().await;
    let (client, get) = (daemon.client(), || request("GET", "/healthz", &[], ""));
    let mut first = client.connect().await;
    let mut second = client.connect().await;
    for held in [&mut first, &mut second] {
        assert_eq!(whole(held.send(get()).await.expect("answered")).await.status, 200);
    }
    let mut third = client.connect().await;
    let mut waiting = std::pin::pin!(third.send(get()));
    let early = tokio::time::timeout(Duration::from_millis(300), waiting.as_mut()).await;
    assert!(early.is_err(), "answered although two connections were open");
    drop(first);
    assert_eq!(waiting.await.expect("answered").status(), 200);
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let daemon = Bed::new().start().await;
    let mut connection = daemon.client().connect().await;
    for _ in 0..5 {
        let answer = connection.send(request("GET", "/api/v1/job", &[], "")).await.expect("answered");
        assert_eq!(whole(answer).await.text(), "[]");
    }
}

#[tokio::test]
async fn a_unix_socket_answers_to_any_host() {
    let mut bed = Bed::new();
    let path = bed.dir.path().join("uwsd.sock");
    bed.config.server.listeners.push(listener(ListenAddress::Unix(path.clone())));
    let mut daemon = bed.start().await;
    let client = Client::new(ListenAddress::Unix(path.clone()));
    assert_eq!(client.send("GET", "/api/v1/job", &[("host", "whatever")], "").await.status, 200);
    assert_eq!(client.put_json("/api/v1/job", r#"{"command": "print 1"}"#).await.status, 200);
    daemon.stop.cancel();
    daemon.server.join_next().await.expect("one").expect("no panic").expect("served");
    assert!(!path.exists(), "the socket file goes with the daemon");
}

#[tokio::test]
async fn an_address_that_is_taken_says_which_and_what_to_do() {
    let daemon = Bed::new().start().await;
    let mut bed = Bed::new();
    bed.config.server.listeners = vec![listener(daemon.addresses[0].clone())];
    let error = bind(&bed.config.server, Passed::default()).expect_err("taken");
    let ListenAddress::Tcp(address) = &daemon.addresses[0] else { panic!("TCP") };
    assert!(matches!(error, BindError::Refused { .. }));
    assert!(error.to_string().contains(&address.to_string()) && error.to_string().contains("another port"), "{error}");
    bed.config.server.listeners = vec![listener(ListenAddress::Unix(bed.dir.path().join("no/such/dir")))];
    let error = bind(&bed.config.server, Passed::default()).expect_err("no directory");
    assert!(error.to_string().contains("no/such"), "{error}");
}

#[tokio::test]
async fn nonsense_does_not_bother_the_next_client() {
    let daemon = Bed::new().start().await;
    let client = daemon.client();
    for nonsense in
        [&b"\x16\x03\x01\x02\x00\x01"[..], b"\r\n\r\n\r\n\r\nx\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET  \r\n\r\n"]
    {
        client.raw(&[nonsense, &b"\0".repeat(100_000)].concat()).await;
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(200_000));
    assert!(!client.raw(long.as_bytes()).await.starts_with("HTTP/1.1 200"));
    assert_eq!(client.get("/healthz").await.text(), "ok");
}
