//! Many large bodies at once take a bounded amount of memory.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use uwsd::config::ListenAddress;

use crate::bed::{Bed, Daemon, eventually};

/// The largest body of the bed's configuration.
const LARGEST: usize = 1 << 20;

/// A PUT of the largest size whose last byte is missing.
async fn a_large_body_that_stalls(daemon: &Daemon) -> TcpStream {
    let ListenAddress::Tcp(address) = &daemon.addresses[0] else { panic!("TCP") };
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let head = format!(
        "PUT /api/v1/job HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {LARGEST}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(&vec![b' '; LARGEST - 1]).await.expect("sent");
    eventually("the daemon to have read what it was sent", || async { nothing_is_unread(&stream).then_some(()) }).await;
    stream
}

/// Whether the other end, a socket of this host as well, has read all that `stream` sent (proc(5), `/proc/net/tcp`).
fn nothing_is_unread(stream: &TcpStream) -> bool {
    let ours = stream.local_addr().expect("an address").port();
    let theirs = stream.peer_addr().expect("an address").port();
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("a table of sockets");
    let from_to = |from: u16, to: u16| {
        let line = sockets
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .find(|line| line[1].ends_with(&format!(":{from:04X}")) && line[2].ends_with(&format!(":{to:04X}")));
        line.expect("both ends are of this host")[4]
            .split_once(':')
            .map(|(sent, read)| (sent.to_owned(), read.to_owned()))
    };
    let (unsent, _) = from_to(ours, theirs).expect("two queues");
    let (_, unread) = from_to(theirs, ours).expect("two queues");
    unsent == "00000000" && unread == "00000000"
}

#[tokio::test]
async fn large_bodies_beyond_the_room_for_all_are_told_to_come_back() {
    let mut bed = Bed::without_runs();
    // As many are accepted as come before the others take the room.
    bed.config.queue.max_queued = 100_000;
    let daemon = bed.start().await;
    let large = serde_json::json!({ "command": "print 1", "url": null, "more": "x".repeat(LARGEST - 1000) });
    let mut stalling = Vec::new();
    for _ in 0..4 {
        // One by one: two that wait for each other's room are refused at about the same time.
        stalling.push(a_large_body_that_stalls(&daemon).await);
    }
    let refused = eventually("a large body to find no room", || async {
        let answer = daemon.put(&large).await;
        (answer.status != 200).then_some(answer)
    });
    let refused = tokio::time::timeout(Duration::from_secs(30), refused).await.expect("in time");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.headers["retry-after"], "10");
    // Whoever sends little is served meanwhile, and with room everyone is.
    daemon.submit("print 1").await;
    drop(stalling);
    let accepted = daemon.put(&large).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text());
}
