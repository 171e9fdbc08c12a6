//! The supervisor's end of the socket to the sandbox's init.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::backend::process::inside::{FromInit, TERMINATE};
use crate::backend::process::plan::Command;

/// No line of init's is longer, by far.
const LONGEST: usize = 64 * 1024;

/// The link to the sandbox's init.
#[derive(Debug)]
pub(super) struct Link {
    socket: Option<UnixStream>,
    pending: Vec<u8>,
}

impl Link {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self { socket: Some(socket), pending: Vec::new() }
    }

    /// What to wait for; `None` once init has closed its end.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(UnixStream::as_fd)
    }

    /// What init has said; to be called when there is something.
    pub(super) fn hear(&mut self) -> Vec<FromInit> {
        let mut chunk = [0; 4096];
        match self.socket.as_mut().map(|socket| socket.read(&mut chunk)) {
            None => {}
            Some(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
            Some(Ok(0) | Err(_)) => self.socket = None,
            Some(Ok(n)) => self.pending.extend_from_slice(&chunk[..n]),
        }
        let mut words = Vec::new();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            words.extend(serde_json::from_slice::<FromInit>(&line));
        }
        if self.pending.len() > LONGEST {
            self.socket = None;
        }
        words
    }

    /// Tells init what to run.
    pub(super) fn send(&mut self, command: &Command) -> io::Result<()> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.write(&line)
    }

    /// Has init ask everything in the sandbox to end.
    pub(super) fn terminate(&mut self) {
        let _ = self.write(format!("{TERMINATE}\n").as_bytes()); // an init that is gone needs no word
    }

    /// Has init halt everything in the sandbox, or let it go on; it says when that is done.
    pub(super) fn order(&mut self, word: &str) {
        let _ = self.write(format!("{word}\n").as_bytes());
    }

    /// Closes the link: init then ends, and with it the sandbox.
    pub(super) fn cut(&mut self) {
        self.socket = None;
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.socket {
            Some(socket) => socket.write_all(bytes),
            None => Err(ErrorKind::BrokenPipe.into()),
        }
    }
}
