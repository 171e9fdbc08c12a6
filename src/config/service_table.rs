//! The keys of a service: `[service.NAME]`.

use super::keys::{Key, key};
use super::kind::Kind::{Decimal, Ids, Map, Number, Path, Rows, Scalar, Size, Switch, Text, Texts, Time, Whole, Word};
use super::kind::Words;

static PULLS: Words = Words { here: &["never", "missing", "always"], lacking: &[] };
static TYPES: Words =
    Words { here: &["string", "integer", "real", "boolean", "enum", "timestamp", "uri", "file"], lacking: &[] };
static MOUNTS: Words = Words { here: &["bind", "volume", "tmpfs"], lacking: &[] };

/// The keys of each service, in the order of the sample.
pub(super) static KEYS: &[Key] = &[
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
        "Tags that move, such as [\"d_latest\", \"w_*\"] (* stands for any text): an image with one of them is fetched before \
         every job.",
    ),
    key(
        "service.*.image_tag_from",
        Texts,
        "[\"UWS_JOB_IMAGE_TAG\"]",
        "Variables of a job's environment in which it may ask for another tag of the image; the first that has a value \
         counts.",
    ),
    key(
        "service.*.allowed_images",
        Texts,
        "[]",
        "What a job may ask for so, as \"ghcr.io/lsst/scipipe:w_*\". Empty: the image with any tag.",
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
    key(
        "service.*.max_running_per_owner",
        Whole(0, 1_000_000),
        "0",
        "How many jobs of one owner may run at a time. 0: as many as the service may have.",
    ),
    key(
        "service.*.one_at_a_time",
        Switch,
        "false",
        "Whether a job is refused (409) while another one of the service is queued or runs, as the control system's \
         synchronous mode foresees.",
    ),
    key(
        "service.*.weight",
        Decimal(0.01, 100.0),
        "1.0",
        "How large its share is where jobs of several services wait: of two services that are as busy one with 2 runs twice \
         as many jobs as one with 1. Within a service owners take turns.",
    ),
    key(
        "service.*.priority",
        Whole(0, 100),
        "0",
        "Jobs of services with a higher one go first; those that run are left alone. Among equals shares decide.",
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
    key(
        "service.*.kill_grace",
        Time(true),
        "\"10s\"",
        "How long a job that is stopped has between TERM and KILL, if its caller does not say.",
    ),
    key(
        "service.*.max_kill_grace",
        Time(false),
        "\"1m\"",
        "The longest such time that callers may ask for. Not given, it is raised to kill_grace.",
    ),
    key(
        "service.*.max_output",
        Size(0),
        "\"0\"",
        "How much of the disk the files that a job writes may take; kept by project quotas where the file system of jobs_dir \
         has them and the daemon is root, else looked at every 2 s while it runs. What a job writes elsewhere in its \
         container (/tmp, /var/tmp) counts, too: the engine is asked every 10 s how much that is, and meanwhile a job may \
         write too much. 0: without bound.",
    ),
    key(
        "service.*.queue_timeout",
        Time(true),
        "\"0s\"",
        "How long a job may wait in the queue before it is given up. 0: without limit.",
    ),
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
