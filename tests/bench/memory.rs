//! Resident memory of the built daemon: idle, with 100,000 stored jobs, and after a list of them was read.

use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load;

const JOBS: usize = 100_000;

/// A daemon that starts no jobs; ended when dropped.
pub struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Daemon {
    pub fn start(dir: &Path, port: u16) -> Self {
        let config = dir.join("uwsd.toml");
        std::fs::write(&config, "[queue]\nmax_running = 0\nmax_queued = 1000000\n[server]\nmax_connections = 20000\n")
            .expect("written");
        let child = Command::new(env!("CARGO_BIN_EXE_uwsd"))
            .arg("serve")
            .arg("--config")
            .arg(config)
            .arg("--listen")
            .arg(format!("127.0.0.1:{port}"))
            .arg("--state-dir")
            .arg(dir.join("state"))
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the daemon does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child)
    }

    pub fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("linux");
        let kib: f64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
        kib / 1024.0
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

fn list(port: u16) -> usize {
    use std::io::Write;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    stream.write_all(b"GET /api/v1/job HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").expect("asked");
    let (mut total, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        match stream.read(&mut buffer).expect("read") {
            0 => return total,
            read => total += read,
        }
    }
}

pub fn measure() {
    let dir = tempfile::tempdir().expect("temp dir");
    let port = free_port();
    println!("resident memory of the daemon (aim: below 16 MiB idle)");
    {
        let daemon = Daemon::start(dir.path(), port);
        std::thread::sleep(Duration::from_secs(2));
        println!("{:>40} {:>8.1} MiB", "idle, empty", daemon.resident_mib());
        load::fill(port, 64, JOBS);
        println!("{:>40} {:>8.1} MiB", format!("after {JOBS} submissions"), daemon.resident_mib());
    }
    let daemon = Daemon::start(dir.path(), port);
    std::thread::sleep(Duration::from_secs(2));
    println!("{:>40} {:>8.1} MiB", format!("idle, {JOBS} stored jobs"), daemon.resident_mib());
    let begin = Instant::now();
    let bytes = list(port);
    println!(
        "{:>40} {:>8.1} MiB",
        format!("after a list of {} MB in {:.1?}", bytes / 1_000_000, begin.elapsed()),
        daemon.resident_mib()
    );
    println!();
}
