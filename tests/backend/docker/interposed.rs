//! A socket in front of the engine's that treats some requests badly.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::Builder;
use std::time::Duration;

use tempfile::TempDir;

/// What becomes of a request whose head holds these words.
#[derive(Debug, Clone, Copy)]
pub enum Treatment {
    /// The connection breaks.
    Cut(&'static str),
    /// The engine gets it later, also if its sender has left by then.
    Delay(&'static str, Duration),
    /// The first so many are answered with 500.
    Fail(&'static str, u32),
    /// The first so many are answered with a log that the engine cannot read to its end.
    Tear(&'static str, u32),
    /// They are answered with the beginning of a log as if it were all of it.
    Shorten(&'static str),
    /// In all answers the first of these is told as the second, which is as long.
    Reword(&'static str, &'static str),
}

/// The socket, gone when this is dropped.
pub struct Interposed {
    dir: TempDir,
    met: Arc<AtomicU32>,
}

impl Interposed {
    pub fn before(engine: &Path, treatment: Treatment) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(dir.path().join("docker.sock")).expect("a socket");
        let engine = engine.to_owned();
        let met = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&met);
        let listen = move || {
            for client in listener.incoming().flatten() {
                let engine = engine.clone();
                let met = Arc::clone(&counted);
                let relay = move || relay(client, &engine, treatment, &met);
                Builder::new().spawn(relay).expect("a thread");
            }
        };
        Builder::new().spawn(listen).expect("a thread");
        Self { dir, met }
    }

    /// How many requests have come that are to fail or be torn, those beyond so many too.
    pub fn met(&self) -> u32 {
        self.met.load(Ordering::Relaxed)
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }
}

const FAILURE: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n\
    Content-Length: 21\r\nConnection: close\r\n\r\n{\"message\":\"on fire\"}";

const SHORT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\
    Connection: close\r\n\r\n\x01\0\0\0\0\0\0\x06begun\n";

const TORN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\
    Connection: close\r\n\r\n\x01\0\0\0\0\0\0\x06begun\n\
    \x03\0\0\0\0\0\0\x25Error grabbing logs: unexpected EOF\n";

fn relay(mut client: UnixStream, engine: &Path, treatment: Treatment, met: &AtomicU32) {
    let Ok(mut engine) = UnixStream::connect(engine) else { return };
    let (Ok(mut answers), Ok(mut to_client)) = (engine.try_clone(), client.try_clone()) else { return };
    let back = move || {
        let _ = match treatment {
            Treatment::Reword(from, to) => reword(&mut answers, &mut to_client, from.as_bytes(), to.as_bytes()),
            _ => io::copy(&mut answers, &mut to_client).map(drop),
        };
        let _ = to_client.shutdown(Shutdown::Both);
    };
    Builder::new().spawn(back).expect("a thread");
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n) = client.read(&mut buffer)
        && n > 0
    {
        let text = String::from_utf8_lossy(&buffer[..n]);
        let head = text.split("\r\n").next().unwrap_or_default();
        match treatment {
            Treatment::Cut(words) if head.contains(words) => {
                let _ = engine.shutdown(Shutdown::Both);
                let _ = client.shutdown(Shutdown::Both);
                return;
            }
            Treatment::Delay(words, delay) if head.contains(words) => std::thread::sleep(delay),
            Treatment::Fail(words, times) | Treatment::Tear(words, times)
                if head.contains(words) && met.fetch_add(1, Ordering::Relaxed) < times =>
            {
                let answer = if matches!(treatment, Treatment::Tear(..)) { TORN } else { FAILURE };
                let _ = client.write_all(answer);
                let _ = client.shutdown(Shutdown::Both);
                return;
            }
            Treatment::Shorten(words) if head.contains(words) => {
                let _ = client.write_all(SHORT);
                let _ = client.shutdown(Shutdown::Both);
                return;
            }
            Treatment::Cut(_)
            | Treatment::Delay(..)
            | Treatment::Fail(..)
            | Treatment::Tear(..)
            | Treatment::Shorten(_)
            | Treatment::Reword(..) => {}
        }
        if engine.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
    // The engine is not told that the client left: an engine's answer may be under way already when a client leaves.
}

/// Copies all, with `to` in place of `from`, which is as long: so the lengths that an answer tells of itself stay true.
fn reword(answers: &mut impl Read, client: &mut impl Write, from: &[u8], to: &[u8]) -> io::Result<()> {
    assert_eq!(from.len(), to.len());
    let (mut buffer, mut waiting) = (vec![0; 64 * 1024], Vec::new());
    loop {
        let n = answers.read(&mut buffer)?;
        waiting.extend_from_slice(&buffer[..n]);
        while let Some(at) = waiting.windows(from.len()).position(|words| words == from) {
            waiting[at..at + to.len()].copy_from_slice(to);
        }
        // What may be the beginning of it waits for the rest; anything else may be the end of an answer.
        let begun = (1..from.len()).rev().find(|n| waiting.ends_with(&from[..*n])).unwrap_or(0);
        let kept = if n == 0 { 0 } else { begun };
        client.write_all(&waiting[..waiting.len() - kept])?;
        waiting.drain(..waiting.len() - kept);
        if n == 0 {
            return Ok(());
        }
    }
}
