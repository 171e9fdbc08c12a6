//! A git server of a test's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::bed::free_port;

/// A git server on loopback with one small repository, `job.git`.
pub struct GitServer {
    child: Child,
    dir: TempDir,
    port: u16,
}

impl GitServer {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let work = dir.path().join("work");
        let script = "\
            set -eu\n\
            echo \"at $(pwd)\"\n\
            printf '%s' \"$GREETING\" > \"$JOB_OUTPUT_DIR/greeting.txt\"\n\
            echo done > \"$JOB_OUTPUT_DIR/ocps.log\"\n\
            echo oops >&2\n";
        std::fs::create_dir_all(work.join("bin")).expect("made");
        std::fs::write(work.join("bin/pipetask.sh"), script).expect("written");
        git(&work, &["init", "-q", "-b", "main"]);
        git(&work, &["add", "."]);
        git(&work, &["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "one"]);
        git(dir.path(), &["clone", "-q", "--bare", "work", "job.git"]);
        let port = free_port();
        let child = Command::new("git")
            .args(["daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", dir.path().display()))
            .arg(dir.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("git daemon");
        let server = Self { child, dir, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < deadline, "git daemon does not answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server
    }

    pub fn url(&self) -> String {
        format!("git://127.0.0.1:{}/job.git", self.port)
    }

    pub fn head(&self) -> String {
        let output = Command::new("git").args(["rev-parse", "main"]).current_dir(self.bare()).output().expect("git");
        String::from_utf8(output.stdout).expect("hex").trim().to_owned()
    }

    fn bare(&self) -> PathBuf {
        self.dir.path().join("job.git")
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        // `git` runs `git-daemon` as a child of its own, and passes on what can be caught.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        drop(self.child.wait());
    }
}

fn git(dir: &Path, arguments: &[&str]) {
    let status = Command::new("git").args(arguments).current_dir(dir).status().expect("git");
    assert!(status.success(), "git {arguments:?}");
}
