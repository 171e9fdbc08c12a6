//! The daemon's end of a supervisor's control socket.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::rundir::RunDir;

/// Stays with the run's supervisor until that ends, having asked it to stop the run if a grace is given.
///
/// `false`: there was no supervisor to connect to, or not yet.
pub(super) async fn attend(run: &RunDir, stop: Option<Duration>) -> io::Result<bool> {
    let mut supervisor = match connect(run).await {
        Ok(supervisor) => supervisor,
        Err(error) if is_absence(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    if let Some(grace) = stop {
        // A supervisor that ended meanwhile needs no request: the end is read below.
        let _ = supervisor.write_all(format!("stop {}\n", grace.as_millis()).as_bytes()).await;
    }
    let mut nothing = [0; 16];
    while let Ok(n) = supervisor.read(&mut nothing).await
        && n > 0
    {}
    Ok(true)
}

/// Has the run's supervisor do `order`, `pause` or `resume`; returns once it is done, or the supervisor has ended.
///
/// `false`: there was no supervisor to connect to, or not yet.
pub(super) async fn order(run: &RunDir, order: &str) -> io::Result<bool> {
    let mut supervisor = match connect(run).await {
        Ok(supervisor) => supervisor,
        Err(error) if is_absence(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    supervisor.write_all(format!("{order}\n").as_bytes()).await?;
    let mut answer = [0; 16];
    match supervisor.read(&mut answer).await {
        Ok(_) => Ok(true),
        Err(error) if is_absence(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

async fn connect(run: &RunDir) -> io::Result<UnixStream> {
    // Through the directory's descriptor: a socket's path has room for 107 bytes only.
    let dir = File::open(run.path()).await?;
    UnixStream::connect(format!("/proc/self/fd/{}/control", dir.as_raw_fd())).await
}

fn is_absence(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, WouldBlock};
    matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset | WouldBlock)
}
