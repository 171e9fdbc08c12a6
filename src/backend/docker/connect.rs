//! Reaching the engine, and what it says of itself.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{SystemInfo, SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum};
use bollard::query_parameters::InspectNetworkOptions;
use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};
use tokio::time::timeout;

use super::credentials::with_readable_login;
use super::error::{DOCKER, failed, is_unreachable, refused, words_of};
use crate::backend::system::{BOOT_ID, blocking, boot_id};
use crate::config;
use crate::ports::{BackendError, EngineFacts};

/// The client's own limit; ours, a deadline for each request, is shorter, and streams have none.
const NEVER: u64 = 10 * 365 * 24 * 3600;

/// How long the engine may take to say that it is there, which it does whatever it is busy with.
const PING: Duration = Duration::from_secs(4);

/// Where the engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Unix(String),
    Tcp(String),
    Tls { host: String, ca: PathBuf, cert: PathBuf, key: PathBuf },
}

impl Place {
    fn of(settings: &config::Docker) -> Result<Self, String> {
        let host = settings.host.as_str();
        let tls = (&settings.tls_ca, &settings.tls_cert, &settings.tls_key);
        if let Some(path) = host.strip_prefix("unix://") {
            if path.starts_with('/') {
                return Ok(Self::Unix(host.to_owned()));
            }
        } else if host.strip_prefix("tcp://").is_some_and(|address| !address.is_empty()) {
            return match tls {
                (None, None, None) => Ok(Self::Tcp(host.to_owned())),
                (Some(ca), Some(cert), Some(key)) => {
                    Ok(Self::Tls { host: host.to_owned(), ca: ca.clone(), cert: cert.clone(), key: key.clone() })
                }
                _ => Err("TLS needs all three of tls_ca, tls_cert and tls_key".to_owned()),
            };
        }
        Err(format!("{host:?} is neither unix:///PATH nor tcp://HOST:PORT"))
    }

    fn connect(&self) -> Result<Docker, Error> {
        let docker = match self {
            Self::Unix(host) => Docker::connect_with_unix(host, NEVER, API_DEFAULT_VERSION),
            Self::Tcp(host) => Docker::connect_with_http(host, NEVER, API_DEFAULT_VERSION),
            Self::Tls { host, ca, cert, key } => {
                Docker::connect_with_ssl(host, key, cert, ca, NEVER, API_DEFAULT_VERSION)
            }
        };
        Ok(docker?.with_request_modifier(with_readable_login))
    }
}

/// A connection to an engine whose API version is agreed.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// The connection; it limits no request by itself.
    pub(super) docker: Docker,
    /// Whether it is Podman that answers.
    pub(super) is_podman: bool,
    /// Whether the engine keeps containers alive across its restarts.
    pub(super) is_kept_alive: bool,
    /// Whether it makes control groups itself, by path, and not through systemd.
    pub(super) is_cgroupfs: bool,
    /// Which limits of a run it does not keep.
    lacking: Vec<&'static str>,
    /// Name and version.
    pub(super) description: String,
}

impl Client {
    /// Whether the engine knows what came with API version 1.`minor`.
    pub(super) fn has_api(&self, minor: usize) -> bool {
        self.docker.client_version() >= ClientVersion { major_version: 1, minor_version: minor }
    }
}

/// The engine: connected to when it is first needed.
#[derive(Debug)]
pub(super) struct Engine {
    place: Place,
    request_timeout: Duration,
    client: Mutex<Option<Client>>,
    /// Whether it told at the last look what tells its starts apart.
    tells_start: AtomicBool,
}

impl Engine {
    pub(super) fn new(settings: &config::Docker) -> Result<Self, BackendError> {
        let place = Place::of(settings).map_err(|why| refused("reading backend.docker", why))?;
        Ok(Self {
            place,
            request_timeout: settings.request_timeout,
            client: Mutex::new(None),
            tells_start: AtomicBool::new(true),
        })
    }

