//! The checked configuration, as the rest of the program sees it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::domain::ImagePattern;
use crate::domain::jdl::Jdl;
use crate::ports::{Mount, Network, Pull, Secret, User};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[log]`.
    pub log: Log,
    /// `[store]`.
    pub store: Store,
    /// `[queue]`.
    pub queue: Queue,
    /// `[disk]`.
    pub disk: Disk,
    /// `[json]`.
    pub json: Json,
    /// `[uws]`.
    pub uws: Uws,
    /// `[uploads]`.
    pub uploads: Uploads,
    /// `[sources]`.
    pub sources: Sources,
    /// `[backend]`.
    pub backend: Backend,
    /// `[service.NAME]`, by name.
    pub services: BTreeMap<String, Service>,
}

/// `[server]`: who answers, where.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// The name shown on pages, in logs and metrics.
    pub instance: String,
    /// The path below which the APIs are; begins with `/`, does not end with it; may be empty.
    pub base_path: String,
    /// Replaces scheme, host and base path in every link.
    pub public_url: Option<String>,
    /// Where the state is kept.
    pub state_dir: PathBuf,
    /// Where the jobs' directories are.
    pub jobs_dir: PathBuf,
    /// `Host` names answered besides loopback names and the host of `public_url`, in lower case.
    pub allowed_hosts: Vec<String>,
    /// Web origins that may call the API.
    pub allowed_origins: Vec<String>,
    /// The largest request body, in bytes.
    pub max_body: u64,
    /// How many connections are served at a time.
    pub max_connections: u32,
    /// How long a client may take to send a request's head.
    pub header_timeout: Duration,
    /// How long idle connections stay open for one more request after a stop was asked for.
    pub shutdown_linger: Duration,
    /// How long requests in flight may take after a stop was asked for.
    pub shutdown_grace: Duration,
    /// `[[server.listener]]`.
    pub listeners: Vec<Listener>,
    /// Whether nobody named a listener: sockets that the service manager passed then take the place of the default.
    pub listeners_by_default: bool,
    /// The administration socket, if there is one.
    pub admin_socket: Option<PathBuf>,
}

/// `[[server.listener]]`: one address.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// The address.
    pub address: ListenAddress,
    /// How callers are told apart.
    pub trust: Trust,
    /// Networks whose forwarding headers count.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether those of a peer on a Unix socket count.
    pub trusts_unix: bool,
    /// Whether anonymous callers from other hosts are accepted on purpose.
    pub is_insecure: bool,
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How callers of a listener are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Not at all.
    Anonymous,
    /// Whoever gets in is an operator: the administration socket alone, by the permissions of its file.
    Operator,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// A level (`error` … `trace`) or a filter of `target=level` pairs.
    pub level: String,
    /// The form of the lines.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// journald where standard error is its stream, else text.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
    /// With the priority prefixes that journald reads.
    Journald,
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    /// The database file.
    pub path: PathBuf,
}

/// `[queue]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// How many jobs run at a time; 0: none start.
    pub max_running: u32,
    /// CPUs given out to jobs in all; already the host's number where 0 was configured.
    pub cpus: f64,
    /// Memory given out to jobs in all, in bytes; already the host's where 0 was configured.
    pub memory: u64,
    /// How many jobs may wait.
    pub max_queued: u64,
    /// How long a job waits until it rises by one in priority.
    pub aging: Duration,
}

/// `[disk]`: room for the state and the jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// With less free, in bytes, new jobs are refused.
    pub refuse_below: u64,
    /// With less free, in bytes, the files of jobs that have ended go.
    pub clean_below: u64,
    /// How long ago such a job has ended at the least.
    pub clean_min_age: Duration,
}

/// `[json]`: the OCPS JSON API.
#[derive(Debug, Clone, PartialEq)]
pub struct Json {
    /// How long after its verified end a job that was deleted while active still reads `aborted`.
    pub deletion_visible: Duration,
}

/// `[uws]`: the UWS API of every service.
#[derive(Debug, Clone, PartialEq)]
pub struct Uws {
    /// The longest that a request waits for a change.
    pub max_wait: Duration,
    /// How many requests wait at a time; one more is answered at once.
    pub max_waiting: u32,
    /// How long a request to `/sync` waits for the end of its job.
    pub sync_timeout: Duration,
    /// Whether a GET of `/sync` makes a job, too.
    pub sync_get: bool,
}

/// `[uploads]`: files that come with a job's parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Uploads {
    /// How large the files of one request may be together, in bytes.
    pub max_size: u64,
    /// Whether files are fetched from http and https URLs.
    pub from_urls: bool,
    /// How long such a fetch may take.
    pub url_timeout: Duration,
    /// Networks that are not public and may be fetched from all the same.
    pub url_networks: Vec<IpNet>,
}

/// `[sources]`: how git sources are fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct Sources {
    /// Protocols that a URL may use.
    pub git_protocols: Vec<String>,
    /// How long a checkout may take.
    pub clone_timeout: Duration,
    /// How large a checkout may be, in bytes.
    pub max_size: u64,
    /// How long a mirror is kept after its last use; 0: none are kept.
    pub mirror_age: Duration,
    /// Whether submodules are checked out too.
    pub submodules: bool,
    /// Whether LFS objects are fetched.
    pub lfs: bool,
    /// The private key for ssh.
    pub ssh_key: Option<PathBuf>,
    /// The known hosts for ssh.
    pub known_hosts: Option<PathBuf>,
    /// Certificate authorities for https, a PEM file.
    pub ca_file: Option<PathBuf>,
    /// The proxy for http and https.
    pub proxy: Option<String>,
}

