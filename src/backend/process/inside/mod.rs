//! The processes inside the sandbox: its init, and the last step before the command.
//!
//! Their standard input is a socket: the safe way to be given a descriptor that must not reach the command. Standard
//! output and error are the run's, from the beginning.

mod command;
mod dispositions;
mod init;
mod messages;

pub(super) use command::command_main;
pub(super) use init::init_main;
pub(super) use messages::{FromInit, PAUSE, RESUME, TERMINATE};

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// Takes the socket off standard input and puts nothing there; what is executed later does not inherit the socket.
fn take_standard_input() -> io::Result<UnixStream> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    Ok(UnixStream::from(socket))
}