    /// Whether it runs on this host: then its cgroups and its boot id are ours to read.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.place, Place::Unix(_))
    }

    /// Which limits of a run it does not keep, in a sentence, as far as is known: it tells so when it is connected to.
    pub(super) fn advisory_limits(&self) -> Option<String> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let client = client.as_ref().filter(|client| !client.lacking.is_empty())?;
        Some(format!("{} cannot limit {}", client.description, client.lacking.join(", ")))
    }

    /// The output of `request`, or [`Error::RequestTimeoutError`] when the engine took too long to answer.
    pub(super) async fn bounded<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout(self.request_timeout, request).await.unwrap_or(Err(Error::RequestTimeoutError))
    }

    /// The connection, made if there is none yet.
    pub(super) async fn client(&self) -> Result<Client, BackendError> {
        let known = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(client) => Ok(client),
            None => self.connect().await,
        }
    }

    /// A new connection: the engine may have become another version.
    async fn connect(&self) -> Result<Client, BackendError> {
        let (client, _) = self.reach().await.map_err(|error| self.not_reached(&error))?;
        Ok(client)
    }

    fn not_reached(&self, error: &Error) -> BackendError {
        let why = self.with_advice(&words_of(error));
        BackendError::Unreachable { backend: DOCKER, doing: "connecting to the engine", why }
    }

    /// Whether it is there, asked on a new connection: an answer comes at once also from a busy one, and any will do.
    async fn ping(&self) -> Result<(), Error> {
        let docker = self.place.connect()?;
        match timeout(PING.min(self.request_timeout), docker.ping()).await {
            Ok(Err(error)) if is_unreachable(&error) => Err(error),
            Ok(_) => Ok(()),
            Err(_) => Err(Error::RequestTimeoutError),
        }
    }

    /// The same, with what the engine said of itself.
    pub(super) async fn reach(&self) -> Result<(Client, SystemInfo), Error> {
        let docker = self.place.connect()?;
        let (docker, version, info) = self
            .bounded(async {
                let docker = docker.negotiate_version().await?;
                let (version, info) = tokio::try_join!(docker.version(), docker.info())?;
                Ok((docker, version, info))
            })
            .await?;
        let is_podman = version.components.iter().flatten().any(|part| part.name.contains("Podman"));
        let name = if is_podman { "Podman" } else { "Docker Engine" };
        let release = version.version.unwrap_or_default();
        let description = format!("{name} {release} (API {})", docker.client_version());
        let is_kept_alive = info.live_restore_enabled.unwrap_or(false);
        // One without root may not make groups where root's are.
        let is_cgroupfs = !is_rootless(&info) && info.cgroup_driver == Some(SystemInfoCgroupDriverEnum::CGROUPFS);
        let lacking = lacking(&info);
        let client = Client { docker, is_podman, is_kept_alive, is_cgroupfs, lacking, description };
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok((client, info))
    }

    fn with_advice(&self, words: &str) -> String {
        match &self.place {
            Place::Unix(host) if words.contains("ermission denied") => {
                format!("{words} ({host}); let the daemon's user into the socket's group, by default `docker`")
            }
            Place::Unix(host) => format!("{words} ({host}); start the engine, or set backend.docker.host"),
            Place::Tcp(host) => format!(
                "{words} ({host}); start the engine, or look at the network and backend.docker; \
                 an engine that speaks TLS needs tls_ca, tls_cert and tls_key"
            ),
            Place::Tls { host, .. } => format!(
                "{words} ({host}); start the engine, or look at the network and backend.docker: \
                 tls_ca must have signed the engine's certificate, and the engine must accept tls_cert"
            ),
        }
    }

    /// What the engine says of itself, asked on a new connection. That it is silent is known sooner than after the time that a
    /// request may take.
    pub(super) async fn facts(&self) -> Result<EngineFacts, BackendError> {
        self.ping().await.map_err(|error| self.not_reached(&error))?;
        self.facts_of(self.connect().await?).await
    }

    /// The same on the connection there is: one request, and a cheap one.
    pub(super) async fn identify(&self) -> Result<EngineFacts, BackendError> {
        self.facts_of(self.client().await?).await
    }

    /// Whether two starts of it can be told apart by what it says of itself.
    pub(super) fn tells_start(&self) -> bool {
        self.tells_start.load(Ordering::Relaxed)
    }

    async fn facts_of(&self, client: Client) -> Result<EngineFacts, BackendError> {
        let boot_id = if self.is_local() {
            blocking("reading the boot id", || boot_id(BOOT_ID.as_ref())).await.ok()
        } else {
            None
        };
        let engine_start = self.start_of(&client).await?;
        self.tells_start.store(engine_start.is_some(), Ordering::Relaxed);
        Ok(EngineFacts { description: client.description, boot_id, engine_start })
    }

    /// What tells one start of the engine from another, if containers do not live through it.
    ///
    /// The API does not tell when an engine started. But it makes its default network anew at each start at which it
    /// finds no living container, and so that network's id is as good. An engine without that network, or one that
    /// keeps containers alive across its restarts, gives nothing.
    async fn start_of(&self, client: &Client) -> Result<Option<String>, BackendError> {
        if client.is_podman || client.is_kept_alive {
            return Ok(None);
        }
        let bridge = self.bounded(client.docker.inspect_network("bridge", None::<InspectNetworkOptions>)).await;
        match bridge {
            Ok(network) => Ok(network.id),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(failed("asking the engine about itself", &error)),
        }
    }
}

/// Whether the engine runs without root.
pub(super) fn is_rootless(info: &SystemInfo) -> bool {
    info.security_options.iter().flatten().any(|option| option.contains("name=rootless"))
}

