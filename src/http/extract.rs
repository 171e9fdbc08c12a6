//! What a handler is told about a request besides its path and body.

use std::net::{IpAddr, SocketAddr};

use http::Uri;
use warp::{Filter, Rejection};

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
}

impl Peer {
    /// Who asks.
    pub(super) const fn caller(&self) -> Caller {
        match self.trust {
            Trust::Anonymous => Caller::Anonymous,
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
