//! Requests that wait: what ten thousand of them cost in memory, and how soon a change reaches one.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use tokio::task::JoinSet;
use uwsd::lifecycle::raise_open_file_limit;

use crate::load::connect;
use crate::memory::{Daemon, free_port};

const WAITING: usize = 10_000;

async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    method: &str,
    path: &str,
    form: &'static str,
) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from_static(form.as_bytes())))
        .expect("a request");
    sender.ready().await.expect("ready");
    let answer = sender.send_request(request).await.expect("answered");
    let (status, location) =
        (answer.status(), answer.headers().get("location").map(|at| at.to_str().expect("ASCII").to_owned()));
    answer.into_body().collect().await.expect("read");
    (status, location.unwrap_or_default())
}

/// The path of a new PENDING job.
async fn pending(sender: &mut SendRequest<Full<Bytes>>) -> String {
    let (status, location) = ask(sender, "POST", "/api/ocps/async", "COMMAND=true").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    location.split_once("//127.0.0.1").map(|(_, path)| path.to_owned()).expect("an absolute URL")
}

pub fn measure() {
    raise_open_file_limit().expect("the limit can be raised");
    let dir = tempfile::tempdir().expect("temp dir");
    let port = free_port();
    let daemon = Daemon::start(dir.path(), port);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        let mut front = connect(port, &mut tasks).await;
        println!("requests that wait (aim: {WAITING} of them cost less than 150 MiB; a change arrives in under 5 ms)");
        let mut late = Vec::new();
        for _ in 0..200 {
            let job = pending(&mut front).await;
            let mut waiter = connect(port, &mut tasks).await;
            let path = format!("{job}?WAIT=30");
            let mut waiting = JoinSet::new();
            waiting.spawn(async move {
                let (status, _) = ask(&mut waiter, "GET", &path, "").await;
                (status, Instant::now())
            });
            tokio::time::sleep(Duration::from_millis(5)).await;
            let path = format!("{job}/phase");
            let (status, _) = ask(&mut front, "POST", &path, "PHASE=ABORT").await;
            let committed = Instant::now();
            assert_eq!(status, StatusCode::SEE_OTHER);
            let (status, told) = waiting.join_next().await.expect("one").expect("answered");
            assert_eq!(status, StatusCode::OK);
            late.push(told.saturating_duration_since(committed));
        }
        late.sort_unstable();
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        println!(
            "{:>40} {:>8.3} ms, at most {:.3} ms",
            "a change after its commit, median",
            ms(late[100]),
            ms(late[199])
        );

        let before = daemon.resident_mib();
        let job = pending(&mut front).await;
        let mut waiting = JoinSet::new();
        for _ in 0..WAITING {
            let mut waiter = connect(port, &mut tasks).await;
            let path = format!("{job}?WAIT=60");
            waiting.spawn(async move { ask(&mut waiter, "GET", &path, "").await.0 });
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        let during = daemon.resident_mib();
        println!("{:>40} {:>8.1} MiB more than {before:.1}", format!("{WAITING} waiting requests"), during - before);
        let mut front = connect(port, &mut tasks).await;
        let begin = Instant::now();
        let path = format!("{job}/phase");
        ask(&mut front, "POST", &path, "PHASE=ABORT").await;
        let mut answered = 0;
        while let Some(status) = waiting.join_next().await {
            assert_eq!(status.expect("answered"), StatusCode::OK);
            answered += 1;
        }
        println!("{:>40} {:>8.1} ms after the change", format!("all {answered} of them answered"), ms(begin.elapsed()));
    });
    println!();
}
