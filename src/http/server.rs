//! Connections bounded in number and time, and an end that has a deadline.

use std::convert::Infallible;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use http::header::{CONNECTION, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use tracing::Instrument;
use warp::reply::Response;

use super::accept::{Doors, OpenListener};
use super::body::Bodies;
use super::counted::Counted;
use super::detached::detached;
use super::extract::{Asked, Peer, Via};
use super::forwarded::Forwarded;
use super::guard::Guard;
use super::listen::Door;
use super::listeners::{Exchange, Listeners};
use super::patience::{PATIENCE, Patient};
use super::reply::{ApiError, Failure};
use super::routes;
use super::web::Web;
use crate::config::{Live, Reloads};
use crate::metrics::Metrics;
use crate::ports::{Clock, Store};
use crate::supervisor::{Gate, Handle};

/// What the handlers work with; cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// The supervisor's door.
    pub handle: Handle,
    /// The jobs, for reading.
    pub store: Arc<dyn Store>,
    /// The configuration.
    pub config: Live,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// What reads request bodies.
    pub bodies: Bodies,
    /// Makes the daemon read its configuration again.
    pub reloads: Reloads,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What reads of jobs' files go through.
    pub files: Gate,
    /// What fetches files that clients name by URL.
    pub web: Web,
}

/// What tells the server to stop.
#[derive(Debug, Clone)]
pub struct Stop {
    /// Accept nothing new, come to an end.
    pub soft: CancellationToken,
    /// Close every connection at once, whatever it waits for. Never before the other.
    pub hard: CancellationToken,
}

/// The largest request head, and how much of a body is read ahead.
const READ_AHEAD: usize = 64 << 10;

/// Answers requests on `listeners` until it is told to stop; a reload may exchange them.
///
/// Then no connection is accepted any more. Those that are there are served one more request, whose answer says that it is
/// the last, for as long as `shutdown_linger` says: whoever polls over one of them is not turned away. Idle ones are closed
/// then, and requests in flight have `shutdown_grace` to finish before they are cut: at once if the stop becomes hard. Returns when the
/// last connection is gone. Every connection is a task of `tracker`.
///
/// # Errors
/// If a listener cannot be handed to the runtime.
pub async fn serve(api: Api, listeners: Listeners, stop: Stop, tracker: TaskTracker) -> io::Result<()> {
    let Stop { soft, hard } = stop;
    let Listeners { bound, mut exchanges } = listeners;
    let config = api.config.get();
    let server = &config.server;
    let (linger, grace) = (server.shutdown_linger, server.shutdown_grace);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(server.header_timeout).max_buf_size(READ_AHEAD);
    let guard = Arc::new(watch::Sender::new(Arc::new(Guard::new(server))));
    let places = Arc::new(Semaphore::new(server.max_connections as usize));
    let started = api.clock.now();
    let counted = Arc::new(Counted::new(Arc::clone(&api.metrics), &server.base_path));
    let service = warp::service(routes::all(&Arc::new(api), started, soft.clone()));
    let listen = |open: OpenListener| {
        let end = End { soft: open.close.clone(), hard: hard.clone(), linger, grace };
        let (guard, counted) = (Arc::clone(&guard), Arc::clone(&counted));
        let front = Front { guard, counted, service: service.clone(), soft: open.close.clone() };
        let (http, places, tracker) = (&http, &places, &tracker);
        async move { open.accept(&Connections { http, front, places, end, tracker }).await }
    };
    let mut doors = Doors::new(soft.clone());
    let mut loops: FuturesUnordered<_> = doors.open(bound)?.into_iter().map(&listen).collect();
    loop {
        // Each branch may be dropped: loops stay where they are, an exchange that was not taken stays in the channel.
        tokio::select! {
            () = soft.cancelled() => break,
            Some(()) = loops.next() => {}
            Some(Exchange { wanted, opened, guard: new }) = exchanges.recv() => {
                guard.send_replace(new);
                doors.keep(&wanted);
                loops.extend(doors.open(opened)?.into_iter().map(&listen));
            }
        }
    }
    while loops.next().await.is_some() {}
    // Each connection ends by itself in its time and gives its place back.
    let _ = places.acquire_many(server.max_connections).await;
    Ok(())
}

