//! A small client: one connection a request, or raw bytes for what no client sends.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use uwsd::config::ListenAddress;

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

/// A connection that is kept.
pub struct Connection {
    pub sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Connection {
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        tokio::time::timeout(PATIENCE, self.sender.send_request(request)).await.expect("answered in time")
    }
}

pub struct Client {
    address: ListenAddress,
}

impl Client {
    pub const fn new(address: ListenAddress) -> Self {
        Self { address }
    }

    pub async fn connect(&self) -> Connection {
        match &self.address {
            ListenAddress::Tcp(address) => over(TcpStream::connect(address).await.expect("connected")).await,
            ListenAddress::Unix(path) => over(UnixStream::connect(path).await.expect("connected")).await,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub async fn put_json(&self, path: &str, body: &str) -> Answer {
        self.send("PUT", path, &[("content-type", "application/json")], body).await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        let mut connection = self.connect().await;
        let response = connection.send(request(method, path, headers, body)).await.expect("an answer");
        whole(response).await
    }

    /// Sends `bytes` as they are and returns all that comes back until the server closes.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let ListenAddress::Tcp(address) = &self.address else { panic!("raw bytes go over TCP") };
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(bytes).await.expect("sent");
        let mut all = Vec::new();
        // The server may close before it has read everything.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("closed in time");
        String::from_utf8_lossy(&all).into_owned()
    }
}

pub async fn whole(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = tokio::time::timeout(PATIENCE, body.collect()).await.expect("in time").expect("whole").to_bytes();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", "localhost");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::copy_from_slice(body.as_ref()))).expect("a request")
}

async fn over<I: AsyncRead + AsyncWrite + Send + Unpin + 'static>(io: I) -> Connection {
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await.expect("a connection");
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        let _ = connection.await;
    });
    Connection { sender, _driver: driver }
}
