//! The one table of keys: reading, variables, the sample file and the manual all follow it.

use super::keys::Key;
use super::kind::Kind::{
    self, Decimal, Ids, Map, Number, Path, Rows, Scalar, Size, Switch, Text, Texts, Time, Url, Whole, Word, WordList,
};
use super::kind::Words;

const fn key(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { path, kind, default, doc }
}

static TRUST: Words =
    Words { here: &["anonymous"], lacking: &["basic", "bearer", "token", "peer", "certificate", "proxy", "oidc"] };
static LOG_FORMATS: Words = Words { here: &["auto", "json", "text", "journald"], lacking: &[] };
static PROTOCOLS: Words = Words { here: &["https", "http", "ssh", "git", "file"], lacking: &[] };
static BACKENDS: Words = Words { here: &["docker", "process"], lacking: &["kubernetes"] };
static PULLS: Words = Words { here: &["never", "missing", "always"], lacking: &[] };
static TYPES: Words =
    Words { here: &["string", "integer", "real", "boolean", "enum", "timestamp", "uri", "file"], lacking: &[] };
static MOUNTS: Words = Words { here: &["bind", "volume", "tmpfs"], lacking: &[] };

/// The keys, in the order of the sample.
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
        "backend.docker.host",
        Text,
        "\"unix:///var/run/docker.sock\"",
        "unix:///PATH or tcp://HOST:PORT. A remote engine should be spoken to with TLS.",
    ),
    key(
        "backend.docker.tls_ca",
        Path,
        "\"\"",
        "The certificate authority of a tcp:// engine, a PEM file. With it TLS is spoken.",
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
    key("backend.docker.pull_timeout", Time(false), "\"30m\"", "How long an image may take to fetch."),
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
    key("service.*.image", Text, "\"debian:stable-slim\"", "The image of its jobs."),
    key(
        "service.*.pull",
        Word(&PULLS),
        "\"missing\"",
        "When the image is fetched. missing: if it is not there; always: before every job.",
    ),
    key(
        "service.*.pull_always",
        Texts,
        "[]",
        "Tags that move, such as \"d_latest\": an image with one of them is fetched before every job.",
    ),
    key(
        "service.*.shell",
        Texts,
        "[\"/bin/bash\", \"-c\"]",
        "The words before the command, which is one string of the caller's.",
    ),
    key(
        "service.*.command",
        Texts,
        "[]",
        "Instead of a shell: a program and its arguments, in which {NAME} stands for the value of a parameter. An argument \
         whose parameter is absent is dropped, one whose parameter has several values is repeated.",
    ),
    key(
        "service.*.parameters",
        Rows,
        "[]",
        "The typed parameters of a service with a command, as [{ name = \"RA\", type = \"real\", min = 0, max = 360 }].",
    ),
    key("service.*.parameters[].name", Text, "", "The name; callers may write it in any case of letters."),
    key("service.*.parameters[].type", Word(&TYPES), "\"string\"", "What its values are."),
    key("service.*.parameters[].values", Texts, "[]", "The words of an enum."),
    key("service.*.parameters[].unit", Text, "\"\"", "The unit of its values, such as \"deg\"."),
    key("service.*.parameters[].ucd", Text, "\"\"", "The UCD of its values, such as \"pos.eq.ra\"."),
    key("service.*.parameters[].default", Scalar, "\"\"", "Its value where none is given. Empty: none."),
    key("service.*.parameters[].required", Switch, "false", "Whether a job cannot run without it."),
    key("service.*.parameters[].multiple", Switch, "false", "Whether it may have several values."),
    key("service.*.parameters[].min", Number, "\"\"", "The least number."),
    key("service.*.parameters[].max", Number, "\"\"", "The greatest number."),
    key("service.*.parameters[].pattern", Text, "\"\"", "A regular expression that a whole value has to match."),
    key(
        "service.*.parameters[].flag",
        Switch,
        "false",
        "Whether the argument before its own in command comes and goes with it.",
    ),
    key("service.*.parameters[].description", Text, "\"\"", "What it is, for people."),
    key(
        "service.*.examples",
        Rows,
        "[]",
        "What /examples shows, as [{ id = \"first\", name = \"A small cutout\", parameters = { RA = \"10.5\" } }].",
    ),
    key("service.*.examples[].id", Text, "", "Its identifier on the page."),
    key("service.*.examples[].name", Text, "", "Its title."),
    key("service.*.examples[].description", Text, "\"\"", "What it does."),
    key("service.*.examples[].parameters", Map, "{}", "Its parameters."),
    key("service.*.user", Text, "\"\"", "Who its jobs run as, \"UID:GID\" in numbers. Empty: as the daemon."),
    key("service.*.extra_groups", Ids, "[]", "Further groups of its jobs, as numbers."),
    key(
        "service.*.cpus",
        Decimal(0.01, 100_000.0),
        "1.0",
        "CPUs that each replica of a job takes from queue.cpus, and its limit unless max_cpus says more.",
    ),
    key("service.*.max_cpus", Decimal(0.0, 100_000.0), "0", "The limit in CPUs; 0: as cpus."),
    key(
        "service.*.memory",
        Size(6 << 20),
        "\"4GiB\"",
        "Memory that each replica of a job takes from queue.memory, and its limit unless max_memory says more. Not \
         given, it is lowered to what queue.memory has, as cpus is.",
    ),
    key("service.*.max_memory", Size(0), "\"0\"", "The limit in memory; 0: as memory."),
    key("service.*.pids", Whole(1, 4_194_304), "4096", "How many processes and threads each replica may have."),
    key(
        "service.*.max_running",
        Whole(0, 10_000),
        "0",
        "How many of its jobs run at a time; 0: as many as queue.max_running lets.",
    ),
    key("service.*.max_replicas", Whole(1, 10_000), "16", "How many replicas a job may ask for."),
    key(
        "service.*.network",
        Text,
        "\"default\"",
        "none: only loopback; default: what the backend gives; else the name of a network of the engine.",
    ),
    key(
        "service.*.execution_duration",
        Time(true),
        "\"1h\"",
        "How long a job may execute if its caller does not say; 0: without limit.",
    ),
    key(
        "service.*.max_execution_duration",
        Time(true),
        "\"0\"",
        "The longest execution duration that callers may ask for; 0: any, and no limit.",
    ),
    key(
        "service.*.destruction",
        Time(true),
        "\"7d\"",
        "How long after its creation a job is destroyed, with its results, if its caller does not say; 0: never.",
    ),
    key(
        "service.*.max_destruction",
        Time(true),
        "\"0\"",
        "The longest time to destruction that callers may ask for; 0: any, and never.",
    ),
    key(
        "service.*.archive",
        Time(true),
        "\"0\"",
        "How long the record of a destroyed job is kept, as ARCHIVED and without results; 0: it goes with them.",
    ),
    key("service.*.kill_grace", Time(true), "\"10s\"", "How long a job that is stopped has between TERM and KILL."),
    key("service.*.dotfiles", Switch, "false", "Whether output files whose names begin with a dot are results."),
    key("service.*.env", Map, "{}", "Variables for every job, as { NAME = \"value\" }; they win over the caller's."),
    key(
        "service.*.mounts",
        Rows,
        "[]",
        "What jobs find mounted, as [{ source = \"/data/lsstdata\", target = \"/data\", read_only = true }].",
    ),
    key(
        "service.*.mounts[].type",
        Word(&MOUNTS),
        "\"bind\"",
        "bind: a path of the host; volume: a volume of the engine; tmpfs: memory.",
    ),
    key("service.*.mounts[].source", Text, "\"\"", "The absolute path on the host, or the volume's name."),
    key("service.*.mounts[].target", Text, "", "Where jobs find it, an absolute path outside /uws."),
    key("service.*.mounts[].read_only", Switch, "true", "Whether jobs may only read it; a tmpfs is always writable."),
    key("service.*.mounts[].sub_path", Text, "\"\"", "A path inside the volume. Empty: all of it."),
    key("service.*.mounts[].size", Size(0), "\"0\"", "The size of a tmpfs; 0: as the backend does."),
    key(
        "service.*.secrets",
        Rows,
        "[]",
        "Files that jobs find with mode 0600 and as their own, never shown, as [{ name = \"PGPASSFILE\", file = \
         \"/etc/uwsd/pgpass\", target = \"/run/secrets/pgpass\" }].",
    ),
    key("service.*.secrets[].name", Text, "", "The variable that is set to target."),
    key("service.*.secrets[].file", Path, "", "The file on this host; its content is read when a job starts."),
    key("service.*.secrets[].target", Text, "", "Where jobs find it, an absolute path outside /uws."),
];

/// Keys that mean something, but not in this build, and what they are for.
pub(super) static LACKING: &[(&str, &str)] = &[("server.users", "callers with names")];
