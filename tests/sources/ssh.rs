//! Checkouts over ssh, from a real `sshd` on loopback.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use uwsd::ports::SourceError;

use crate::repository::{Repositories, until};
use crate::{Bench, config};

/// An `sshd` of this user's with a host key and one authorized key of its own; ended when dropped.
struct Sshd {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Sshd {
    /// `None`, said aloud, where no sshd is installed.
    fn serve() -> Option<Self> {
        let program = Path::new("/usr/sbin/sshd");
        if !program.exists() {
            eprintln!("SKIPPED: /usr/sbin/sshd is not there (package openssh-server)");
            return None;
        }
        if nix::unistd::geteuid().is_root() {
            // Where root's sshd shuts its unprivileged half in: empty, made at boot where the host runs one itself.
            fs::DirBuilder::new().recursive(true).mode(0o755).create("/run/sshd").unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        for name in ["host", "key", "other"] {
            make_key(&dir.path().join(name));
        }
        fs::copy(dir.path().join("key.pub"), dir.path().join("authorized")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Self::start(program, dir.path(), port);
        Some(Self { child, dir, port })
    }

    fn start(program: &Path, dir: &Path, port: u16) -> Child {
        let at = dir.display();
        // StrictModes would refuse keys below a directory that others may write to, as /tmp is.
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized\nPidFile none\n\
             AuthenticationMethods publickey\nPermitRootLogin yes\nStrictModes no\nUsePAM no\n"
        );
        fs::write(dir.join("sshd_config"), config).unwrap();
        let log = fs::File::create(dir.join("sshd.log")).unwrap();
        let child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(dir.join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        until("sshd answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        child
    }

    /// The same server with another host key.
    fn with_another_host_key(mut self) -> Self {
        self.end();
        for name in ["host", "host.pub"] {
            fs::remove_file(self.file(name)).unwrap();
        }
        make_key(&self.file("host"));
        self.child = Self::start(Path::new("/usr/sbin/sshd"), self.dir.path(), self.port);
        self
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of known hosts with this server under the public key of that name.
    fn known_as(&self, public_key: &str) -> PathBuf {
        let key = fs::read_to_string(self.file(public_key)).unwrap();
        let path = self.file(&format!("known as {public_key}"));
        fs::write(&path, format!("[127.0.0.1]:{} {key}", self.port)).unwrap();
        path
    }

    fn url(&self, repositories: &Repositories) -> String {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().expect("this user has a name").name;
        format!("ssh://{user}@127.0.0.1:{}{}", self.port, repositories.dir().display())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.end();
    }
}

fn make_key(path: &Path) {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status().unwrap();
    assert!(made.success());
}

/// What is said of a checkout that must be refused and leave nothing.
async fn refusal(bench: &Bench, url: &str) -> String {
    let error = bench.checkout(url, "").await.unwrap_err();
    let SourceError::Refused(why) = error else { panic!("{error:?}") };
    let left: Vec<_> = fs::read_dir(bench.dir.path().join("src")).into_iter().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    eprintln!("{why}");
    why
}

#[tokio::test]
async fn the_configured_key_and_known_hosts_open_a_repository() {
    let Some(sshd) = Sshd::serve() else { return };
    let repositories = Repositories::new();
    let bench = Bench::new(config::Sources {
        git_protocols: vec!["ssh".into()],
        ssh_key: Some(sshd.file("key")),
        known_hosts: Some(sshd.known_as("host.pub")),
        ..config()
    });
    let done = bench.checkout(&sshd.url(&repositories), "develop").await.unwrap();
    assert_eq!((done.commit, bench.readme()), (repositories.develop.clone(), "three".to_owned()));
}

#[tokio::test]
async fn a_host_key_that_is_not_known_is_refused() {
    let Some(sshd) = Sshd::serve() else { return };
    let repositories = Repositories::new();
    let url = sshd.url(&repositories);
    let with = |known_hosts| {
        let key = Some(sshd.file("key"));
        Bench::new(config::Sources { ssh_key: key, known_hosts: Some(known_hosts), ..config() })
    };
    let none = sshd.file("none");
    fs::write(&none, "").unwrap();
    let why = refusal(&with(none), &url).await;
    assert!(why.contains("Host key verification failed") && why.contains("sources.known_hosts"), "{why}");
    let why = refusal(&with(sshd.known_as("other.pub")), &url).await;
    assert!(why.contains("Host key verification failed") && why.contains("sources.known_hosts"), "{why}");
}

#[tokio::test]
async fn a_wrong_key_is_refused() {
    let Some(sshd) = Sshd::serve() else { return };
    let repositories = Repositories::new();
    let known_hosts = Some(sshd.known_as("host.pub"));
    let bench = Bench::new(config::Sources { ssh_key: Some(sshd.file("other")), known_hosts, ..config() });
    let why = refusal(&bench, &sshd.url(&repositories)).await;
    assert!(why.contains("Permission denied (publickey)") && why.contains("sources.ssh_key"), "{why}");
}

#[tokio::test]
async fn without_known_hosts_a_host_is_remembered_at_first_sight() {
    let Some(sshd) = Sshd::serve() else { return };
    let repositories = Repositories::new();
    let url = sshd.url(&repositories);
    let bench = Bench::new(config::Sources { ssh_key: Some(sshd.file("key")), ..config() });
    bench.checkout(&url, "").await.unwrap();
    bench.checkout(&url, "").await.unwrap();
    let _impostor = sshd.with_another_host_key();
    let why = refusal(&bench, &url).await;
    assert!(why.contains("Host key verification failed"), "{why}");
}
