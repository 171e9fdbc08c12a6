//! The command line of `uwsctl`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::client::{DEFAULT_URL, Variable};
use crate::domain::{JobId, Phase};

const EXAMPLES: &str = "\
Examples:
  uwsctl run 'echo hello > $JOB_OUTPUT_DIR/hello.txt'
  id=$(uwsctl submit --source https://example.org/scripts.git -e NIGHT=20310304 -- bash run.sh)
  uwsctl wait $id && uwsctl get $id -o results/
  uwsctl list --phase queued --phase executing
  uwsctl --service cutout run -p RA=10.5 -p DEC=-3
  uwsctl --url unix:/run/uwsd/api.sock list --json

Every option may be a variable instead: --run-id as UWS_RUN_ID, --json as UWS_JSON=true.
Exit codes: 0 done, 1 it failed, 2 wrong usage; of run and wait: 0 COMPLETED, 3 ERROR, 4 ABORTED.";

/// Submits jobs to uwsd, watches them and fetches what they leave.
#[derive(Debug, Parser)]
#[command(name = "uwsctl", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    /// The server.
    #[arg(long, global = true, env = "UWS_URL", hide_env_values = true, default_value = DEFAULT_URL, value_name = "URL",
          help = "The server's base-path URL: http://HOST:PORT/BASE or unix:/PATH")]
    pub url: String,
    /// The service (job list)
    #[arg(long, global = true, env = "UWS_SERVICE", default_value = "ocps", value_name = "NAME")]
    pub service: String,
    /// The administration socket, for hold, release, suspend, resume and priority
    #[arg(long, global = true, env = "UWS_ADMIN_SOCKET", default_value = "/run/uwsd/uwsd.sock", value_name = "PATH")]
    pub admin_socket: PathBuf,
    /// Print the server's JSON documents instead of text for people
    #[arg(long, global = true, env = "UWS_JSON", hide_env = true)]
    pub json: bool,
    /// Who you are, for HTTP Basic authentication: with a password in the variable `UWS_PASSWORD`
    #[arg(long, global = true, env = "UWS_USER", hide_env_values = true, requires = "password", value_name = "NAME")]
    pub user: Option<String>,
    /// The password; other users of this host can read it in a command line, so better a variable
    #[arg(long, global = true, env = "UWS_PASSWORD", hide_env_values = true, value_name = "PASSWORD", hide = true)]
    pub password: Option<String>,
    /// A token, sent as `Bearer`; better a variable or a file
    #[arg(long, global = true, env = "UWS_TOKEN", hide_env_values = true, value_name = "TOKEN", hide = true)]
    pub token: Option<String>,
    /// A file with a token, which is sent as `Bearer` (or put the token itself into the variable `UWS_TOKEN`)
    #[arg(long, global = true, env = "UWS_TOKEN_FILE", hide_env_values = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Submit a job and print its id
    Submit(SubmitArguments),
    /// Submit a job, show its output as it comes, and exit as it ended (0 COMPLETED, 3 ERROR, 4 ABORTED)
    Run(SubmitArguments),
    /// List the jobs, newest first
    List {
        /// Only jobs in this phase; may be repeated
        #[arg(env = "UWS_PHASE", hide_env = true, value_delimiter = ',', long = "phase", short, value_name = "PHASE", value_parser = parse_phase)]
        phases: Vec<Phase>,
        /// Only the N newest
        #[arg(env = "UWS_LAST", hide_env = true, long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        last: Option<u64>,
    },
    /// Show what runs and what waits, again and again (as top does)
    Top {
        /// How many seconds each look is shown
        #[arg(env = "UWS_INTERVAL", hide_env = true, long, short, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
        interval: u64,
        /// At most N jobs that run or wait
        #[arg(env = "UWS_ROWS", hide_env = true, long = "rows", short = 'n', value_name = "N", default_value_t = 20)]
        rows: usize,
        /// Look once only
        #[arg(env = "UWS_ONCE", hide_env = true, long)]
        once: bool,
    },
    /// Show all that is known about a job
    Show {
        /// The job
        id: JobId,
    },
    /// Wait for the end of a job, and exit as it ended (0 COMPLETED, 3 ERROR, 4 ABORTED)
    Wait {
        /// The job
        id: JobId,
    },
    /// Print what a job wrote to its standard output
    Logs {
        /// The job
        id: JobId,
        /// Standard error instead
        #[arg(env = "UWS_STDERR", hide_env = true, long)]
        stderr: bool,
        /// Of which replica, from 0
        #[arg(env = "UWS_REPLICA", hide_env = true, long, value_name = "N", default_value_t = 0)]
        replica: u32,
        /// Go on until the job has ended
        #[arg(env = "UWS_FOLLOW", hide_env = true, long, short)]
        follow: bool,
    },
    /// List the files that a job left
    Results {
        /// The job
        id: JobId,
    },
    /// Fetch the files that a job left
    #[command(after_help = "Examples:\n  uwsctl get ID                    every file, into the current directory\n  \
                            uwsctl get ID table.fits -o t.fits\n  uwsctl get ID stdout -o - | less")]
    Get {
        /// The job
        id: JobId,
        /// Only the result of this name
        #[arg(value_name = "NAME")]
        result: Option<String>,
        /// Where to: a directory, or for a single result also a file, or - for standard output
        #[arg(env = "UWS_OUTPUT", hide_env = true, long, short, value_name = "FILE|DIR")]
        output: Option<PathBuf>,
    },
    /// Print the phase of a job
    Phase {
        /// The job
        id: JobId,
    },
    /// Ask for the end of jobs; they stay, with what they have left
    Abort {
        /// The jobs
        #[arg(required = true, value_name = "ID")]
        ids: Vec<JobId>,
    },
    /// Keep jobs that have not started from running (for operators, over the administration socket)
    Hold {
        /// The jobs
        #[arg(required = true, value_name = "ID")]
        ids: Vec<JobId>,
    },
    /// Let held jobs run (for operators)
    Release {
        /// The jobs
        #[arg(required = true, value_name = "ID")]
        ids: Vec<JobId>,
    },
    /// Halt jobs where they are; their execution limit stands still (for operators)
    Suspend {
        /// The jobs
        #[arg(required = true, value_name = "ID")]
        ids: Vec<JobId>,
    },
    /// Let suspended jobs go on (for operators)
    Resume {
        /// The jobs
        #[arg(required = true, value_name = "ID")]
        ids: Vec<JobId>,
    },
    /// Put jobs that have not started before others, by a number from 0 to 100 (for operators)
    Priority {
        /// The priority: higher goes first
        #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
        priority: u32,
        /// The jobs
        #[arg(required = true, value_name = "ID")]
        ids: Vec<JobId>,
    },
    /// Delete jobs with all their files; one that runs is aborted first
    Delete {
        /// The jobs
        #[arg(required = true, value_name = "ID")]
        ids: Vec<JobId>,
    },
}

