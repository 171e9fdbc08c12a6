//! Those who wait for the supervisor's end or ask it to stop the run: a line `stop MILLISECONDS`, else nothing.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// How many are heard at a time; others wait in the socket's queue.
const MOST: usize = 128;
/// A longer line is no request.
const LONGEST: usize = 64;

/// The control socket and those who are connected to it.
#[derive(Debug)]
pub(super) struct Clients {
    listener: UnixListener,
    connected: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    socket: UnixStream,
    line: Vec<u8>,
}

/// What became of a client.
enum Heard {
    Nothing,
    Stop(Duration),
    Gone,
}

impl Clients {
    pub(super) fn new(listener: UnixListener) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener, connected: Vec::new() })
    }

    /// What to wait for.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let listener = (self.connected.len() < MOST).then(|| self.listener.as_fd());
        listener.into_iter().chain(self.connected.iter().map(|client| client.socket.as_fd()))
    }

    /// Hears everybody; the shortest grace that was asked for.
    pub(super) fn hear(&mut self) -> Option<Duration> {
        while self.connected.len() < MOST {
            let Ok((socket, _)) = self.listener.accept() else { break };
            if socket.set_nonblocking(true).is_ok() {
                self.connected.push(Client { socket, line: Vec::new() });
            }
        }
        let mut shortest: Option<Duration> = None;
        self.connected.retain_mut(|client| match client.hear() {
            Heard::Nothing => true,
            Heard::Stop(grace) => {
                shortest = Some(shortest.map_or(grace, |other| other.min(grace)));
                true
            }
            Heard::Gone => false,
        });
        shortest
    }
}

impl Client {
    fn hear(&mut self) -> Heard {
        let mut chunk = [0; LONGEST];
        match self.socket.read(&mut chunk) {
            Ok(0) => return Heard::Gone,
            Ok(n) => self.line.extend_from_slice(&chunk[..n]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Heard::Nothing;
            }
            Err(_) => return Heard::Gone,
        }
        if self.line.len() > LONGEST {
            return Heard::Gone;
        }
        let Some(end) = self.line.iter().position(|byte| *byte == b'\n') else { return Heard::Nothing };
        let line = String::from_utf8_lossy(&self.line[..end]).into_owned();
        self.line.drain(..=end);
        match line.strip_prefix("stop ").and_then(|millis| millis.parse().ok()) {
            Some(millis) => Heard::Stop(Duration::from_millis(millis)),
            None => Heard::Gone,
        }
    }
}
