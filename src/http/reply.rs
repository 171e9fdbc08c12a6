//! Answers, and the one table from what went wrong to a status.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode, Uri};
use serde::Serialize;
use warp::reply::Response;

use crate::domain::{Timestamp, chain};
use crate::ports::StoreError;
use crate::supervisor::{Denied, Silent};

/// Why a request is not met.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// The request cannot be understood; a sentence that names the field and says what would do.
    #[error("{0}")]
    Malformed(String),
    /// The request comes from somewhere that it may not come from.
    #[error("{0}")]
    Foreign(String),
    /// There is nothing at this path.
    #[error("there is nothing at this address")]
    NoSuchPath,
    /// The path lies outside the base path, where there are only a few for the operator.
    #[error("there is nothing at this address; the addresses of the API begin with {0}/")]
    OutsideBase(String),
    /// There is no such job, or not for this caller.
    #[error("there is no such job")]
    NoSuchJob,
    /// There was such a job, and it was destroyed then.
    #[error("this job was destroyed at {}", .0.to_iso())]
    Destroyed(Timestamp),
    /// There was such a job; since then it is being stopped, and what is left of it goes.
    #[error("this job was deleted at {} and is being stopped", .0.to_iso())]
    BeingDestroyed(Timestamp),
    /// There was such a job; its time was over then, since when it is being stopped, and what is left of it goes.
    #[error("the destruction time of this job has come: since {} it is being stopped", .0.to_iso())]
    Expiring(Timestamp),
    /// The job has no such result, or its file is not there any more.
    #[error("Result file not found.")]
    NoSuchResult,
    /// The files of the job were given up.
    #[error("the files of this job were removed at {} to make room on the disk", .0.to_iso())]
    FilesRemoved(Timestamp),
    /// The files of the job went with its destruction, and only its record is kept.
    #[error("this job was destroyed: its files went at {}, its record is kept", .0.to_iso())]
    FilesDestroyed(Timestamp),
    /// The resource does not know the method.
    #[error("this resource has only the methods {0}")]
    NoSuchMethod(&'static str),
    /// The body is larger than allowed.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The body is of a type that cannot be read.
    #[error("{0}")]
    UnknownMediaType(String),
    /// The body did not arrive in time.
    #[error("the request body did not arrive within {} seconds", .0.as_secs())]
    TooSlow(Duration),
    /// There is no room for a large body beside those that are being read.
    #[error("too many large requests are being read at the moment; try again a little later")]
    Crowded,
    /// No byte of the file is in the range.
    #[error("the range lies outside the file's {size} bytes")]
    NoSuchRange {
        /// How large the file is.
        size: u64,
    },
    /// The supervisor refused.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A job's file could not be read.
    #[error("a job's file could not be read")]
    File(#[source] std::io::Error),
    /// The disk of a job's files does not answer.
    #[error(transparent)]
    Silent(#[from] Silent),
    /// A handler broke.
    #[error("a request handler panicked")]
    Panicked,
}

/// What the client is told.
#[derive(Debug)]
pub(super) struct Verdict {
    /// The status.
    pub(super) status: StatusCode,
    /// A sentence; for a 5xx nothing of the insides.
    pub(super) message: Cow<'static, str>,
    /// When to try again.
    retry_after: Option<Duration>,
}

impl Verdict {
    const fn new(status: StatusCode, message: Cow<'static, str>) -> Self {
        Self { status, message, retry_after: None }
    }

    const fn later(message: Cow<'static, str>, after: Duration) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message, retry_after: Some(after) }
    }
}

/// What an operator must know of a request that was not met; goes with the answer to where it is logged, once, with the
/// request that it belongs to.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    is_ours: bool,
    chain: String,
}

impl Failure {
    /// Writes it to the log. The query is left out: it may hold what is nobody's business.
    pub(super) fn log(&self, method: &Method, uri: &Uri) {
        let path = uri.path();
        if self.is_ours {
            tracing::error!(%method, path, "{}", self.chain);
        } else {
            tracing::warn!(%method, path, "{}", self.chain);
        }
    }
}

const RESTART: Duration = Duration::from_secs(2);
const CROWDED: Duration = Duration::from_secs(10);
const SILENT: Duration = Duration::from_secs(30);
const NO_ROOM: Duration = Duration::from_secs(60);
const NO_DATABASE: Duration = Duration::from_secs(10);

impl ApiError {
    /// The table.
    pub(super) fn verdict(&self) -> Verdict {
        let say = |status| Verdict::new(status, Cow::Owned(self.to_string()));
        match self {
            Self::Malformed(_) => say(StatusCode::BAD_REQUEST),
            Self::Foreign(_) => say(StatusCode::FORBIDDEN),
            Self::NoSuchPath
            | Self::OutsideBase(_)
            | Self::NoSuchJob
            | Self::Destroyed(_)
            | Self::BeingDestroyed(_)
            | Self::Expiring(_)
            | Self::NoSuchResult
            | Self::FilesRemoved(_)
            | Self::FilesDestroyed(_) => say(StatusCode::NOT_FOUND),
            Self::NoSuchMethod(_) => say(StatusCode::METHOD_NOT_ALLOWED),
            Self::TooLarge { .. } => say(StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnknownMediaType(_) => say(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::TooSlow(_) => say(StatusCode::REQUEST_TIMEOUT),
            Self::Crowded => Verdict::later(Cow::Owned(self.to_string()), CROWDED),
            Self::Silent(_) => Verdict::later(Cow::Owned(self.to_string()), SILENT),
            Self::NoSuchRange { .. } => say(StatusCode::RANGE_NOT_SATISFIABLE),
            Self::Denied(denied) => of_denied(denied),
            Self::Store(error) => of_store(error),
            Self::File(_) | Self::Panicked => of_us(),
        }
    }

    /// What the log must tell of it.
    fn failure(&self) -> Option<Failure> {
        let failure = |is_ours| Some(Failure { is_ours, chain: chain(self) });
        match self {
            Self::Denied(Denied::Store(error)) | Self::Store(error) => match error {
                StoreError::Failed { .. } | StoreError::PhaseChanged { .. } => failure(true),
                StoreError::Full { .. } | StoreError::Unwritable { .. } | StoreError::Replaced { .. } => failure(false),
                StoreError::NoSuchJob(_) | StoreError::KeyReused(_) | StoreError::Busy(_) | StoreError::Closed => None,
            },
            Self::Denied(Denied::Upload(_) | Denied::Panicked(_)) | Self::File(_) | Self::Panicked => failure(true),
            Self::Silent(_) => failure(false),
            Self::Denied(
                Denied::NoSuchService(_)
                | Denied::NoSuchJob(_)
                | Denied::Unacceptable { .. }
                | Denied::WrongPhase { .. }
                | Denied::AlreadyFinal { .. }
                | Denied::Backend { .. }
                | Denied::QueueFull { .. }
                | Denied::NotAccepting(_)
                | Denied::ShuttingDown,
            )
            | Self::Malformed(_)
            | Self::Foreign(_)
            | Self::NoSuchPath
            | Self::OutsideBase(_)
            | Self::NoSuchJob
            | Self::Destroyed(_)
            | Self::BeingDestroyed(_)
            | Self::Expiring(_)
            | Self::NoSuchResult
            | Self::FilesRemoved(_)
            | Self::FilesDestroyed(_)
            | Self::NoSuchMethod(_)
            | Self::TooLarge { .. }
            | Self::UnknownMediaType(_)
            | Self::TooSlow(_)
            | Self::Crowded
            | Self::NoSuchRange { .. } => None,
        }
    }

    /// The answer, its body as `dress` makes it.
    pub(super) fn respond(&self, dress: impl FnOnce(&Verdict) -> Response) -> Response {
        let verdict = self.verdict();
        let mut response = dress(&verdict);
        *response.status_mut() = verdict.status;
        if let Some(failure) = self.failure() {
            response.extensions_mut().insert(failure);
        }
        if let Some(after) = verdict.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        if let Self::NoSuchMethod(allowed) = self {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        }
        if let Self::NoSuchRange { size } = self {
            let value = HeaderValue::try_from(format!("bytes */{size}")).expect("digits");
            response.headers_mut().insert(http::header::CONTENT_RANGE, value);
        }
        response
    }

    /// The answer as a line of text.
    pub(super) fn as_text(&self) -> Response {
        self.respond(|verdict| text(verdict.status, verdict.message.clone()))
    }
}

fn of_denied(denied: &Denied) -> Verdict {
    let say = |status| Verdict::new(status, Cow::Owned(denied.to_string()));
    match denied {
        Denied::NoSuchService(_) | Denied::NoSuchJob(_) => say(StatusCode::NOT_FOUND),
        Denied::Unacceptable { .. } => say(StatusCode::BAD_REQUEST),
        // UWS 1.1 §2.2: a request that is illegal in the current phase.
        Denied::AlreadyFinal { .. } | Denied::WrongPhase { .. } => say(StatusCode::FORBIDDEN),
        Denied::Backend { .. } => say(StatusCode::BAD_GATEWAY),
        Denied::QueueFull { retry_after, .. } => Verdict::later(Cow::Owned(denied.to_string()), *retry_after),
        Denied::NotAccepting(trouble) => Verdict::later(Cow::Owned(denied.to_string()), trouble.retry_after()),
        Denied::ShuttingDown => Verdict::later(Cow::Owned(denied.to_string()), RESTART),
        Denied::Upload(error) if error.kind() == std::io::ErrorKind::StorageFull => no_room(),
        Denied::Upload(_) | Denied::Panicked(_) => of_us(),
        Denied::Store(error) => of_store(error),
    }
}

const fn no_room() -> Verdict {
    Verdict::later(Cow::Borrowed("the service has no room left; try again later"), NO_ROOM)
}

fn of_store(error: &StoreError) -> Verdict {
    match error {
        StoreError::NoSuchJob(_) => Verdict::new(StatusCode::NOT_FOUND, Cow::Borrowed("there is no such job")),
        StoreError::Busy(_) => Verdict::new(StatusCode::CONFLICT, Cow::Owned(error.to_string())),
        StoreError::KeyReused(_) => Verdict::new(StatusCode::UNPROCESSABLE_ENTITY, Cow::Owned(error.to_string())),
        StoreError::Full { .. } => no_room(),
        StoreError::Unwritable { .. } | StoreError::Replaced { .. } => Verdict::later(
            Cow::Borrowed("the job database cannot be written at the moment; nothing was changed"),
            NO_DATABASE,
        ),
        StoreError::Closed => {
            Verdict::later(Cow::Borrowed("the service is shutting down; try again in a moment"), RESTART)
        }
        StoreError::PhaseChanged { .. } | StoreError::Failed { .. } => of_us(),
    }
}

const fn of_us() -> Verdict {
    let message = "the service failed to answer this request; its log says why";
    Verdict::new(StatusCode::INTERNAL_SERVER_ERROR, Cow::Borrowed(message))
}

/// A text for people and scripts.
pub(super) fn text(status: StatusCode, body: impl Into<Cow<'static, str>>) -> Response {
    let body = match body.into() {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    };
    with_type(status, "text/plain; charset=utf-8", body)
}

/// A JSON value.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Response {
    let mut body = Vec::with_capacity(1024);
    serde_json::to_writer(&mut body, value).expect("our wire structs have string keys and do not fail");
    with_type(StatusCode::OK, "application/json", Bytes::from(body))
}

/// A body of the media type `kind`; nothing on the way may keep it, since a job changes.
pub(super) fn with_type(status: StatusCode, kind: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The client is to look there (UWS 1.1 §2.2.3).
pub(super) fn see_other(location: &str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(LOCATION, HeaderValue::try_from(location).expect("a link is visible ASCII"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to OPTIONS: nothing but the methods.
pub(super) fn options(allowed: &'static str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_store_or_queue_says_when_to_try_again_and_tells_no_insides() {
        let full = ApiError::Store(StoreError::Full { doing: "inserting a job" });
        let response = full.as_text();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "60");
        assert!(!full.verdict().message.contains("inserting"));
        let queue = Denied::QueueFull { waiting: 3, retry_after: Duration::from_secs(10) };
        assert_eq!(ApiError::Denied(queue).as_text().headers()[RETRY_AFTER], "10");
    }

    #[test]
    fn a_failure_of_ours_tells_no_insides() {
        let source = "no such column: x".into();
        let failed = ApiError::Denied(Denied::Store(StoreError::Failed { doing: "reading", source }));
        let verdict = failed.verdict();
        assert_eq!(verdict.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!verdict.message.contains("column"));
        let logged = failed.as_text().extensions().get::<Failure>().cloned().expect("something to log");
        assert!(logged.is_ours);
        assert_eq!(logged.chain, "the job database failed while reading: no such column: x");
        assert!(ApiError::NoSuchJob.as_text().extensions().get::<Failure>().is_none());
    }
}