/// A job to be submitted.
#[derive(Debug, Args)]
pub struct SubmitArguments {
    /// Your own name for the job
    #[arg(env = "UWS_RUN_ID", hide_env = true, long, value_name = "NAME")]
    pub run_id: Option<String>,
    /// A git repository, checked out into `$JOB_SOURCE_DIR`
    #[arg(env = "UWS_SOURCE", hide_env = true, long, value_name = "URL")]
    pub source: Option<String>,
    /// A branch, tag or commit of it [default: its default branch]
    #[arg(env = "UWS_REF", hide_env = true, long = "ref", requires = "source", value_name = "REF")]
    pub commit_ref: Option<String>,
    /// A variable of the job's environment; may be repeated
    #[arg(env = "UWS_ENV", hide_env = true, long, short, value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub env: Vec<Variable>,
    /// How many copies run side by side
    #[arg(env = "UWS_REPLICAS", hide_env = true, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub replicas: Option<u32>,
    /// How long it has to end when it is stopped, between TERM and KILL, as far as the service allows
    #[arg(env = "UWS_KILL_GRACE", hide_env = true, long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub kill_grace: Option<String>,
    /// A parameter of the service's own; may be repeated
    #[arg(env = "UWS_PARAM", hide_env = true, long = "param", short, value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub parameters: Vec<Variable>,
    /// One word: a command for the job's shell; several: a program and its arguments, passed on as they are
    #[arg(required_unless_present = "parameters", trailing_var_arg = true, value_name = "COMMAND")]
    pub words: Vec<String>,
}

