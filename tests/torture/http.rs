//! A client that tells an answer from none.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The lines that go with a form.
pub const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// An answer, read whole.
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

pub struct Http {
    pub port: u16,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Http {
    pub fn new(port: u16) -> Self {
        Self { port, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// The answer to one request; `None` if there was none.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Option<Answer> {
        let uri = format!("http://127.0.0.1:{}{path}", self.port);
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        let answered = async {
            let (parts, body) = self.client.request(request).await.ok()?.into_parts();
            let location = parts.headers.get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
            let body = body.collect().await.ok()?.to_bytes();
            Some(Answer { status: parts.status.as_u16(), location, body })
        };
        tokio::time::timeout(PATIENCE, answered).await.ok().flatten()
    }

    pub async fn get(&self, path: &str) -> Option<Answer> {
        self.ask("GET", path, &[], String::new()).await
    }

    /// An answer that is no 5xx, however often it takes to get one.
    pub async fn insist(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        loop {
            match self.ask(method, path, headers, body.to_owned()).await {
                Some(answer) if answer.status < 500 => return answer,
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}
