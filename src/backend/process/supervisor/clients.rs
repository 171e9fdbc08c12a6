//! Those who wait for the supervisor's end, ask it to stop the run by a line `stop MILLISECONDS`, or to halt it or let it go
//! on by `pause` or `resume`, which is answered by `done`.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use crate::backend::process::inside::{PAUSE, RESUME};

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
    /// Whether it gave an order that was not answered yet.
    is_owed: bool,
}

/// What became of a client.
enum Heard {
    Nothing,
    Stop(Duration),
    Order(&'static str),
    Gone,
}

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// The shortest grace of those who want the run stopped.
    pub(super) stop: Option<Duration>,
    /// `pause` and `resume`, in their order.
    pub(super) orders: Vec<&'static str>,
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

    /// Hears everybody.
    pub(super) fn hear(&mut self) -> Wishes {
        while self.connected.len() < MOST {
            let Ok((socket, _)) = self.listener.accept() else { break };
            if socket.set_nonblocking(true).is_ok() {
                self.connected.push(Client { socket, line: Vec::new(), is_owed: false });
            }
        }
        let mut wishes = Wishes::default();
        self.connected.retain_mut(|client| match client.hear() {
            Heard::Nothing => true,
            Heard::Stop(grace) => {
                wishes.stop = Some(wishes.stop.map_or(grace, |other| other.min(grace)));
                true
            }
            Heard::Order(order) => {
                client.is_owed = true;
                wishes.orders.push(order);
                true
            }
            Heard::Gone => false,
        });
        wishes
    }

    /// Tells those who gave an order that it is done.
    pub(super) fn obeyed(&mut self) {
        for client in self.connected.iter_mut().filter(|client| client.is_owed) {
            client.is_owed = false;
            let _ = client.socket.write_all(b"done\n"); // one that went away needs no answer
        }
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
        match line.strip_prefix("stop ").map(str::parse) {
            Some(Ok(millis)) => Heard::Stop(Duration::from_millis(millis)),
            None if line == PAUSE => Heard::Order(PAUSE),
            None if line == RESUME => Heard::Order(RESUME),
            Some(Err(_)) | None => Heard::Gone,
        }
    }
}
