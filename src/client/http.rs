//! Requests and answers: the part that knows HTTP and no jobs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, RANGE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::ClientError;
use super::connect::Connector;
use super::server_url::ServerUrl;
use super::wait::{Patience, Tell};

/// How long an answer may take to begin, and to go on.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The largest document that is read, in bytes: a list of some hundred thousand jobs.
const MAX_DOCUMENT: usize = 1 << 30;
/// How much of a refusal is read, in bytes.
const MAX_REFUSAL: usize = 64 * 1024;
/// How much of a refusal is shown, in characters.
const MAX_SENTENCE: usize = 2000;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What goes with a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Ask {
    /// An url-encoded form.
    pub(super) form: Option<String>,
    /// Only the bytes from this one on.
    pub(super) range_from: Option<u64>,
    /// What makes the same request sent twice one.
    pub(super) key: Option<String>,
}

/// A client of one service of a server. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: legacy::Client<Connector, Full<Bytes>>,
    server: Arc<ServerUrl>,
    service: Arc<str>,
    timeout: Duration,
    tell: Option<Tell>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Client").field(&self.server.shown).finish()
    }
}

impl Client {
    /// A client of `service` of the server at `url`: `http://HOST:PORT/BASE` or `unix:/PATH`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::BadUrl`].
    pub fn new(url: &str, service: &str) -> Result<Self, ClientError> {
        Ok(Self::of(ServerUrl::parse(url)?, service))
    }

    /// The same client, which says who it is: the value of an `Authorization` header, instead of a login in the URL.
    #[must_use]
    pub fn with_authorization(mut self, value: String) -> Self {
        Arc::make_mut(&mut self.server).authorization = Some(value);
        self
    }

    /// A client of the administration socket at `path`.
    #[must_use]
    pub fn of_operator(path: &Path) -> Self {
        Self::of(ServerUrl::administration(path), "")
    }

    fn of(server: ServerUrl, service: &str) -> Self {
        let connector = Connector { socket: server.socket.clone().map(Arc::new) };
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Self { http, server: Arc::new(server), service: service.into(), timeout: TIMEOUT, tell: None }
    }

    pub(super) fn service(&self) -> &str {
        &self.service
    }

    /// The same client, which gives up when an answer takes longer than `timeout` to begin or to go on.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same client, which calls `tell` with the reason when it waits for a server and tries again for a while.
    #[must_use]
    pub fn telling(mut self, tell: impl Fn(&ClientError) + Send + Sync + 'static) -> Self {
        self.tell = Some(Arc::new(tell));
        self
    }

    /// A new patience with this server.
    pub(super) fn patience(&self) -> Patience {
        Patience::telling(self.tell.clone())
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends a request for `path`, below the base path; an answer other than 2xx and 303, which tells where to look, is an
    /// error with the server's sentence.
    pub(super) async fn send(&self, method: Method, path: &str, ask: Ask) -> Result<Response<Incoming>, ClientError> {
        let Ask { form, range_from, key } = ask;
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.server.base));
        if let Some(login) = &self.server.authorization {
            let mut value = HeaderValue::from_str(login).map_err(|_| self.malformed("request", "a bad login"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        request = match range_from {
            Some(from) => request.header(RANGE, format!("bytes={from}-")),
            None => request.header(ACCEPT, "application/json, */*;q=0.5"),
        };
        if form.is_some() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        let request = request
            .body(Full::from(form.unwrap_or_default()))
            .map_err(|error| self.malformed("request", &error.to_string()))?;
        let response = tokio::time::timeout(self.timeout, self.http.request(request)).await;
        let response = response.map_err(|_| self.timed_out())?.map_err(|error| self.failed(error))?;
        if response.status().is_success() || response.status() == StatusCode::SEE_OTHER {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    /// Sends a request and reads the JSON document that answers it, an `expected`.
    pub(super) async fn json(&self, method: Method, path: &str, expected: &'static str) -> Result<Value, ClientError> {
        let response = self.send(method, path, Ask::default()).await?;
        let bytes = self.read(response.into_body(), MAX_DOCUMENT).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.malformed(expected, &error.to_string()))
    }

    async fn read(&self, body: Incoming, limit: usize) -> Result<Bytes, ClientError> {
        let whole = tokio::time::timeout(self.timeout, Limited::new(body, limit).collect()).await;
        match whole.map_err(|_| self.timed_out())? {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(source) => Err(ClientError::Broken { url: self.server.shown.clone(), source }),
        }
    }

    async fn refusal(&self, response: Response<Incoming>) -> ClientError {
        let status = response.status();
        let body = self.read(response.into_body(), MAX_REFUSAL).await.unwrap_or_default();
        let message = sentence(&body).unwrap_or_else(|| match status.canonical_reason() {
            // The API says no more than that of a job that is not there.
            Some(_) if status == StatusCode::NOT_FOUND => "there is no such job".to_owned(),
            Some(reason) => format!("the server answered: {reason}"),
            None => "the server refused without a word".to_owned(),
        });
        ClientError::Refused { status, message }
    }

    pub(super) fn malformed(&self, expected: &'static str, why: &str) -> ClientError {
        ClientError::Malformed { url: self.server.shown.clone(), expected, why: why.to_owned() }
    }

    pub(super) fn timed_out(&self) -> ClientError {
        ClientError::TimedOut { url: self.server.shown.clone(), limit: self.timeout }
    }

    pub(super) fn broken(&self, source: hyper::Error) -> ClientError {
        ClientError::Broken { url: self.server.shown.clone(), source: source.into() }
    }

    fn failed(&self, error: legacy::Error) -> ClientError {
        let url = self.server.shown.clone();
        if error.is_connect() {
            ClientError::Unreachable { url, source: error.into() }
        } else {
            ClientError::Broken { url, source: error.into() }
        }
    }
}

/// What the body of a refusal says: a JSON string, a JSON object's `message`, or plain text; never a page.
fn sentence(body: &[u8]) -> Option<String> {
    let text = match serde_json::from_slice(body) {
        Ok(Value::String(text)) => text,
        Ok(Value::Object(fields)) => match fields.get("message").or_else(|| fields.get("error")) {
            Some(Value::String(text)) => text.clone(),
            Some(_) | None => return None,
        },
        Ok(_) => return None,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let text = text.trim();
    if text.is_empty() || text.starts_with('<') { None } else { Some(text.chars().take(MAX_SENTENCE).collect()) }
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn a_refusal_is_read_in_every_form() {
        for (body, expected) in [
            (r#""no such job""#, Some("no such job")),
            (r#"{"status":"error","message":"bad","code":400}"#, Some("bad")),
            ("command is missing\n", Some("command is missing")),
            (r#""""#, None),
            ("", None),
            ("<html><h1>502</h1></html>", None),
            ("[1]", None),
        ] {
            assert_eq!(sentence(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
