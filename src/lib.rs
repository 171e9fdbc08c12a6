//! A job server for observatory machines: it takes jobs over HTTP, keeps them in SQLite, runs each in a local container
//! and serves phase, logs and results.
//!
//! # A job's way through the code
//!
//! A `PUT` comes in through [`http`]: our own accept loop, a guard that refuses foreign origins and unknown hosts, and
//! one function of warp filters a resource. The handler parses the body into [`domain`] types and calls
//! [`supervisor::Handle::submit`] once. The handle checks what only the configuration can tell (replicas, queue, source)
//! and gives the job to the [`ports::Store`]; in production that is [`sqlite`], where one thread owns the writing
//! connection and lets everything that waits share a commit. The answer leaves after that commit.
//!
//! The [`supervisor`] is the only writer of phases. Its queue loop asks the pure function `admission` who fits, and gives
//! each admitted job a driver, one task, which alone changes that job's phase:
//!
//! ```text
//! QUEUED      make directories, fetch the image, check out the source (sources), create the containers
//!             ── commit EXECUTING ──
//! EXECUTING   start the containers, wait for them within the limit, take their logs and output back
//!             ── commit COMPLETED, ERROR or ABORTED with its reason, results and facts ──
//!             remove the containers
//! ```
//!
//! Intent is committed before effect and names of containers follow from job ids, so that after a crash at any point
//! the stored phase and the engine's containers together tell what is left to do: `recovery` removes containers that
//! never started, goes on with those that did, and ends as `lost` what has vanished. A run outlives the daemon.
//!
//! What goes to the store and to the backend passes through [`metrics`], which counts and times it; `/metrics` tells that.
//!
//! Where a run happens is a [`ports::Backend`]: [`backend::docker`] or [`backend::process`]; where source code comes
//! from is a [`ports::Sources`]: [`sources`]. Neither knows the store or HTTP. That a job's files take no more room than they may is
//! kept by [`ports::Quotas`], where the file system has them ([`quota`]), and measured by the supervisor.
//!
//! # Which way arrows point
//!
//! ```text
//! domain ◄── ports ◄── supervisor ◄── app ──► sqlite, backend, sources, quota, metrics, http (adapters)
//! ```
//!
//! `domain` is values: no I/O, no clock. Adapters know `domain` and `ports`, `http` also the supervisor's handle and `metrics`, and
//! else never each other; [`app`] alone chooses and wires them, and [`doctor`] looks at the host with them. [`config`] is read once
//! into checked types. A test reads the `use` lines and fails on an arrow outwards.

pub mod app;
pub mod backend;
pub mod cli;
pub mod client;
pub mod config;
pub mod crash;
pub mod doctor;
pub mod domain;
pub mod http;
pub mod lifecycle;
pub mod metrics;
pub mod ports;
pub mod quota;
pub mod reload;
pub mod sources;
pub mod sqlite;
pub mod supervisor;
pub mod telemetry;
