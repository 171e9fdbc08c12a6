//! The contract on a real Docker engine: the one of `UWSD_TEST_DOCKER` (`unix:///path`), with the image of
//! `UWSD_TEST_IMAGE`, which has a shell and the usual small programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{getegid, geteuid};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use uuid::Uuid;
use uwsd::backend::docker::{DockerBackend, Instance};
use uwsd::config;
use uwsd::domain::JobId;
use uwsd::ports::{Backend, JobDirs, Network, Pull, RunRef, RunSpec, User};

use crate::suite::{Bed, Can, MAX_LOG, new_run};

mod dropped;
mod groups;
mod helpers;
mod images;
mod interposed;
mod layer;
mod logs;
mod registry;
mod stopping;
mod tls;
mod volumes;

/// Jobs as the daemon's own user, directories mounted.
mod own_user {
    crate::suite::contract!(super::own_user);
}

/// Jobs as another user, directories mounted.
mod another_user {
    crate::suite::contract!(super::another_user);
}

/// An engine that does not share the daemon's storage.
mod remote {
    crate::suite::contract!(super::remote);
}

async fn own_user() -> Option<Arc<dyn Bed>> {
    DockerBed::found(own(), true).await
}

async fn another_user() -> Option<Arc<dyn Bed>> {
    DockerBed::found(OTHER, true).await
}

async fn remote() -> Option<Arc<dyn Bed>> {
    DockerBed::found(OTHER, false).await
}

const OTHER: User = User { uid: 4711, gid: 4712 };

fn own() -> User {
    User { uid: geteuid().as_raw(), gid: getegid().as_raw() }
}

struct DockerBed {
    settings: config::Docker,
    image: String,
    user: User,
    instance: Instance,
    is_podman: bool,
    /// Whether the engine takes a group of ours above a container.
    has_groups: bool,
    backend: Arc<dyn Backend>,
    jobs: TempDir,
}

impl DockerBed {
    async fn found(user: User, shared_state: bool) -> Option<Arc<dyn Bed>> {
        Some(Arc::new(Self::of(user, shared_state).await?))
    }

    async fn of(user: User, shared_state: bool) -> Option<Self> {
        let Some(host) = variable("UWSD_TEST_DOCKER") else {
            eprintln!("SKIPPED: UWSD_TEST_DOCKER is not set, so nothing is known about the docker backend");
            return None;
        };
        let image = variable("UWSD_TEST_IMAGE").expect("UWSD_TEST_IMAGE names an image of that engine");
        let settings = config::Docker {
            host,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            shared_state,
            pull_timeout: Duration::from_secs(60),
            mirrors: Vec::new(),
            image_age: Duration::ZERO,
            credentials: "/nonexistent/config.json".into(),
            request_timeout: Duration::from_secs(30),
            log_driver: "local".to_owned(),
            max_log: MAX_LOG,
            log_max_size: 50 * 1024 * 1024,
        };
        let instance = Instance(Uuid::new_v4().to_string());
        let backend = adapter(&settings, &instance);
        let facts = backend.probe().await.expect("the engine answers");
        assert!(facts.description.contains("API 1."), "{facts:?}");
        let is_podman = facts.description.starts_with("Podman");
        let jobs = tempfile::tempdir().expect("a directory for jobs");
        let mut bed = Self { settings, image, user, instance, is_podman, has_groups: false, backend, jobs };
        bed.has_groups = ask(&bed.socket(), "info").contains("\"CgroupDriver\":\"cgroupfs\"");
        Some(bed)
    }

    /// Whether this is Podman, which has no such thing; says so aloud.
    fn lacks(&self, what: &str) -> bool {
        if self.is_podman {
            eprintln!("SKIPPED: Podman has not got {what}");
        }
        self.is_podman
    }

    /// Where the engine listens.
    fn socket(&self) -> PathBuf {
        self.settings.host.strip_prefix("unix://").expect("the tests' engine has a socket").into()
    }

    /// An adapter that reaches the engine through another socket.
    fn through(&self, interposed: &interposed::Interposed) -> Arc<dyn Backend> {
        let host = format!("unix://{}", interposed.path().display());
        adapter(&config::Docker { host, ..self.settings.clone() }, &self.instance)
    }

