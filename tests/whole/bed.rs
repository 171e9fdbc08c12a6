//! A daemon of its own: state in a temporary directory, a free port, the tests' engine.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::query_parameters::ListContainersOptionsBuilder;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tempfile::TempDir;

/// The daemon as it was built.
pub const UWSD: &str = env!("CARGO_BIN_EXE_uwsd");

/// What runs the jobs of a test.
#[derive(Clone)]
pub enum Engine {
    /// The tests' engine, and the image in it.
    Docker { host: String, image: String },
    /// Processes inside bubblewrap.
    Process,
}

impl Engine {
    /// The engine and the image of the tests, or `None`, said aloud.
    pub fn docker() -> Option<Self> {
        let variable = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let engine = variable("UWSD_TEST_DOCKER").zip(variable("UWSD_TEST_IMAGE"));
        if engine.is_none() {
            eprintln!("SKIPPED: UWSD_TEST_DOCKER and UWSD_TEST_IMAGE are not set; tests/run sets them");
        }
        engine.map(|(host, image)| Self::Docker { host, image })
    }

    /// Whether its jobs have cgroups: local processes have them here where the daemon is root.
    pub fn has_groups(&self) -> bool {
        match self {
            Self::Docker { .. } => true,
            Self::Process => nix::unistd::geteuid().is_root(),
        }
    }
}

/// Makes a test of each of these functions for every backend.
macro_rules! everywhere {
    ($($name:ident),* $(,)?) => {
        mod docker {
            $(#[tokio::test]
            async fn $name() {
                if let Some(engine) = crate::bed::Engine::docker() {
                    super::$name(&engine).await;
                }
            })*
        }
        mod process {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&crate::bed::Engine::Process).await;
            })*
        }
    };
}
pub(crate) use everywhere;

