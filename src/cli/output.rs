//! What is printed, to a reader who may have seen enough.

use std::io::{self, Write};
use std::process::ExitCode;

/// Prints `text` and ends with `code`. A reader that has seen enough, such as `head`, is no failure.
pub(super) fn print(text: &str, code: ExitCode) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("uwsd: failed to print: {error}");
            ExitCode::FAILURE
        }
        Ok(()) | Err(_) => code,
    }
}
