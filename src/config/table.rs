//! The one table of keys: reading, variables, the sample file and the manual all follow it. Those of a service are in
//! `service_table`.

use super::keys::{Key, key};
use super::kind::Kind::{Decimal, Path, Rows, Size, Switch, Text, Texts, Time, Url, Whole, Word, WordList};
use super::kind::Words;

static TRUST: Words =
    Words { here: &["anonymous"], lacking: &["basic", "bearer", "token", "peer", "certificate", "proxy", "oidc"] };
static LOG_FORMATS: Words = Words { here: &["auto", "json", "text", "journald"], lacking: &[] };
static PROTOCOLS: Words = Words { here: &["https", "http", "ssh", "git", "file"], lacking: &[] };
static BACKENDS: Words = Words { here: &["docker", "process"], lacking: &["kubernetes"] };

/// The keys but those of services, in the order of the sample.
pub(super) static KEYS: &[Key] = &[
    key("server.instance", Text, "\"\"", "A name shown on pages, in logs and metrics, such as \"summit\"."),
    key("server.base_path", Text, "\"/api\"", "The path below which the APIs are; empty for the root."),
    key(
        "server.public_url",
        Url,
        "\"\"",
        "How clients reach base_path, such as \"https://summit.example.org/uws-server/api\": replaces scheme, host and \
         base_path in every link. Empty: as the request came.",
    ),
    key(
        "server.state_dir",
        Path,
        "\"\"",
        "Where the state is kept. Empty: $STATE_DIRECTORY, which systemd sets (/var/lib/uwsd), else \
         $XDG_STATE_HOME/uwsd, else $HOME/.local/state/uwsd.",
    ),
    key(
        "server.jobs_dir",
        Path,
        "\"\"",
        "Where the jobs' directories are. It may lie on a network file system. Empty: {state_dir}/jobs.",
    ),
    key(
        "server.allowed_hosts",
        Texts,
        "[]",
        "Host names (without port) that are answered, besides loopback names and the host of public_url.",
    ),
    key("server.allowed_origins", Texts, "[]", "Web origins that may call the API, such as \"https://example.org\"."),
    key(
        "server.max_body",
        Size(1 << 10),
        "\"16MiB\"",
        "The largest request body. Four times that is read at the same time.",
    ),
    key("server.max_connections", Whole(1, 1_000_000), "16384", "How many connections are served at a time."),
    key("server.header_timeout", Time(false), "\"10s\"", "How long a client may take to send a request's head."),
    key(
        "server.shutdown_linger",
        Time(true),
        "\"2s\"",
        "How long connections stay open at a stop for one more request each: whoever polls over one is answered and told to \
         close it.",
    ),
    key(
        "server.shutdown_grace",
        Time(true),
        "\"10s\"",
        "How long requests in flight may take after a stop was asked for. Jobs run on in any case.",
    ),
    key(
        "server.admin_socket",
        Text,
        "\"\"",
        "The administration socket, for root and the daemon's own group. Empty: $RUNTIME_DIRECTORY/uwsd.sock, which systemd \
         sets (/run/uwsd), else {state_dir}/uwsd.sock. none: there is none.",
    ),
    key(
        "server.listener",
        Rows,
        "[{ address = \"127.0.0.1:8080\" }]",
        "The addresses to listen on. The flag --listen adds to them; the default is only used if neither gives any.",
    ),
    key(
        "server.listener[].address",
        Text,
        "",
        "ADDRESS:PORT or unix:PATH. A socket of that address passed by systemd is used instead of binding.",
    ),
    key("server.listener[].trust", Word(&TRUST), "\"anonymous\"", "How callers are told apart; anonymous: not at all."),
    key(
        "server.listener[].trusted_proxies",
        Texts,
        "[]",
        "Networks, such as \"10.0.0.0/8\", whose Forwarded and X-Forwarded-* headers count; unix: a peer on a Unix socket.",
    ),
    key(
        "server.listener[].insecure",
        Switch,
        "false",
        "Whether anonymous callers are accepted on an address that other hosts reach: they can run any command.",
    ),
    key(
        "log.level",
        Text,
        "\"info\"",
        "error, warn, info, debug or trace, or a filter of them by part, such as \"info,uwsd::http=debug\".",
    ),
    key(
        "log.format",
        Word(&LOG_FORMATS),
        "\"auto\"",
        "The form of the lines. auto: journald if standard error is connected to it, else text.",
    ),
    key(
        "store.path",
        Path,
        "\"\"",
        "The database file. It may not lie on a network file system. Empty: {state_dir}/uwsd.db.",
    ),
    key("queue.max_running", Whole(0, 10_000), "2", "How many jobs run at a time; 0: none start."),
    key("queue.cpus", Decimal(0.0, 100_000.0), "0", "CPUs given out to jobs in all; 0: as many as the host has."),
    key("queue.memory", Size(0), "\"0\"", "Memory given out to jobs in all; 0: as much as the host has."),
    key(
        "queue.max_queued",
        Whole(1, 100_000_000),
        "10000",
        "How many jobs may wait. Beyond, submissions are answered 503 with Retry-After.",
    ),
    key(
        "queue.aging",
        Time(false),
        "\"10m\"",
        "A job that waits rises by one in priority each time so much has passed, until it is as high as the highest that waits: \
         none waits for ever.",
    ),
    key(
        "disk.refuse_below",
        Size(0),
        "\"1GiB\"",
        "With less room new jobs are refused: 503, and not available. 0: never.",
    ),
    key(
        "disk.clean_below",
        Size(0),
        "\"512MiB\"",
        "With less room where jobs_dir is, the files of jobs that have ended are removed, those that ended first; the records stay \
         and say so. 0: never.",
    ),
    key("disk.clean_min_age", Time(true), "\"1h\"", "How long ago such a job has ended at the least."),
    key(
        "json.deletion_visible",
        Time(true),
        "\"60s\"",
        "How long after its verified end a job that was deleted while active still reads `aborted`, so that a program \
         that polls it learns of it. 0: it is 404 at once, as with the original server.",
    ),
    key("uws.max_wait", Time(false), "\"60s\"", "The longest that a request with WAIT waits; below what proxies bear."),
    key(
        "uws.max_waiting",
        Whole(0, 1_000_000),
        "16384",
        "How many requests wait at a time; one more is answered at once.",
    ),
    key(
        "uws.sync_timeout",
        Time(false),
        "\"60s\"",
        "How long a request to /sync waits for the end of its job; the job goes on after it.",
    ),
    key(
        "uws.sync_get",
        Switch,
        "false",
        "Whether a GET of /sync makes a job, too: any link or page can then make one.",
    ),
    key("uploads.max_size", Size(1), "\"1GiB\"", "How large the files of one request may be together."),
    key(
        "uploads.from_urls",
        Switch,
        "false",
        "Whether files are fetched from http and https URLs that a caller gives.",
    ),
    key("uploads.url_timeout", Time(false), "\"60s\"", "How long the fetches of one request may take together."),
    key(
        "uploads.url_networks",
        Texts,
        "[]",
        "Networks of this site, such as \"10.0.0.0/8\", that may be fetched from: else only public addresses may.",
    ),
    key(
        "sources.git_protocols",
        WordList(&PROTOCOLS),
        "[\"https\", \"http\", \"ssh\", \"git\"]",
        "The protocols that a job's URL may use. Add \"file\" for repositories on this host.",
    ),
    key("sources.clone_timeout", Time(false), "\"10m\"", "How long a checkout may take."),
    key("sources.max_size", Size(1 << 20), "\"10GiB\"", "How large a checkout may be."),
    key(
        "sources.mirror_age",
        Time(true),
        "\"30d\"",
        "How long the mirror of a repository is kept after its last use, so that a job fetches only what is new. 0: no \
         mirrors are kept, every job fetches everything.",
    ),
    key("sources.submodules", Switch, "false", "Whether submodules are checked out too."),
    key("sources.lfs", Switch, "false", "Whether Git LFS objects are fetched."),
    key("sources.ssh_key", Path, "\"\"", "The private key for ssh. Empty: none."),
    key(
        "sources.known_hosts",
        Path,
        "\"\"",
        "The known hosts for ssh, and no others. Empty: those of the system, and any other at first sight.",
    ),
    key("sources.ca_file", Path, "\"\"", "Certificate authorities for https, a PEM file. Empty: those of the system."),
    key("sources.proxy", Url, "\"\"", "The proxy for http and https, such as \"http://proxy:3128\". Empty: none."),
    key(
        "backend.kind",
        Word(&BACKENDS),
        "\"docker\"",
        "docker: containers; process: local processes inside bubblewrap. It is never changed on its own.",
    ),
    key(
        "backend.max_log",
        Size(1 << 16),
        "\"64MiB\"",
        "How large stdout and stderr of a job may each become. Of a longer one beginning and end are kept, and a \
         line between them says how much is cut.",
    ),
    key(
        "backend.docker.host",
        Text,
        "\"unix:///var/run/docker.sock\"",
        "unix:///PATH or tcp://HOST:PORT. A remote engine should be spoken to with TLS.",
    ),
    key(
        "backend.docker.tls_ca",
        Path,
        "\"\"",
        "The certificate authority of a tcp:// engine, a PEM file. TLS is spoken with the three of them.",
    ),
    key("backend.docker.tls_cert", Path, "\"\"", "The client certificate for it, a PEM file."),
    key("backend.docker.tls_key", Path, "\"\"", "The key of the client certificate, a PEM file."),
    key(
        "backend.docker.shared_state",
        Switch,
        "true",
        "Whether the engine sees jobs_dir under the same path; else files go through its archive API. Not given: true \
         for unix://, false for tcp://.",
    ),
    key(
        "backend.docker.pull_timeout",
        Time(false),
        "\"30m\"",
        "How long an image may take to fetch; a failure of the network is tried again so long.",
    ),
    key(
        "backend.docker.mirrors",
        Texts,
        "[]",
        "Registries that are asked before others, as \"HOST/PATH\" for those of Docker Hub or \"ghcr.io=HOST/PATH\". An image \
         is pulled as HOST/PATH/NAME and tagged as asked for.",
    ),
    key(
        "backend.docker.image_age",
        Time(true),
        "\"30d\"",
        "How long an image that was pulled for a job is kept in the engine after its last use. The image of a service, and one \
         that was there before, stays. 0: all stay.",
    ),
    key(
        "backend.docker.credentials",
        Path,
        "\"\"",
        "The file with credentials for registries, as docker login writes it. Empty: config.json in $DOCKER_CONFIG, else \
         {state_dir}/.docker/config.json.",
    ),
    key("backend.docker.request_timeout", Time(false), "\"60s\"", "How long the engine may take to answer a request."),
    key(
        "backend.docker.log_driver",
        Text,
        "\"local\"",
        "The engine's log driver for job containers, \"local\", \"json-file\" or \"journald\": logs are completed from \
         it after a restart of the daemon.",
    ),
    key(
        "backend.docker.log_max_size",
        Size(1 << 20),
        "\"100MiB\"",
        "How much of a container's log the engine keeps, for the case that the daemon is down.",
    ),
    key("backend.process.bwrap", Text, "\"bwrap\"", "The bubblewrap program, a path or a name in PATH."),
    key("backend.process.host_network", Switch, "false", "Whether jobs share the host's network; else they have none."),
];

/// Keys that mean something, but not in this build, and what they are for.
pub(super) static LACKING: &[(&str, &str)] = &[("server.users", "callers with names")];
