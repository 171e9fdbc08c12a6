//! The built daemon as a process: real sockets, a real engine, a real git server, kills and restarts.
//!
//! Needs `UWSD_TEST_DOCKER` (the URL of an engine of the tests' own) and `UWSD_TEST_IMAGE`; `tests/run` provides both.

mod bed;
mod kill;
mod ocps;
