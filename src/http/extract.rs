//! What a handler is told about a request besides its path and body.

use std::net::{IpAddr, SocketAddr};

use http::Uri;
use warp::{Filter, Rejection};

use super::forwarded::Forwarded;
use crate::config::Trust;
use crate::domain::Caller;

/// How a connection came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    /// Over TCP.
    Tcp {
        /// The address of this host that the client chose.
        local: IpAddr,
        /// The client.
        remote: SocketAddr,
    },
    /// Over a Unix socket.
    Unix,
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// How it came in.
    pub(super) via: Via,
    /// What its listener knows of callers.
    pub(super) trust: Trust,
    /// Whether it is a proxy whose word on the client's way to us counts.
    pub(super) is_proxy: bool,
}

impl Peer {
    /// Who asks.
    pub(super) const fn caller(&self) -> Caller {
        match self.trust {
            Trust::Anonymous => Caller::Anonymous,
            Trust::Operator => Caller::Operator,
        }
    }
}

/// What every handler is given.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Who asks.
    pub(super) caller: Caller,
    /// For what.
    pub(super) uri: Uri,
    /// How the client reached the proxy before us, if there is one that we trust.
    pub(super) forwarded: Option<Box<Forwarded>>,
    /// Whether no web page of another site made the client ask.
    pub(super) may_change: bool,
}

impl Asked {
    /// The query, still encoded; empty if there is none.
    pub(super) fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }
}

/// Hands a handler what the server noted about its request.
pub(super) fn asked() -> impl Filter<Extract = (Asked,), Error = Rejection> + Copy {
    warp::ext::get::<Asked>()
}