fn parse_variable(text: &str) -> Result<Variable, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(Variable { name: name.to_owned(), value: value.to_owned() }),
        Some(_) | None => Err("write NAME=VALUE".to_owned()),
    }
}

/// Seconds as the service takes them: digits, with or without a fraction; `s` may stand behind them.
fn parse_seconds(text: &str) -> Result<String, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    let is_number = number.starts_with(|c: char| c.is_ascii_digit())
        && number.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && number.parse::<f64>().is_ok();
    if is_number { Ok(number.to_owned()) } else { Err("write a number of seconds, such as 30 or 0.5".to_owned()) }
}

fn parse_phase(word: &str) -> Result<Phase, String> {
    word.to_ascii_uppercase().parse().map_err(|_| {
        let words: Vec<String> = Phase::ALL.iter().map(|phase| phase.as_str().to_lowercase()).collect();
        format!("use one of {}", words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["uwsctl"].iter().chain(arguments))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_has_a_variable() {
        fn look(command: &clap::Command, seen: &mut usize) {
            for option in command.get_arguments() {
                let Some(name) = option.get_long().filter(|name| !["help", "version"].contains(name)) else { continue };
                let variable = format!("UWS_{}", name.to_uppercase().replace('-', "_"));
                assert_eq!(option.get_env(), Some(variable.as_ref()), "--{name} of {}", command.get_name());
                *seen += 1;
            }
            command.get_subcommands().for_each(|command| look(command, seen));
        }
        let mut seen = 0;
        look(&Cli::command(), &mut seen);
        assert!(seen > 20, "{seen} options");
    }

    #[test]
    fn options_after_the_command_belong_to_it() {
        for arguments in
            [&["run", "-e", "A=b=c", "ls", "-l", "--json"][..], &["run", "-e", "A=b=c", "--", "ls", "-l", "--json"][..]]
        {
            let Cli { command: Command::Run(run), json: false, .. } = parse(arguments).expect("fine") else {
                panic!("{arguments:?}")
            };
            assert_eq!(run.words, ["ls", "-l", "--json"]);
            assert_eq!(run.env, [Variable { name: "A".into(), value: "b=c".into() }]);
        }
    }

    #[test]
    fn wrong_usage_says_what_would_do() {
        let id = "0".repeat(32);
        for (arguments, part) in [
            (&["run"][..], "<COMMAND>..."),
            (&["submit", "-e", "A", "x"][..], "write NAME=VALUE"),
            (&["submit", "--bogus", "x"][..], "--bogus"),
            (&["submit", "--ref", "main", "x"][..], "--source"),
            (&["submit", "--replicas", "0", "x"][..], "0 is not in 1.."),
            (&["submit", "--kill-grace", "1m", "x"][..], "write a number of seconds"),
            (&["list", "--phase", "done"][..], "use one of pending, queued"),
            (&["show", "../x"][..], "32 lower-case hex digits"),
            (&["delete"][..], "<ID>..."),
            (&["frobnicate", &id][..], "frobnicate"),
        ] {
            let error = parse(arguments).expect_err(part);
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(part), "{arguments:?}: {error}");
        }
    }
}