/// Which of the limits of memory, processes and CPUs the engine does not keep. One that cannot makes a container all the same,
/// with no more than a warning; what it does not tell counts as kept.
fn lacking(info: &SystemInfo) -> Vec<&'static str> {
    // There Podman passes them over and does not say so.
    let is_powerless = is_rootless(info) && info.cgroup_version == Some(SystemInfoCgroupVersionEnum::_1);
    [("memory", info.memory_limit), ("processes", info.pids_limit), ("CPUs", info.cpu_cfs_quota)]
        .into_iter()
        .filter(|(_, told)| is_powerless || *told == Some(false))
        .map(|(limit, _)| limit)
        .collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use tokio::task::JoinSet;

    use super::*;

    fn settings(host: &str, tls: bool) -> config::Docker {
        let file = |name: &str| tls.then(|| PathBuf::from(name));
        config::Docker {
            host: host.to_owned(),
            tls_ca: file("/ca"),
            tls_cert: file("/cert"),
            tls_key: file("/key"),
            shared_state: true,
            pull_timeout: Duration::from_secs(60),
            mirrors: Vec::new(),
            image_age: Duration::ZERO,
            credentials: PathBuf::new(),
            request_timeout: Duration::from_secs(10),
            log_driver: "local".to_owned(),
            max_log: 1024 * 1024,
            log_max_size: 1024 * 1024,
        }
    }

    #[test]
    fn a_host_is_a_socket_or_a_tcp_address() {
        assert!(matches!(Place::of(&settings("unix:///run/x.sock", false)), Ok(Place::Unix(_))));
        assert!(matches!(Place::of(&settings("tcp://host:2376", false)), Ok(Place::Tcp(_))));
        assert!(matches!(Place::of(&settings("tcp://host:2376", true)), Ok(Place::Tls { .. })));
        for bad in ["", "/run/x.sock", "unix://x", "tcp://", "http://host"] {
            assert!(Place::of(&settings(bad, false)).is_err(), "{bad}");
        }
        let half = config::Docker { tls_key: None, ..settings("tcp://host:2376", true) };
        assert!(Place::of(&half).is_err());
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_unreachable_and_no_error_before_it_is_needed() {
        let engine = Engine::new(&settings("unix:///no/such/docker.sock", false)).expect("nothing is contacted");
        match engine.client().await {
            Err(BackendError::Unreachable { why, .. }) => assert!(why.contains("/no/such/docker.sock"), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    /// An engine that answers each request with this status so long after it came, and what it needs to be there.
    fn that_answers(status: &'static str, after: Duration) -> (Engine, (tempfile::TempDir, JoinSet<()>)) {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("engine.sock");
        let listener = tokio::net::UnixListener::bind(&socket).expect("bound");
        let mut listens = JoinSet::new();
        listens.spawn(async move {
            let mut answers = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                answers.spawn(async move {
                    let mut request = [0; 1024];
                    assert!(client.read(&mut request).await.expect("a request") > 0);
                    tokio::time::sleep(after).await;
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nOK");
                    client.write_all(answer.as_bytes()).await.expect("heard");
                });
            }
        });
        let settings = config::Docker {
            request_timeout: Duration::from_secs(60),
            ..settings(&format!("unix://{}", socket.display()), false)
        };
        (Engine::new(&settings).expect("nothing is contacted"), (dir, listens))
    }

    #[tokio::test]
    async fn an_engine_that_is_slow_is_there_and_so_is_one_that_refuses_to_say_so() {
        for (status, after) in [("200 OK", 2), ("403 Forbidden", 0)] {
            let (engine, _there) = that_answers(status, Duration::from_secs(after));
            engine.ping().await.expect(status);
        }
    }

    #[tokio::test]
    async fn an_engine_that_is_silent_is_unreachable_long_before_a_request_is_given_up() {
        let (engine, _there) = that_answers("200 OK", Duration::from_secs(3600));
        let begin = tokio::time::Instant::now();
        match timeout(PING * 2, engine.facts()).await {
            Ok(Err(BackendError::Unreachable { why, .. })) => assert!(why.contains("no answer in time"), "{why}"),
            other => panic!("{other:?}"),
        }
        assert!(begin.elapsed() <= Duration::from_secs(5), "{:?}", begin.elapsed());
    }

    #[test]
    fn an_engine_that_lacks_a_limit_tells_so_and_one_that_is_silent_keeps_them() {
        let silent = SystemInfo::default();
        let able = SystemInfo {
            memory_limit: Some(true),
            pids_limit: Some(true),
            cpu_cfs_quota: Some(true),
            // A run that is out of memory may swap then, but has no more of it.
            swap_limit: Some(false),
            ..silent.clone()
        };
        assert!(lacking(&silent).is_empty() && lacking(&able).is_empty());
        assert_eq!(lacking(&SystemInfo { memory_limit: Some(false), ..able.clone() }), ["memory"]);
        assert_eq!(lacking(&SystemInfo { pids_limit: Some(false), ..able.clone() }), ["processes"]);
        assert_eq!(lacking(&SystemInfo { cpu_cfs_quota: Some(false), ..able.clone() }), ["CPUs"]);
        let rootless = SystemInfo { security_options: Some(vec!["name=rootless".to_owned()]), ..able };
        assert!(lacking(&rootless).is_empty());
        let powerless = SystemInfo { cgroup_version: Some(SystemInfoCgroupVersionEnum::_1), ..rootless };
        assert_eq!(lacking(&powerless), ["memory", "processes", "CPUs"]);
    }
}
