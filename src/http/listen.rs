//! Listening sockets: bound early, or passed by the service manager.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use listenfd::ListenFd;

use super::extract::Via;
use super::socket_file::SocketFile;
use crate::config::{ListenAddress, Listener, Trust};

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What a listener makes of those who come in by it.
#[derive(Debug, Clone)]
pub(super) struct Door {
    /// What it knows of callers.
    pub(super) trust: Trust,
    /// Networks of proxies whose word counts.
    pub(super) proxies: Arc<[IpNet]>,
    /// Whether that of a peer on a Unix socket counts.
    pub(super) trusts_unix: bool,
}

impl Door {
    /// That of a listener.
    pub(super) fn of(listener: &Listener) -> Self {
        Self {
            trust: listener.trust,
            proxies: listener.trusted_proxies.clone().into(),
            trusts_unix: listener.trusts_unix,
        }
    }

    /// Whether the word of a proxy at `via` counts.
    pub(super) fn is_proxy(&self, via: Via) -> bool {
        match via {
            Via::Unix => self.trusts_unix,
            Via::Tcp { remote, .. } => {
                let address = remote.ip().to_canonical();
                self.proxies.iter().any(|net| net.contains(&address))
            }
        }
    }
}

/// A listener that is bound and not served yet: clients can connect and wait.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    door: Door,
    /// The address as it is configured, or was passed.
    configured: ListenAddress,
    address: ListenAddress,
    /// Removes the file when the listener goes; a passed socket's file belongs to whoever passed it.
    file: Option<SocketFile>,
}

impl Bound {
    /// The address that it really has: a port is known here where 0 was configured.
    #[must_use]
    pub const fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The address as it is configured, or was passed.
    pub(super) const fn configured(&self) -> &ListenAddress {
        &self.configured
    }

    /// The socket, what it makes of callers, and what must be kept as long as it listens.
    pub(super) fn into_parts(self) -> (Socket, Door, Option<SocketFile>) {
        (self.socket, self.door, self.file)
    }
}

/// Why nothing can listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refused.
    #[error("cannot listen on {address}: {remedy}")]
    Refused {
        /// Where.
        address: String,
        /// What to do about it.
        remedy: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody listens on the Unix socket already.
    #[error("cannot listen on unix:{}: another program answers there; stop it or choose another path", .path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The path of the Unix socket is something else.
    #[error("cannot listen on unix:{}: a file that is no socket is there; move it or choose another path", .path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Sockets were passed that no listener asks for.
    #[error(
        "no listener is configured for the passed socket {0}; add it as [[server.listener]] or take it out of the socket unit"
    )]
    Unmatched(String),
    /// A socket was passed that other hosts reach, and nobody said what it trusts.
    #[error(
        "other hosts reach the passed socket {0}, and its callers would be anonymous: add it as [[server.listener]] with \
         insecure = true, or give the socket unit a loopback address"
    )]
    Exposed(SocketAddr),
    /// What was passed cannot be served.
    #[error(
        "the passed file descriptor number {index} is neither a TCP nor a Unix stream socket; correct the socket unit"
    )]
    Unusable {
        /// Its place among the passed ones, from 0.
        index: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BindError {
    pub(super) fn unix(path: &Path, source: io::Error) -> Self {
        let address = format!("unix:{}", path.display());
        let remedy = match source.kind() {
            io::ErrorKind::NotFound => format!("its directory does not exist; create {}", parent(path)),
            io::ErrorKind::PermissionDenied => {
                format!("this user may not create it; give it write access to {}", parent(path))
            }
            _ => "choose another path".to_owned(),
        };
        Self::Refused { address, remedy, source }
    }

    fn tcp(address: SocketAddr, source: io::Error) -> Self {
        let remedy = match source.kind() {
            io::ErrorKind::AddrInUse => "another program listens there; stop it or choose another port",
            io::ErrorKind::AddrNotAvailable => "this host does not have that address; choose one that it has",
            io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher port",
            _ => "choose another address",
        };
        Self::Refused { address: address.to_string(), remedy: remedy.to_owned(), source }
    }
}

fn parent(path: &Path) -> String {
    path.parent().map_or_else(|| "its directory".to_owned(), |dir| dir.display().to_string())
}

/// Sockets that the service manager passed.
#[derive(Debug, Default)]
pub struct Passed(pub(super) Vec<(ListenAddress, Socket)>);

impl Passed {
    /// Takes them from the process (`LISTEN_FDS`). Call it once, before any other thread runs: it clears the variables.
    ///
    /// # Errors
    /// [`BindError::Unusable`].
    pub fn take() -> Result<Self, BindError> {
        let mut fds = ListenFd::from_env();
        (0..fds.len()).map(|index| take_one(&mut fds, index)).collect::<Result<_, _>>().map(Self)
    }

    /// Their addresses.
    pub(super) fn addresses(&self) -> Vec<ListenAddress> {
        self.0.iter().map(|(address, _)| address.clone()).collect()
    }

    fn find(&mut self, wanted: &ListenAddress) -> Option<Socket> {
        let at = self.0.iter().position(|(address, _)| address == wanted)?;
        Some(self.0.swap_remove(at).1)
    }
}

fn take_one(fds: &mut ListenFd, index: usize) -> Result<(ListenAddress, Socket), BindError> {
    let unusable = |source| BindError::Unusable { index, source };
    if let Ok(Some(listener)) = fds.take_unix_listener(index) {
        let address = listener.local_addr().map_err(unusable)?;
        let path = address.as_pathname().map(Path::to_owned).unwrap_or_default();
        return Ok((ListenAddress::Unix(path), Socket::Unix(listener)));
    }
    let taken = fds.take_tcp_listener(index).map_err(unusable)?;
    let listener = taken.ok_or_else(|| unusable(io::ErrorKind::NotFound.into()))?;
    let address = listener.local_addr().map_err(unusable)?;
    Ok((ListenAddress::Tcp(address), Socket::Tcp(listener)))
}

/// The listener `listener` with the passed socket of its address, if there is one, else with one of our own.
pub(super) fn bind_one(listener: &Listener, passed: &mut Passed) -> Result<Bound, BindError> {
    let (socket, file) = match passed.find(&listener.address) {
        Some(socket) => (socket, None),
        None => open(&listener.address)?,
    };
    let address = settle(&socket, &listener.address).map_err(|source| match &listener.address {
        ListenAddress::Tcp(address) => BindError::tcp(*address, source),
        ListenAddress::Unix(path) => BindError::unix(path, source),
    })?;
    Ok(Bound { socket, door: Door::of(listener), configured: listener.address.clone(), address, file })
}

fn open(address: &ListenAddress) -> Result<(Socket, Option<SocketFile>), BindError> {
    match address {
        ListenAddress::Tcp(address) => TcpListener::bind(address)
            .map(|socket| (Socket::Tcp(socket), None))
            .map_err(|e| BindError::tcp(*address, e)),
        ListenAddress::Unix(path) => SocketFile::listen(path).map(|(socket, file)| (Socket::Unix(socket), Some(file))),
    }
}

/// Makes the socket fit for the runtime and tells its real address.
fn settle(socket: &Socket, configured: &ListenAddress) -> io::Result<ListenAddress> {
    match socket {
        Socket::Tcp(socket) => {
            socket.set_nonblocking(true)?;
            socket.local_addr().map(ListenAddress::Tcp)
        }
        Socket::Unix(socket) => socket.set_nonblocking(true).map(|()| configured.clone()),
    }
}