    /// Has the engine make something as `body`, JSON, says.
    fn make(&self, path: &str, body: &str) {
        let mut curl = Command::new("curl");
        curl.args(["-sf", "-H", "Content-Type: application/json", "-d", body, "--unix-socket"]).arg(self.socket());
        let done = curl.arg(format!("http://localhost/{path}")).output().expect("curl runs");
        assert!(done.status.success(), "the engine makes {path}");
    }

    /// All containers of `job`, helpers too, in the engine's words: `[]` if there is none.
    fn containers_of(&self, job: JobId) -> String {
        let filter = format!("%7B%22label%22%3A%5B%22org.uwsd.job%3D{job}%22%5D%7D");
        ask(&self.socket(), &format!("containers/json?all=true&filters={filter}"))
    }
}

#[expect(clippy::disallowed_methods, reason = "where the tests' engine is, only the environment tells")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn adapter(settings: &config::Docker, instance: &Instance) -> Arc<dyn Backend> {
    Arc::new(docker(settings, instance))
}

fn docker(settings: &config::Docker, instance: &Instance) -> DockerBackend {
    DockerBackend::new(settings.clone(), instance.clone(), TaskTracker::new()).expect("good settings")
}

impl Bed for DockerBed {
    fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend)
    }

    fn fresh_backend(&self) -> Arc<dyn Backend> {
        adapter(&self.settings, &self.instance)
    }

    fn other_instance(&self) -> Arc<dyn Backend> {
        adapter(&self.settings, &Instance(Uuid::new_v4().to_string()))
    }

    fn spec(&self, script: &str) -> RunSpec {
        let run = new_run();
        let dirs = JobDirs { root: self.jobs.path().join(run.job.to_string()) };
        for dir in [dirs.input(), dirs.source(), dirs.output(), dirs.home(), dirs.log(&run)] {
            std::fs::create_dir_all(dir).expect("made");
        }
        std::fs::write(dirs.input().join("parameters.json"), "{}\n").expect("written");
        let inside = JobDirs::inside(&run.job);
        let env = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("HOME", format!("{inside}/home")),
            ("JOB_OUTPUT_DIR", format!("{inside}/out")),
        ];
        RunSpec {
            run,
            service: "test".to_owned(),
            image: self.image.clone(),
            pull: Pull::Never,
            argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            env: env.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            user: self.user,
            extra_groups: vec![],
            cpus: 1.0,
            memory: 256 * 1024 * 1024,
            pids: 256,
            network: Network::None,
            mounts: vec![],
            secrets: vec![],
            dirs,
        }
    }

    fn can(&self, what: Can) -> bool {
        match what {
            // Of version 1 only the engine tells it, and Podman does not.
            Can::TellOutOfMemory => !self.is_podman || !is_version_1(),
            Can::LimitMemory
            | Can::LimitProcesses
            | Can::LimitLogs
            | Can::DropPrivileges
            | Can::Mount
            | Can::ExtraGroups
            | Can::Images => true,
            Can::ShareFiles => self.settings.shared_state,
            Can::TellHighExitCodes => false,
            // A group of root's holds it, where groups are not systemd's.
            Can::KeepPeak => geteuid().is_root() && self.has_groups,
        }
    }

    fn other_user(&self) -> Option<User> {
        (self.user == own()).then_some(OTHER)
    }

    fn engine_tells(&self, run: &RunRef) -> Option<String> {
        Some(ask(&self.socket(), &format!("containers/{}/json", run.name())))
    }
}

/// Whether memory is counted by version 1 of control groups.
fn is_version_1() -> bool {
    Path::new("/sys/fs/cgroup/memory").is_dir()
}

/// What the engine answers to those who ask it.
fn ask(socket: &Path, path: &str) -> String {
    request(socket, "GET", path)
}

/// Has the engine do something.
fn order(socket: &Path, path: &str) {
    request(socket, "POST", path);
}

/// Has the engine remove a container, as somebody does who takes no notice of the daemon.
fn remove(socket: &Path, container: &str) {
    request(socket, "DELETE", &format!("containers/{container}?force=true"));
}

fn request(socket: &Path, method: &str, path: &str) -> String {
    let url = format!("http://localhost/{path}");
    let mut curl = Command::new("curl");
    curl.args(["-sf", "-X", method, "--unix-socket"]).arg(socket).arg(url);
    let told = curl.output().expect("curl runs");
    assert!(told.status.success(), "the engine answers {path}");
    String::from_utf8_lossy(&told.stdout).trim().to_owned()
}
