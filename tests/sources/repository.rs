//! Repositories and servers on this host for the tests.

use std::net::TcpListener as StdListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Runs git with `arguments` in `dir` and returns what it wrote.
pub(crate) fn git(dir: &Path, arguments: &[&str]) -> String {
    let done = Command::new("git")
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.org")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.org")
        .args(arguments)
        .output()
        .expect("git is there");
    assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// A directory of repositories with one, `x.git`: `main` (two commits, the first tagged `v1`), `develop`, and the name
/// `both` for a branch and a tag.
pub(crate) struct Repositories {
    pub(crate) root: tempfile::TempDir,
    /// The first commit: tag `v1`, and tag `both`.
    pub(crate) first: String,
    /// The tip of `main`, the default branch.
    pub(crate) main: String,
    /// The tip of `develop`, and branch `both`.
    pub(crate) develop: String,
    /// On no branch any more.
    pub(crate) orphan: String,
}

impl Repositories {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("temp dir");
        let dir = root.path().join("x.git");
        std::fs::create_dir(&dir).expect("dir");
        git(&dir, &["init", "--quiet", "-b", "main"]);
        let first = commit(&dir, "README", "one");
        git(&dir, &["tag", "-a", "-m", "release", "v1"]);
        git(&dir, &["tag", "both"]);
        git(&dir, &["checkout", "--quiet", "-b", "develop"]);
        let develop = commit(&dir, "README", "three");
        git(&dir, &["branch", "both"]);
        git(&dir, &["checkout", "--quiet", "main"]);
        let main = commit(&dir, "README", "two");
        let orphan = commit(&dir, "README", "gone");
        git(&dir, &["reset", "--quiet", "--hard", &main]);
        git(&dir, &["update-server-info"]);
        Self { root, first, main, develop, orphan }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.root.path().join("x.git")
    }
}

/// Commits `content` as `file` and returns the hash.
pub(crate) fn commit(dir: &Path, file: &str, content: impl AsRef<[u8]>) -> String {
    std::fs::write(dir.join(file), content).expect("file");
    git(dir, &["add", "--all"]);
    git(dir, &["commit", "--quiet", "--no-verify", "-m", file]);
    git(dir, &["rev-parse", "HEAD"])
}

/// `git daemon` on a free port of loopback; ended when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) port: u16,
}

impl Daemon {
    pub(crate) fn serve(root: &Path) -> Self {
        let listener = StdListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let child = Command::new("git")
            .args(["daemon", "--listen=127.0.0.1", "--reuseaddr", "--export-all", "--informative-errors"])
            .args([format!("--port={port}"), format!("--base-path={}", root.display())])
            .arg(root)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("git daemon is there");
        until("git daemon answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { child, port }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Plain `git` starts `git-daemon` as a child of its own and passes this signal on.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// Serves the files below `root` over HTTP to whoever sends `login` in its `Authorization` header; the port.
pub(crate) async fn serve_files(tasks: &mut JoinSet<()>, root: PathBuf, login: Option<&'static str>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let (mut path, mut is_allowed) = (String::new(), login.is_none());
            let mut line = String::new();
            while stream.read_line(&mut line).await.is_ok_and(|count| count > 2) {
                if let Some(rest) = line.strip_prefix("GET /") {
                    path = rest.split([' ', '?']).next().unwrap_or_default().to_owned();
                }
                is_allowed |= login.is_some_and(|login| line.trim_end() == format!("Authorization: Basic {login}"));
                line.clear();
            }
            let (status, body) = match std::fs::read(root.join(&path)) {
                _ if !is_allowed => ("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"", Vec::new()),
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
            let _ = stream.shutdown().await;
        }
    });
    port
}

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
