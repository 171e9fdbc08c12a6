//! `uwsd db`: the job database as a file.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Subcommand;

use super::output::print;
use super::place::{Place, State};
use crate::domain::{chain, shown_bytes};
use crate::sqlite::{Health, Vacuumed, check, vacuum};

/// What is done with it.
#[derive(Debug, Subcommand)]
pub(super) enum Database {
    /// Look whether the job database is sound, and print what it holds.
    ///
    /// It reads the whole database, also while the daemon runs, and changes nothing. Exit code 0, or 1 with a remedy for
    /// every problem.
    Check(Place),
    /// Give back the room that deleted jobs left in the job database.
    ///
    /// The daemon must be stopped: jobs run on, and are adopted at its next start. The database is written anew beside the
    /// old one, which needs room for as much as it holds, and takes its place once it is whole.
    Vacuum(Place),
}

impl Database {
    pub(super) fn run(self, environment: Vec<(OsString, OsString)>) -> ExitCode {
        let (place, act): (Place, fn(&State) -> ExitCode) = match self {
            Self::Check(place) => (place, look),
            Self::Vacuum(place) => (place, shrink),
        };
        place.find(environment).map_or_else(|code| code, |state| act(&state))
    }
}

fn look(state: &State) -> ExitCode {
    match check(&state.database) {
        Ok(health) => {
            let code = if health.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            print(&told(state, &health), code)
        }
        Err(error) => {
            eprintln!("uwsd: the database cannot be looked at: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn told(state: &State, health: &Health) -> String {
    let Health { schema, newest, size, log, unused, jobs, problems } = health;
    let mut text = format!("{}\n", state.database.display());
    let mut line = |name: &str, value: String| writeln!(text, "  {name:<7} {value}").expect("into a text");
    let older = if schema < newest {
        format!(" (the next start of this version brings it to {newest}, after a backup)")
    } else {
        String::new()
    };
    line("schema", format!("{schema}{older}"));
    let unused = if *unused > 0 {
        format!(", of which {} are unused (uwsd db vacuum)", shown_bytes(*unused))
    } else {
        String::new()
    };
    line("size", format!("{}{unused}", shown_bytes(*size)));
    line("log", shown_bytes(*log));
    line("jobs", jobs.to_string());
    if problems.is_empty() {
        return text + "it is sound\n";
    }
    for problem in problems {
        line("PROBLEM", format!("{problem}; {}", problem.remedy()));
    }
    text
}

fn shrink(state: &State) -> ExitCode {
    match shrunk(state) {
        Ok(Vacuumed { before, after }) => {
            let text =
                format!("{} was {} and is {}\n", state.database.display(), shown_bytes(before), shown_bytes(after));
            print(&text, ExitCode::SUCCESS)
        }
        Err(why) => {
            eprintln!("uwsd: the database is as it was: {why}");
            ExitCode::FAILURE
        }
    }
}

fn shrunk(state: &State) -> Result<Vacuumed, String> {
    let _lock = state.lock()?;
    vacuum(&state.database).map_err(|error| chain(&error))
}
