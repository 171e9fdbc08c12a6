//! The accept loop of each listener, and how a listener is closed or told of another trust.

use std::io;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::extract::Via;
use super::listen::{Bound, Door, Socket};
use super::server::{Connections, Routes};
use super::socket_file::SocketFile;
use crate::config::{ListenAddress, Listener};

/// How long the loop rests after the system refused a connection for want of resources.
const REST: Duration = Duration::from_millis(200);

/// The listeners that are open: what tells them of another trust, and of their end.
pub(super) struct Doors {
    soft: CancellationToken,
    open: Vec<(ListenAddress, watch::Sender<Door>, CancellationToken)>,
}

impl Doors {
    /// None is open yet; `soft` closes all that will be.
    pub(super) const fn new(soft: CancellationToken) -> Self {
        Self { soft, open: Vec::new() }
    }

    /// Hands listeners to the runtime.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn open(&mut self, bound: Vec<Bound>) -> io::Result<Vec<OpenListener>> {
        let open = |bound: Bound| {
            let (address, close) = (bound.configured().clone(), self.soft.child_token());
            let (socket, door, file) = bound.into_parts();
            let socket = match socket {
                Socket::Tcp(socket) => Accepting::Tcp(TcpListener::from_std(socket)?),
                Socket::Unix(socket) => Accepting::Unix(UnixListener::from_std(socket)?),
            };
            let is_of_operators = matches!(door.trust, crate::config::Trust::Operator);
            let (door, told) = watch::channel(door);
            if !is_of_operators {
                self.open.push((address, door, close.clone()));
            }
            Ok(OpenListener { socket, door: told, close, _file: file })
        };
        bound.into_iter().map(open).collect()
    }

    /// Closes those that are not `wanted`, and tells the others what they trust from now on.
    pub(super) fn keep(&mut self, wanted: &[Listener]) {
        self.open.retain(|(address, door, close)| {
            let listener = wanted.iter().find(|listener| listener.address == *address);
            match listener {
                Some(listener) => drop(door.send_replace(Door::of(listener))),
                None => close.cancel(),
            }
            listener.is_some()
        });
    }
}

/// A listener on the runtime.
pub(super) struct OpenListener {
    socket: Accepting,
    door: watch::Receiver<Door>,
    /// Ends it, and tells its connections so.
    pub(super) close: CancellationToken,
    /// Keeps the socket's file until the end.
    _file: Option<SocketFile>,
}

enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Accepted {
    Tcp(TcpStream, Via),
    Unix(UnixStream),
}

impl OpenListener {
    /// Serves whoever connects, until it is closed.
    pub(super) async fn accept<S: Routes>(self, with: &Connections<'_, S>) {
        // Nothing is lost when this is: a connection that was not accepted waits in the kernel.
        while let Some(accepted) = self.close.run_until_cancelled(self.next()).await {
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    rest(&error, &self.close).await;
                    continue;
                }
            };
            // One that was accepted is never dropped unserved, also if the stop comes while it waits for a place.
            let Some(place) = with.place().await else { return };
            let door = self.door.borrow().clone();
            match accepted {
                Accepted::Tcp(stream, via) => with.spawn(stream, via, &door, place),
                Accepted::Unix(stream) => with.spawn(stream, Via::Unix, &door, place),
            }
        }
    }

    async fn next(&self) -> io::Result<Accepted> {
        match &self.socket {
            Accepting::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                stream.set_nodelay(true)?;
                // A client that vanished without a word is noticed while we wait for it.
                setsockopt(&stream, sockopt::KeepAlive, &true)?;
                let local = stream.local_addr()?.ip().to_canonical();
                Ok(Accepted::Tcp(stream, Via::Tcp { local, remote }))
            }
            Accepting::Unix(listener) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

/// After an error of one connection goes on at once, after one of the system's resources rests.
async fn rest(error: &io::Error, close: &CancellationToken) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput, NotConnected};
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | InvalidInput | NotConnected) {
        tracing::debug!(%error, "a client gave up before it was served");
        return;
    }
    tracing::error!(%error, "a connection could not be accepted; trying again");
    close.run_until_cancelled(tokio::time::sleep(REST)).await;
}
