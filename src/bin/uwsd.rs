//! The daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The supervisors of jobs, their init and their last step are this program too: before any thread and runtime.
    if let Some(code) = uwsd::backend::process::run_hidden_command(std::env::args_os()) {
        return code;
    }
    uwsd::cli::main(std::env::vars_os().collect())
}
