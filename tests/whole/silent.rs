//! A server that takes every connection and never says a word.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

use nix::sched::{CloneFlags, setns};

pub struct Silent {
    /// Where it listens, on loopback.
    pub port: u16,
    came: Arc<AtomicUsize>,
    left: Arc<AtomicUsize>,
}

impl Silent {
    pub fn here() -> Self {
        Self::of(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    /// One on the loopback of the tests' engine, which is not that of this process; `None`, said aloud, if it cannot be had.
    pub fn beside(host: &str) -> Option<Self> {
        let socket = Path::new(host.strip_prefix("unix://")?);
        let pid = std::fs::read_to_string(socket.with_file_name("dockerd.pid"));
        let (Ok(pid), true) = (pid, nix::unistd::geteuid().is_root()) else {
            eprintln!("SKIPPED: a server beside the engine needs root and the engine of tests/bed/dockerd.sh");
            return None;
        };
        let bind = move || {
            // Of this thread alone.
            setns(std::fs::File::open(format!("/proc/{}/ns/net", pid.trim()))?, CloneFlags::CLONE_NEWNET)?;
            TcpListener::bind("127.0.0.1:0")
        };
        let bound = Builder::new().spawn(bind).expect("a thread").join().expect("it does not panic");
        Some(Self::of(bound.expect("a port")))
    }

    fn of(listener: TcpListener) -> Self {
        let port = listener.local_addr().expect("bound").port();
        let (came, left) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let silent = Self { port, came: Arc::clone(&came), left: Arc::clone(&left) };
        let listen = move || {
            for mut client in listener.incoming().flatten() {
                came.fetch_add(1, Ordering::SeqCst);
                let left = Arc::clone(&left);
                let hear = move || {
                    let _ = io::copy(&mut client, &mut io::sink());
                    left.fetch_add(1, Ordering::SeqCst);
                };
                Builder::new().spawn(hear).expect("a thread");
            }
        };
        Builder::new().spawn(listen).expect("a thread");
        silent
    }

    /// Whether somebody came, and everybody has left again.
    pub fn is_left_alone(&self) -> bool {
        let left = self.left.load(Ordering::SeqCst);
        left > 0 && left == self.came.load(Ordering::SeqCst)
    }
}