/// `backend.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendKind {
    /// A Docker engine, or one that speaks its API.
    Docker,
    /// Local processes inside bubblewrap.
    Process,
}

/// `[backend]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// Which one runs the jobs.
    pub kind: BackendKind,
    /// `[backend.docker]`.
    pub docker: Docker,
    /// `[backend.process]`.
    pub process: Process,
}

/// `[backend.docker]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Docker {
    /// `unix:///path` or `tcp://host:port`.
    pub host: String,
    /// The engine's certificate authority, a PEM file; with it TLS is spoken.
    pub tls_ca: Option<PathBuf>,
    /// The client certificate, a PEM file.
    pub tls_cert: Option<PathBuf>,
    /// The client certificate's key, a PEM file.
    pub tls_key: Option<PathBuf>,
    /// Whether the engine sees the jobs directory under the same path; else files go through its archive API.
    pub shared_state: bool,
    /// How long an image may take to fetch, all attempts together.
    pub pull_timeout: Duration,
    /// Registries that stand in for others, each `REGISTRY=HOST[:PORT][/PATH]`, or without `REGISTRY=` for Docker Hub.
    pub mirrors: Vec<String>,
    /// How long an image that was pulled for a job is kept after its last use; 0: for ever.
    pub image_age: Duration,
    /// The file with the credentials for registries, as `docker login` writes it.
    pub credentials: PathBuf,
    /// How long the engine may take to answer a request.
    pub request_timeout: Duration,
    /// The engine's log driver for job containers (`local` keeps every byte).
    pub log_driver: String,
    /// How many bytes a log may have; of a longer one beginning and end are kept.
    pub max_log: u64,
    /// How much of a container's log the engine keeps, in bytes, for the case that the daemon is down.
    pub log_max_size: u64,
}

/// `[backend.process]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// How many bytes a log may have; of a longer one beginning and end are kept.
    pub max_log: u64,
    /// The bubblewrap program, a path or a name in PATH.
    pub bwrap: PathBuf,
    /// Whether jobs share the host's network.
    pub host_network: bool,
}

/// What the jobs of a service run.
#[derive(Debug, Clone, PartialEq)]
pub enum Program {
    /// These words, and then the caller's command as one more.
    Shell(Vec<String>),
    /// A program, with typed parameters of the caller's.
    Command(Jdl),
}

impl Program {
    /// The typed parameters, if it has them.
    #[must_use]
    pub const fn jdl(&self) -> Option<&Jdl> {
        match self {
            Self::Shell(_) => None,
            Self::Command(jdl) => Some(jdl),
        }
    }
}

/// An example of a job (DALI 1.1 §2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Its identifier on the page.
    pub id: String,
    /// Its title.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Its parameters.
    pub parameters: Vec<(String, String)>,
}

/// `[service.NAME]`: one UWS job list.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// The image of its jobs.
    pub image: String,
    /// When the image is fetched.
    pub pull: Pull,
    /// Tags that move: an image with one of them is fetched before every job unless it is never fetched.
    pub pull_always: Vec<ImagePattern>,
    /// Variables of a job in which it may ask for another tag; the first that has a value counts.
    pub image_tag_from: Vec<String>,
    /// Images that a job may ask for so.
    pub allowed_images: Vec<ImagePattern>,
    /// What its jobs run.
    pub program: Program,
    /// Examples of its jobs.
    pub examples: Vec<Example>,
    /// How many of its jobs may run at a time; 0: as many as the queue lets.
    pub max_running: u32,
    /// Whether a job is refused while another one of the service is on its way.
    pub one_at_a_time: bool,
    /// How many jobs of one owner may run at a time; 0: as many as the service may have.
    pub max_running_per_owner: u32,
    /// How much of the queue it has beside other services that have jobs waiting.
    pub weight: f64,
    /// Jobs of services with a higher one go first, from 0 to 100.
    pub priority: u32,
    /// Who its jobs run as; `None`: as the daemon.
    pub user: Option<User>,
    /// Further groups of its jobs.
    pub extra_groups: Vec<u32>,
    /// CPUs reserved for each replica.
    pub cpus: f64,
    /// The limit in CPUs.
    pub max_cpus: f64,
    /// Memory reserved for each replica, in bytes.
    pub memory: u64,
    /// The limit in bytes.
    pub max_memory: u64,
    /// How many processes and threads each replica may have.
    pub pids: u32,
    /// How many replicas a job may ask for.
    pub max_replicas: u32,
    /// The network of its jobs.
    pub network: Network,
    /// How long its jobs may execute if they do not say; `None`: without limit.
    pub execution_duration: Option<Duration>,
    /// How long they may ask for; `None`: without limit.
    pub max_execution_duration: Option<Duration>,
    /// How long after its creation a job is destroyed if it does not say; `None`: never.
    pub destruction: Option<Duration>,
    /// How long they may ask for; `None`: for ever.
    pub max_destruction: Option<Duration>,
    /// How long the record of a destroyed job is kept as ARCHIVED; `None`: not at all.
    pub archive: Option<Duration>,
    /// How long a job has between TERM and KILL if it does not say.
    pub kill_grace: Duration,
    /// How long it may ask for.
    pub max_kill_grace: Duration,
    /// How many bytes the files that a job writes may take; `None`: without bound.
    pub max_output: Option<u64>,
    /// How long a job may wait in the queue; `None`: without limit.
    pub queue_timeout: Option<Duration>,
    /// Whether output files whose names begin with a dot are results.
    pub dotfiles: bool,
    /// The site's variables: they win over the caller's.
    pub env: Vec<(String, String)>,
    /// What its jobs find mounted.
    pub mounts: Vec<Mount>,
    /// Its secrets.
    pub secrets: Vec<Secret>,
}