/// How the connections of a listener come to their end.
#[derive(Debug, Clone)]
struct End {
    /// Tells that it has come.
    soft: CancellationToken,
    /// Tells that there is no more time.
    hard: CancellationToken,
    /// How long an idle one is kept for one more request.
    linger: Duration,
    /// How long requests in flight have after that.
    grace: Duration,
}

/// What every connection of a listener is served with.
pub(super) struct Connections<'a, S> {
    http: &'a http1::Builder,
    front: Front<S>,
    places: &'a Arc<Semaphore>,
    end: End,
    tracker: &'a TaskTracker,
}

impl<S: Routes> Connections<'_, S> {
    /// Waits for a place for one more connection; `None` at the end of the server.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(self.places).acquire_owned().await.ok()
    }

    pub(super) fn spawn<I>(&self, io: I, via: Via, door: &Door, place: OwnedSemaphorePermit)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = Patient::new(io, PATIENCE);
        let peer = Peer { via, trust: door.trust, is_proxy: door.is_proxy(via) };
        let visitor = Visitor { peer, proxies: Arc::clone(&door.proxies) };
        let open = self.front.counted.connection();
        let connection = connection(io, visitor, self.http, self.front.clone(), self.end.clone());
        self.tracker.spawn(async move {
            connection.await;
            drop((open, place));
        });
    }
}

/// One connection to its end. What is large is boxed where it is made: a future that it were moved into would have room for
/// it twice, for each of thousands that wait.
fn connection<I, S>(
    io: I,
    visitor: Visitor,
    http: &http1::Builder,
    front: Front<S>,
    end: End,
) -> impl Future<Output = ()> + Send + use<I, S>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Routes,
{
    let service = service_fn(move |request| front.clone().answer(detached(request), visitor.clone()));
    let mut connection = Box::pin(http.serve_connection(TokioIo::new(io), service));
    async move {
        // Polling the connection by reference loses nothing when the token wins.
        let End { soft, hard, linger, grace } = end;
        let mut ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = soft.cancelled() => None,
        };
        if ended.is_none() {
            let last = async {
                if let Ok(ended) = tokio::time::timeout(linger, connection.as_mut()).await {
                    return Some(ended);
                }
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(grace, connection.as_mut()).await.ok()
            };
            ended = tokio::select! {
                ended = last => ended,
                () = hard.cancelled() => return tracing::debug!("a connection is closed: the stop waits no longer"),
            };
        }
        match ended {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%error, "a connection broke off"),
            None => tracing::warn!("a request was cut: it did not finish within the shutdown's grace time"),
        }
    }
}

/// What the routes are to hyper.
pub(super) trait Routes:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Routes for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// The other end of a connection, and the proxies that its listener trusts.
#[derive(Debug, Clone)]
struct Visitor {
    peer: Peer,
    proxies: Arc<[IpNet]>,
}

/// The guard and what is behind it.
#[derive(Clone)]
struct Front<S> {
    guard: Arc<watch::Sender<Arc<Guard>>>,
    counted: Arc<Counted>,
    service: S,
    soft: CancellationToken,
}

