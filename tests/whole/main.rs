//! The built daemon as a process: real sockets, a real engine, a real git server, kills and restarts.
//!
//! With Docker where `UWSD_TEST_DOCKER` (the URL of an engine of the tests' own) and `UWSD_TEST_IMAGE` are set, which
//! `tests/run` does, and with bubblewrap.

mod backup;
mod bed;
mod clients;
mod clock;
mod database;
mod doctor;
mod engine;
mod facts;
mod faults;
mod git_server;
mod grace;
mod images;
mod kill;
mod limits;
mod log;
mod notify;
mod ocps;
mod passed;
mod polling;
mod prefetch;
mod program;
mod prometheus;
mod reload;
mod replicas;
mod restore;
mod silent;
mod upgrade;
mod uploads;
