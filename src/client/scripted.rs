//! A server that says what a test tells it to.

use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

/// A request as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Method and path.
    pub(crate) line: String,
    /// The `Range` header.
    pub(crate) range: Option<String>,
    /// The `Idempotency-Key` header.
    pub(crate) key: Option<String>,
    /// The `Authorization` header.
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
}

/// The server; it ends when dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

pub(crate) type Answer = Response<Full<Bytes>>;

impl Server {
    /// Starts one that answers each request with `answer`, which is also told how many came before it.
    pub(crate) async fn start(answer: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/api", listener.local_addr().expect("bound"));
        let accept = move |cx: &mut Context<'_>| listener.poll_accept(cx).map_ok(|(stream, _)| stream);
        Self::serve(url, accept, answer)
    }

    /// The same on a Unix socket at `path`.
    pub(crate) fn start_on(path: &Path, answer: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).expect("a free path");
        let accept = move |cx: &mut Context<'_>| listener.poll_accept(cx).map_ok(|(stream, _)| stream);
        Self::serve(format!("unix:{}", path.display()), accept, answer)
    }

    fn serve<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        url: String,
        mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<S>> + Send + 'static,
        answer: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (answer, all) = (Arc::new(answer), Arc::clone(&seen));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok(stream) = poll_fn(&mut accept).await {
                let (answer, all) = (Arc::clone(&answer), Arc::clone(&all));
                let service = service_fn(move |request| serve(request, Arc::clone(&answer), Arc::clone(&all)));
                connections.spawn(async move {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, seen, _tasks: tasks }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no test panics inside").clone()
    }

    /// Methods and paths of every request.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

async fn serve<A: Fn(usize, &Seen) -> Answer>(
    request: Request<Incoming>,
    answer: Arc<A>,
    all: Arc<Mutex<Vec<Seen>>>,
) -> Result<Answer, hyper::Error> {
    let line = format!("{} {}", request.method(), request.uri());
    let header = |name| request.headers().get(name).map(|value| value.to_str().expect("ASCII").to_owned());
    let (range, key, authorization) = (header("range"), header("idempotency-key"), header("authorization"));
    let body = String::from_utf8_lossy(&request.into_body().collect().await?.to_bytes()).into_owned();
    let seen = Seen { line, range, key, authorization, body };
    let before = {
        let mut all = all.lock().expect("no test panics inside");
        all.push(seen.clone());
        all.len() - 1
    };
    Ok(answer(before, &seen))
}

/// An answer.
pub(crate) fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::from(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}