/// State that daemons one after the other use.
pub struct Bed {
    dir: TempDir,
    engine: Engine,
    port: u16,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A running daemon; killed with -9 when dropped.
pub struct Daemon(Child);

/// An answer, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Bed {
    /// A bed whose service has `extra` lines of configuration.
    pub fn new(engine: &Engine, extra: &str) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let count = dir.path().join("count");
        std::fs::create_dir(&count).expect("made");
        let (backend, image) = match engine {
            Engine::Docker { host, image } => {
                (format!("kind = \"docker\"\n[backend.docker]\nhost = {host:?}"), format!("image = {image:?}"))
            }
            Engine::Process => ("kind = \"process\"".to_owned(), String::new()),
        };
        let config = format!(
            "[backend]\n{backend}\n\n[sources]\ngit_protocols = [\"git\", \"http\"]\n\n\
             [queue]\nmax_running = 4\ncpus = 8\n\n\
             [service.ocps]\n{image}\npull = \"never\"\nnetwork = \"none\"\ncpus = 0.5\nmemory = \"256MiB\"\n\
             kill_grace = \"2s\"\nmounts = [{{ source = '{}', target = \"/count\", read_only = false }}]\n{extra}\n",
            count.display()
        );
        std::fs::write(dir.path().join("uwsd.toml"), config).expect("written");
        Self {
            dir,
            engine: engine.clone(),
            port: free_port(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// The same with other words in its configuration.
    pub fn reworded(self, from: &str, to: &str) -> Self {
        let file = self.path().join("uwsd.toml");
        let config = std::fs::read_to_string(&file).expect("written");
        assert!(config.contains(from), "{config}");
        std::fs::write(file, config.replace(from, to)).expect("written");
        self
    }

    /// The same, reached at another port.
    pub fn at_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The URL of a path of the daemon.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Waits until a condition holds, at most a minute.
    pub async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !condition().await {
            assert!(Instant::now() < deadline, "waited in vain for {what}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Starts the daemon and waits until it answers; with `crash` it dies at that step of a job's life.
    pub async fn start(&self, crash: Option<&str>) -> Daemon {
        let mut command = Command::new(UWSD);
        command.stdin(Stdio::null());
        self.start_by(command, crash).await
    }

    /// The same by a command that takes the daemon's arguments at its end.
    pub async fn start_by(&self, mut command: Command, crash: Option<&str>) -> Daemon {
        if let Some(point) = crash {
            command.env("UWSD_TEST_CRASH", point);
        }
        let mut daemon = self.spawn(command);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if self.try_get("/healthz").await.is_some_and(|answer| answer.status == StatusCode::OK) {
                return daemon;
            }
            // It may have died by the wish of the test before it could answer: a job was left to go on with.
            if daemon.is_dead() && crash.is_some() {
                return daemon;
            }
            assert!(!daemon.is_dead() && Instant::now() < deadline, "the daemon does not answer:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The same, and does not wait.
    pub fn spawn(&self, mut command: Command) -> Daemon {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path().join("daemon.log"));
        command
            .arg("serve")
            .arg("--config")
            .arg(self.path().join("uwsd.toml"))
            .arg("--listen")
            .arg(format!("127.0.0.1:{}", self.port))
            .arg("--state-dir")
            .arg(self.path().join("state"))
            .stderr(log.expect("log file"));
        Daemon(command.spawn().expect("started"))
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("daemon.log")).unwrap_or_default()
    }

    async fn try_get(&self, path: &str) -> Option<Answer> {
        self.try_request("GET", path, &[], Bytes::new()).await.ok()
    }

    pub async fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let uri = format!("http://127.0.0.1:{}{path}", self.port);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.client.request(request.body(Full::new(body.into()))?).await?;
        let (parts, body) = answer.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.collect().await?.to_bytes() })
    }

    pub async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        self.try_request(method, path, headers, body).await.expect("an answer")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], Bytes::new()).await
    }

    /// Submits as the OCPS client does; returns the whole answer.
    pub async fn put(&self, job: &Value) -> Answer {
        self.request("PUT", "/api/v1/job", &[("content-type", "application/json")], job.to_string()).await
    }

    pub async fn submit(&self, command: &str) -> String {
        let answer = self.put(&serde_json::json!({ "command": command, "url": null })).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()["jobId"].as_str().expect("an id").to_owned()
    }

    /// Polls until the job has ended; returns the last document.
    pub async fn ends(&self, id: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.get(&format!("/api/v1/job/{id}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
            let job = answer.json();
            if matches!(job["phase"].as_str(), Some("completed" | "error" | "aborted")) {
                return job;
            }
            assert!(Instant::now() < deadline, "{job} does not end:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How often the command of `id` ran, if it appends a line to `/count/$JOB_ID`.
    pub fn times_run(&self, id: &str) -> usize {
        std::fs::read_to_string(self.path().join("count").join(id)).unwrap_or_default().lines().count()
    }

    /// What of the job runs at this moment: containers, as the engine tells, or processes of its environment.
    pub async fn runs_of(&self, id: &str) -> Vec<String> {
        match &self.engine {
            Engine::Docker { host, .. } => {
                containers(host, false).await.into_iter().filter(|name| name.contains(id)).collect()
            }
            Engine::Process => {
                let variable = format!("JOB_ID={id}");
                let is_its = |pid: &String| {
                    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                    environment.split(|byte| *byte == 0).any(|one| one == variable.as_bytes())
                };
                directories(Path::new("/proc")).into_iter().filter(is_its).collect()
            }
        }
    }

    /// Waits until no run of any job of `ids` is left.
    pub async fn leaves_no_run(&self, ids: &[String]) {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let mut names = match &self.engine {
                Engine::Docker { host, .. } => containers(host, true).await,
                Engine::Process => directories(&self.path().join("state/runs")),
            };
            names.retain(|name| ids.iter().any(|id| name.contains(id.as_str())));
            if names.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left over: {names:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The names of all containers, or of those that run.
async fn containers(host: &str, is_all: bool) -> Vec<String> {
    let path = host.strip_prefix("unix://").expect("a local engine");
    let docker = Docker::connect_with_unix(path, 30, bollard::API_DEFAULT_VERSION).expect("connected");
    let docker = docker.negotiate_version().await.expect("an engine");
    let which = ListContainersOptionsBuilder::default().all(is_all).build();
    let containers = docker.list_containers(Some(which)).await.expect("listed");
    containers.into_iter().flat_map(|container| container.names.unwrap_or_default()).collect()
}

fn directories(path: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

impl Daemon {
    pub fn is_dead(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_some()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).expect("a pid"));
        nix::sys::signal::kill(pid, signal).expect("sent");
    }

    /// SIGTERM; returns the exit code.
    pub async fn terminate(mut self) -> Option<i32> {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        self.dies().await
    }

    /// Waits until it has died by itself; returns the exit code.
    pub async fn dies(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.0.try_wait().expect("a child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the daemon does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}
