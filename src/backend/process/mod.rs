//! Jobs as local processes inside bubblewrap: the backend of a host without an engine.
//!
//! # Who is who
//! ```text
//! uwsd (daemon) ── run-launch ── run-supervisor ── bwrap ── run-init (PID 1 of the sandbox) ── run-command → the command
//!                  ends at once   one per run                reaps, tells the true end           becomes it
//! ```
//! All of them are this executable under hidden first arguments ([`run_hidden_command`]): synchronous, single-threaded, a
//! few MiB. The launcher sets the supervisor free, so that it outlives the daemon. The supervisor writes the job's logs,
//! keeps its limits, and at the end one record, `exit.json`. If it is killed, the sandbox dies with it, by
//! bubblewrap's `--die-with-parent` and because init watches the socket between them.
//!
//! # What survives the daemon
//! `{state_dir}/runs/{run-name}/`, private to the daemon (see `rundir.rs`):
//!
//! | file | written | means |
//! |---|---|---|
//! | `plan.json` | by `create`, with the directory, by one rename | all that the run needs |
//! | `lock` | locked by the supervisor as long as it lives | whether one lives, across every crash |
//! | `started.json` | before bubblewrap is executed | the command may have run: it is never run again |
//! | `init.json` | before the command is started | which process is the sandbox's init |
//! | `stopped` | by `stop`, before it looks for a supervisor | a run that has not started never will |
//! | `exit.json` | once everything in the sandbox is gone and the logs are durable | how it ended |
//! | `control` | socket of the supervisor | takes `stop`; its end is the supervisor's end, so nobody polls |
//!
//! No process is ever found by a number from an earlier life alone: a lock tells whether a supervisor lives, and init's
//! number counts only with its start time and the boot id.

mod backend;
mod cgroup;
mod control;
mod descriptors;
mod entry;
mod etc;
mod found;
mod host;
mod inside;
mod plan;
mod record;
mod rundir;
mod supervisor;
mod wait;

pub use backend::ProcessBackend;
pub use entry::run_hidden_command;
pub use host::HostError;
