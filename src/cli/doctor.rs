//! `uwsd doctor`: what was looked at, in lines for people or as JSON.

use std::ffi::OsString;
use std::fmt::Write;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;

use super::arguments::{EXIT_CONFIG, Files};
use super::check::load_or_say;
use super::output::print;
use crate::client::print::shown;
use crate::doctor::{Finding, Question, State, Subject, examine};

#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    files: Files,

    /// A git URL that is to be asked, as for a job.
    #[arg(long, env = "UWSD_URL", hide_env_values = true, value_name = "URL")]
    url: Option<String>,

    /// Print JSON: an array of what was looked at, each with subject, state (ok, warn, fail), sentence and remedy.
    #[arg(long, env = "UWSD_JSON", hide_env_values = true)]
    json: bool,
}

impl Doctor {
    pub(super) fn run(self, environment: Vec<(OsString, OsString)>) -> ExitCode {
        let Some(loaded) = load_or_say(&self.files.request(environment)) else { return ExitCode::from(EXIT_CONFIG) };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("uwsd: the runtime cannot be started: {error}");
                return ExitCode::FAILURE;
            }
        };
        let findings = runtime.block_on(examine(Question { loaded, url: self.url }));
        // A look that hangs must not hold up the end.
        runtime.shutdown_background();
        let is_wrong = findings.iter().any(|finding| finding.state == State::Wrong);
        let text = if self.json { json(&findings) } else { lines(&findings, std::io::stdout().is_terminal()) };
        print(&text, if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn json(findings: &[Finding]) -> String {
    format!("{}\n", serde_json::to_string_pretty(findings).expect("words and sentences"))
}

/// A line for each, with its remedy below it, and a summary; `is_bold`: what is wrong stands out on a terminal.
fn lines(findings: &[Finding], is_bold: bool) -> String {
    let width = Subject::ALL.map(|subject| subject.word().len()).into_iter().max().unwrap_or(0);
    let mut text = String::new();
    for Finding { subject, state, sentence, remedy } in findings {
        let word = match state {
            State::Fine => "ok  ",
            State::Odd => "warn",
            State::Wrong if is_bold => "\u{1b}[1mFAIL\u{1b}[0m",
            State::Wrong => "FAIL",
        };
        writeln!(text, "{word}  {:width$}  {}", subject.word(), shown(sentence)).expect("a String takes all");
        if let Some(remedy) = remedy {
            writeln!(text, "{:1$}→ {2}", "", width + 8, shown(remedy)).expect("a String takes all");
        }
    }
    let count = |wanted| findings.iter().filter(|finding| finding.state == wanted).count();
    let warnings = match count(State::Odd) {
        0 => "no warnings".to_owned(),
        1 => "1 warning".to_owned(),
        n => format!("{n} warnings"),
    };
    match count(State::Wrong) {
        0 => writeln!(text, "nothing is wrong, {warnings}"),
        1 => writeln!(text, "1 thing is wrong, {warnings}"),
        n => writeln!(text, "{n} things are wrong, {warnings}"),
    }
    .expect("a String takes all");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(subject: Subject, state: State, sentence: &str, remedy: Option<&str>) -> Finding {
        Finding { subject, state, sentence: sentence.to_owned(), remedy: remedy.map(str::to_owned) }
    }

    #[test]
    fn lines_are_aligned_and_the_remedy_stands_below() {
        let findings = [
            finding(Subject::Configuration, State::Fine, "valid", None),
            finding(Subject::Git, State::Wrong, "no git\u{7}", Some("apt-get install git")),
            finding(Subject::Clock, State::Odd, "cannot tell", Some("look")),
        ];
        let expected = "ok    configuration  valid\n\
                        FAIL  git            no git\\u{7}\n                     → apt-get install git\n\
                        warn  clock          cannot tell\n                     → look\n\
                        1 thing is wrong, 1 warning\n";
        assert_eq!(lines(&findings, false), expected);
        assert!(lines(&findings, true).contains("\u{1b}[1mFAIL\u{1b}[0m  git"));
        assert!(lines(&[], false).ends_with("nothing is wrong, no warnings\n"));
    }

    #[test]
    fn json_has_the_same_words() {
        let text = json(&[finding(Subject::Git, State::Wrong, "no git", Some("x"))]);
        let parsed: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let expected = serde_json::json!([{ "subject": "git", "state": "fail", "sentence": "no git", "remedy": "x" }]);
        assert_eq!(parsed, expected);
    }
}
