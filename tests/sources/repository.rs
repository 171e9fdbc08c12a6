//! Repositories and servers on this host for the tests.

use std::net::TcpListener as StdListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
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

/// Commits files that are so many and large that git fetches them as a pack, and not at one go.
pub(crate) fn commit_large(dir: &Path) -> String {
    for file in 0..150_u64 {
        let noise = (1..2500).flat_map(|n| (file * 2500 + n).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
        std::fs::write(dir.join(format!("large{file}")), noise.collect::<Vec<u8>>()).expect("file");
    }
    commit(dir, "large", "")
}

/// `git daemon` on a free port of loopback; ended when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) port: u16,
    packets: tempfile::NamedTempFile,
}

impl Daemon {
    pub(crate) fn serve(root: &Path) -> Self {
        let listener = StdListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let packets = tempfile::NamedTempFile::new().expect("temp file");
        let child = Command::new("git")
            .env("GIT_TRACE_PACKET", packets.path())
            .args(["daemon", "--listen=127.0.0.1", "--reuseaddr", "--export-all", "--informative-errors"])
            .args([format!("--port={port}"), format!("--base-path={}", root.display())])
            .arg(root)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("git daemon is there");
        until("git daemon answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { child, port, packets }
    }

    pub(crate) fn url(&self) -> String {
        format!("git://127.0.0.1:{}/x.git", self.port)
    }

    /// How often it was asked for its refs, and for objects.
    pub(crate) fn asked(&self) -> (usize, usize) {
        let packets = std::fs::read_to_string(self.packets.path()).expect("written by git");
        let count = |command: &str| packets.matches(&format!("< command={command}")).count();
        (count("ls-refs"), count("fetch"))
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

/// Stands before a server and lets through only the first bytes of its answers while it is closed.
pub(crate) struct Gate {
    pub(crate) port: u16,
    is_open: watch::Sender<bool>,
    connections: Arc<AtomicUsize>,
}

impl Gate {
    /// An open gate before the server on port `to`; closed, it lets through `free` bytes of each answer.
    pub(crate) async fn serve(tasks: &mut JoinSet<()>, to: u16, free: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (is_open, opened) = watch::channel(true);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tasks.spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                passing.spawn(pass(client, to, free, opened.clone()));
            }
        });
        Self { port, is_open, connections }
    }

    pub(crate) fn url(&self) -> String {
        format!("git://127.0.0.1:{}/x.git", self.port)
    }

    pub(crate) fn close(&self) {
        self.is_open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Returns once there were `count` connections.
    pub(crate) async fn reached(&self, count: usize) {
        eventually("connections", || self.connections() >= count).await;
    }
}

async fn pass(client: TcpStream, to: u16, free: u64, mut opened: watch::Receiver<bool>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let (mut questions, mut client) = client.into_split();
    let (answers, mut server) = server.into_split();
    let mut first = answers.take(free);
    tokio::join!(
        async {
            let _ = tokio::io::copy(&mut questions, &mut server).await;
            let _ = server.shutdown().await;
        },
        async {
            let _ = tokio::io::copy(&mut first, &mut client).await;
            if opened.wait_for(|is_open| *is_open).await.is_ok() {
                let _ = tokio::io::copy(&mut first.into_inner(), &mut client).await;
            }
            let _ = client.shutdown().await;
        }
    );
}

/// Waits until `condition` holds, while other futures go on.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(), "in vain: {what}");
}

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
