//! An engine of a test's own, to be stopped, killed and halted.

use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::bed::Engine;

const IMAGE: &str = "uwsd-test:latest";

/// Ended when dropped, with all that it runs.
pub struct OwnEngine {
    dir: TempDir,
}

impl OwnEngine {
    /// One with the tests' image, or `None`, said aloud; with `is_live_restore` containers live through its restarts.
    pub async fn start(is_live_restore: bool) -> Option<Self> {
        Self::start_with(&format!("{{\"live-restore\": {is_live_restore}}}")).await
    }

    /// One with the tests' image and this configuration.
    pub async fn start_with(config: &str) -> Option<Self> {
        Engine::docker()?;
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: an engine of its own needs root");
            return None;
        }
        let engine = Self { dir: tempfile::Builder::new().prefix("engine").tempdir().expect("a directory") };
        std::fs::write(engine.dir.path().join("dockerd.conf"), config).expect("written");
        engine.deed(&[]).await;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/job-image.sh");
        run(Command::new(script).args([IMAGE, "--host", &engine.host()]));
        Some(engine)
    }

    fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("docker.sock").display())
    }

    pub fn engine(&self) -> Engine {
        Engine::Docker { host: self.host(), image: IMAGE.to_owned() }
    }

    /// What `tests/bed/dockerd.sh` does with these options.
    pub async fn deed(&self, options: &'static [&'static str]) {
        let dir = self.dir.path().to_owned();
        let done = tokio::task::spawn_blocking(move || {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/dockerd.sh");
            run(Command::new(script).args(options).arg(dir));
        });
        done.await.expect("done");
    }

    /// Sends a signal to `dockerd`.
    pub fn signal(&self, signal: Signal) {
        let pid = std::fs::read_to_string(self.dir.path().join("dockerd.pid")).expect("it runs");
        kill(Pid::from_raw(pid.trim().parse().expect("a pid")), signal).expect("sent");
    }

    /// What the engine answers to a request.
    pub fn ask(&self, method: &str, path: &str) -> String {
        let socket = self.dir.path().join("docker.sock");
        let mut curl = Command::new("curl");
        curl.args(["-fsS", "--max-time", "30", "-X", method, "--unix-socket"]).arg(socket);
        run(curl.arg(format!("http://localhost{path}")))
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/dockerd.sh");
        drop(Command::new(script).arg("--power-off").arg(self.dir.path()).status());
    }
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("a program");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
