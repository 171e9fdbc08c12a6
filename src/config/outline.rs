//! The tables of the file, each with its heading and its line of explanation.

use super::keys::Section;

const fn section(path: &'static str, heading: &'static str, doc: &'static str) -> Section {
    Section { path, heading, doc }
}

/// The tables of the file, in the order of the sample.
pub(super) static SECTIONS: &[Section] = &[
    section("server", "[server]", "Who answers, and where."),
    section(
        "server.listener[]",
        "[[server.listener]]",
        "An address to listen on; the table may be repeated. Without any: the sockets that systemd passes, else 127.0.0.1:8080.",
    ),
    section("log", "[log]", "The log, on standard error."),
    section("store", "[store]", "The database of jobs."),
    section("queue", "[queue]", "How much runs at a time."),
    section("disk", "[disk]", "Room on the disks of state_dir, jobs_dir and the database."),
    section("json", "[json]", "The OCPS JSON API."),
    section("uws", "[uws]", "The UWS API of every service."),
    section("uploads", "[uploads]", "Files that come with a job's parameters."),
    section("sources", "[sources]", "How the git sources of jobs are fetched."),
    section("backend", "[backend]", "What runs the jobs."),
    section("backend.docker", "[backend.docker]", "A Docker engine, or one that speaks its API, as Podman does."),
    section("backend.process", "[backend.process]", "Local processes inside bubblewrap, for a host without an engine."),
    section(
        "service.*",
        "[service.ocps]",
        "A service: one UWS job list. Further ones are further tables, [service.NAME]; once one is given, only those \
         given exist. Without any there is one, `ocps`. The JSON API serves the service `ocps`.",
    ),
];
