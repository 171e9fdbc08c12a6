//! Why a request could not be done.

use std::error::Error;
use std::io;
use std::time::Duration;

use http::StatusCode;

use crate::domain::JobId;

/// Why a request could not be done; no text holds the login of the URL.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL of the server cannot be used.
    #[error("the server's URL {url:?} cannot be used: {why}")]
    BadUrl {
        /// The URL, without a login.
        url: String,
        /// What is wrong and what would do.
        why: &'static str,
    },
    /// There is no connection.
    #[error("{url} cannot be reached (is uwsd running, and is UWS_URL or --url right?)")]
    Unreachable {
        /// The server.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The connection broke before the answer was complete.
    #[error("the connection to {url} broke")]
    Broken {
        /// The server.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// No answer came, or it stopped coming.
    #[error("{url} did not answer within {} s", .limit.as_secs_f64())]
    TimedOut {
        /// The server.
        url: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The server said no, or failed.
    #[error("{message} (HTTP {})", .status.as_u16())]
    Refused {
        /// The status.
        status: StatusCode,
        /// The server's sentence.
        message: String,
    },
    /// The answer is none of this API.
    #[error("{url} answered something that is no {expected}: {why}")]
    Malformed {
        /// The server.
        url: String,
        /// What was expected.
        expected: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The job was accepted, and its document could not be read afterwards.
    #[error("job {id} was accepted, and how it is now cannot be read")]
    Accepted {
        /// The job.
        id: JobId,
        /// Why.
        #[source]
        source: Box<ClientError>,
    },
    /// What came could not be written where it should go.
    #[error("the output could not be written")]
    Output(#[source] io::Error),
}

impl ClientError {
    /// Whether the same request may succeed a little later: the daemon is being restarted, or is busy.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::TimedOut { .. } => true,
            Self::Refused { status, .. } => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            Self::BadUrl { .. } | Self::Malformed { .. } | Self::Accepted { .. } | Self::Output(_) => false,
        }
    }

    /// Whether the server has no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}
