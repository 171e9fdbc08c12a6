//! Places where a test may have the daemon die, as if killed at just that step of a job's life.

/// Ends the process at once if `UWSD_TEST_CRASH` names this point. Does nothing in a build without `test-support`.
#[cfg(feature = "test-support")]
pub fn point(name: &str) {
    #[expect(clippy::disallowed_methods, reason = "a test's switch, not configuration")]
    let wanted = std::env::var("UWSD_TEST_CRASH");
    if wanted.is_ok_and(|wanted| wanted == name) {
        // As `kill -9` would: nothing is flushed, nothing is dropped.
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).expect("a process may kill itself");
    }
}

/// Does nothing in this build.
#[cfg(not(feature = "test-support"))]
pub const fn point(_: &str) {}
