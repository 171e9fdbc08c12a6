//! The client: arguments, then the command, then the exit code.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use uwsd::client::commands::{Cli, Command, Failure, Output, run};
use uwsd::client::print::shown;
use uwsd::domain::chain;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // A reader that went away needs no help.
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    let is_job_ending = matches!(cli.command, Command::Run(_) | Command::Wait { .. });
    let json = cli.json;
    let done = runtime.block_on(async {
        let (mut out, mut err) = (tokio::io::stdout(), tokio::io::stderr());
        run(cli, &mut Output { out: &mut out, err: &mut err, json }).await
    });
    // A write to a terminal that nobody reads must not keep the program.
    runtime.shutdown_background();
    match done {
        Ok(ending) => ExitCode::from(ending.code()),
        // The reader of the output went away. Of a job whose end was not seen, success cannot be claimed.
        Err(failure) if failure.is_broken_pipe() => ExitCode::from(u8::from(is_job_ending)),
        Err(failure) => {
            let code = Failure::code(&failure);
            fail(&failure, code)
        }
    }
}

/// Says why, with all that is known about it.
fn fail(error: &dyn Error, code: u8) -> ExitCode {
    let text = format!("uwsctl: {}", shown(&chain(error)));
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(code)
}
