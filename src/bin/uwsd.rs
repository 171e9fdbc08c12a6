//! The daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Words that the daemon gives to itself, as the first argument, are looked at here: before the command line, the
    // configuration and any thread.
    uwsd::cli::main(std::env::vars_os().collect())
}