impl<S: Routes> Front<S> {
    /// Holds no more than it needs while it waits for the answer, as thousands may.
    fn answer(
        self,
        request: Request<Incoming>,
        visitor: Visitor,
    ) -> impl Future<Output = Result<Response, Infallible>> + Send + use<S> {
        let began = Instant::now();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        // On the way of every request: nothing is formatted unless somebody wants to read it.
        let span = tracing::debug_span!("request", %method, path = uri.path());
        let (soft, counted) = (self.soft.clone(), Arc::clone(&self.counted));
        let guarded = span.in_scope(|| self.guarded(request, visitor));
        async move {
            let mut response = guarded.await;
            if let Some(failure) = response.extensions_mut().remove::<Failure>() {
                failure.log(&method, &uri);
            }
            response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            if soft.is_cancelled() {
                // The next request belongs on a new connection.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            let (status, took) = (response.status().as_u16(), began.elapsed());
            counted.answered(&method, &uri, status, took);
            tracing::debug!(status, ms = took.as_millis(), "answered");
            Ok(response)
        }
        .instrument(span)
    }

    fn guarded(
        self,
        mut request: Request<Incoming>,
        visitor: Visitor,
    ) -> impl Future<Output = Response> + Send + use<S> {
        let Self { guard, mut service, .. } = self;
        let guard = Arc::clone(&guard.borrow());
        let Visitor { peer, proxies } = visitor;
        let forwarded = peer.is_proxy.then(|| Box::new(Forwarded::of(request.headers(), &proxies)));
        let origin = request.headers().get(ORIGIN).cloned();
        let answer = guard.check(&request, &peer, forwarded.as_deref()).map(|()| {
            let may_change = guard.may_change(&request, forwarded.as_deref());
            let asked = Asked { caller: peer.caller(), uri: request.uri().clone(), forwarded, may_change };
            request.extensions_mut().insert(asked);
            // A handler shares nothing with others but what is behind locks and channels of its own.
            Box::pin(AssertUnwindSafe(service.call(request)).catch_unwind())
        });
        async move {
            let mut response = match answer {
                Err(refusal) => return refusal.as_text(),
                Ok(answer) => match answer.await {
                    Ok(Ok(response)) => response,
                    Ok(Err(never)) => match never {},
                    Err(_panic) => ApiError::Panicked.as_text(),
                },
            };
            guard.share(origin.as_ref(), &mut response);
            response
        }
    }
}

#[cfg(all(test, feature = "test-support"))]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use warp::Filter;

    use super::*;
    use crate::config::Trust;
    use crate::config::testing::config_in;
    use crate::ports::SystemClock;

    /// The two ends of a connection.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        (client, listener.accept().await.expect("accepted").0)
    }

    /// Serves one connection with an answer of 64 MiB.
    async fn serve_one(stream: TcpStream, patience: Duration, end: End) {
        let config = config_in(std::path::Path::new("/nowhere"));
        let guard = Arc::new(watch::Sender::new(Arc::new(Guard::new(&config.server))));
        let metrics = Arc::new(Metrics::new("none", SystemClock.now()));
        let counted = Arc::new(Counted::new(metrics, "/api"));
        let service = warp::service(warp::any().map(|| Response::new(vec![b'x'; 64 << 20].into())));
        let peer = Peer { via: Via::Unix, trust: Trust::Anonymous, is_proxy: false };
        let visitor = Visitor { peer, proxies: Arc::new([]) };
        let (io, soft) = (Patient::new(stream, patience), end.soft.clone());
        connection(io, visitor, &http1::Builder::new(), Front { guard, counted, service, soft }, end).await;
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_its_answer_loses_its_connection() {
        let (mut client, stream) = pair().await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let end = End { soft, hard, linger: Duration::ZERO, grace: Duration::ZERO };
        let served = serve_one(stream, Duration::from_millis(200), end);
        tokio::time::timeout(Duration::from_secs(10), served).await.expect("given up");
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
        assert!(rest.len() < 64 << 20, "it was not served to the end");
    }

    #[tokio::test]
    async fn a_stop_that_becomes_hard_closes_a_connection_at_once() {
        const HOUR: Duration = Duration::from_secs(3600);
        let (mut client, stream) = pair().await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let end = End { soft: soft.clone(), hard: hard.clone(), linger: HOUR, grace: HOUR };
        let mut served = std::pin::pin!(serve_one(stream, HOUR, end));
        soft.cancel();
        let waited = tokio::time::timeout(Duration::from_millis(200), served.as_mut()).await;
        assert!(waited.is_err(), "a request in flight has its time");
        hard.cancel();
        tokio::time::timeout(Duration::from_secs(10), served).await.expect("at once");
    }
}
