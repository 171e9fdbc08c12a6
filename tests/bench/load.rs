//! A load of PUTs over a number of kept-alive connections.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The job that the control system sends.
pub const JOB: &str = r#"{"run_id":"17","command":"cd $JOB_SOURCE_DIR && bash bin/pipetask.sh","url":"https://example.org/lsst-dm/uws_scripts","commit_ref":"main","environment":[{"name":"IMAGE_TAG","value":""},{"name":"PIPELINE_URL","value":"${CP_PIPE_DIR}/pipelines/LATISS/cpBias.yaml"},{"name":"BUTLER_REPO","value":"LATISS"},{"name":"RUN_OPTIONS","value":"-i LATISS/raw/all -j 8 --register-dataset-types"},{"name":"OUTPUT_GLOB","value":"*"},{"name":"DATA_QUERY","value":"instrument='LATISS' AND detector IN (0)"}]}"#;

/// What a load came to.
pub struct Figures {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

/// A connection; its driver is a task of `tasks`.
pub async fn connect(port: u16, tasks: &mut JoinSet<()>) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
    stream.set_nodelay(true).expect("set");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("spoken to");
    tasks.spawn(async move { drop(connection.await) });
    sender
}

async fn put(sender: &mut SendRequest<Full<Bytes>>) {
    let request = Request::put("/api/v1/job")
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(JOB.as_bytes())))
        .expect("a request");
    sender.ready().await.expect("ready");
    let answer = sender.send_request(request).await.expect("answered");
    assert_eq!(answer.status(), StatusCode::OK);
    answer.into_body().collect().await.expect("read");
}

/// Submits over `connections` at once for `time`.
pub fn run(port: u16, connections: usize, time: Duration) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        let mut clients = JoinSet::new();
        let begin = Instant::now();
        for _ in 0..connections {
            let mut sender = connect(port, &mut tasks).await;
            clients.spawn(async move {
                let mut took = Vec::new();
                while begin.elapsed() < time {
                    let sent = Instant::now();
                    put(&mut sender).await;
                    took.push(sent.elapsed());
                }
                took
            });
        }
        let mut took: Vec<Duration> = clients.join_all().await.into_iter().flatten().collect();
        let elapsed = begin.elapsed();
        took.sort_unstable();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100];
        let count = u32::try_from(took.len()).expect("not that many");
        Figures { per_second: f64::from(count) / elapsed.as_secs_f64(), p50: at(50), p99: at(99) }
    })
}

/// Submits `count` jobs over `connections` at once.
pub fn fill(port: u16, connections: usize, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            let mut sender = connect(port, &mut tasks).await;
            clients.spawn(async move {
                for _ in 0..count / connections {
                    put(&mut sender).await;
                }
            });
        }
        clients.join_all().await;
    });
}
