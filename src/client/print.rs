//! How jobs are shown to people.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Job, JobResult};

/// How much of a command a list shows, in characters.
const MAX_COMMAND: usize = 60;

/// One line a job, under a line of headings; the columns as wide as they need to be.
#[must_use]
pub fn job_table(jobs: &[Job]) -> String {
    let rows = jobs.iter().map(|job| {
        [
            job.id.to_string(),
            job.phase.as_str().to_owned(),
            shown(job.run_id().unwrap_or("-")),
            shown(job.created().map_or("-", |time| time.trim_end_matches("+00:00"))),
            job.elapsed().map_or_else(|| "-".to_owned(), elapsed),
            shorten(job.command().unwrap_or("-")),
        ]
    });
    table(["ID", "PHASE", "RUN ID", "CREATED (UTC)", "RAN", "COMMAND"], rows)
}

/// One line a result.
#[must_use]
pub fn result_table(results: &[JobResult]) -> String {
    table(["N", "NAME"], results.iter().map(|result| [result.number.to_string(), shown(result.name())]))
}

/// All that is known about a job, one fact a line.
#[must_use]
pub fn job_details(job: &Job) -> String {
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            facts.push((name.to_owned(), shown(value)));
        }
    };
    add("job", Some(&job.id.to_string()));
    add("phase", Some(job.phase.as_str()));
    add("error", job.error());
    add("run id", job.run_id());
    add("owner", job.owner());
    add("created", job.created());
    add("started", job.started());
    add("ended", job.ended());
    add("ran", job.elapsed().map(elapsed).as_deref());
    add("destruction", job.destruction());
    for (name, value) in job.info().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::String(text) => add(&words(name), Some(text)),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                add(&words(name), Some(&value.to_string()));
            }
        }
    }
    add("command", job.command());
    let environment = job.environment();
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in &facts {
        line(&mut text, format_args!("{name:width$}  {value}"));
    }
    if !environment.is_empty() {
        line(&mut text, format_args!("environment"));
        for (name, value) in environment {
            line(&mut text, format_args!("  {}={}", shown(name), shown(value)));
        }
    }
    if !job.results.is_empty() {
        line(&mut text, format_args!("results"));
        for result in &job.results {
            line(&mut text, format_args!("  {}  {}", result.number, shown(result.name())));
        }
    }
    text
}

/// `text` with nothing in it that a terminal would obey.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A time span of `seconds` for people.
fn elapsed(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and a cast saturates")]
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{:.1} s", seconds.max(0.0)),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86400 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86400, whole % 86400 / 3600),
    }
}

fn shorten(command: &str) -> String {
    let command = shown(command);
    if command.chars().count() <= MAX_COMMAND {
        return command;
    }
    let head: String = command.chars().take(MAX_COMMAND - 1).collect();
    format!("{head}…")
}

/// `exitCode` as `exit code`.
fn words(key: &str) -> String {
    key.chars().fold(String::new(), |mut words, c| {
        if c.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
        words
    })
}

fn table<const N: usize>(headings: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        line(&mut text, format_args!("{}", cells.join("  ").trim_end()));
    }
    text
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").expect("a String takes all that is written to it");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(raw: Value) -> Job {
        Job::read(raw).expect("a job")
    }

    #[test]
    fn a_list_is_a_table() {
        let jobs = [
            job(json!({"jobId": "0".repeat(32), "runId": "7", "phase": "completed",
                "creationTime": "2031-03-04 08:15:00+00:00", "executionDuration": 75.2,
                "parameters": {"command": ["/bin/sh", "-c", "a\nb\x1b[31m"]}})),
            job(json!({"jobId": "1".repeat(32), "phase": "queued"})),
        ];
        assert_eq!(
            job_table(&jobs),
            "ID                                PHASE      RUN ID  CREATED (UTC)        RAN         COMMAND\n\
             00000000000000000000000000000000  COMPLETED  7       2031-03-04 08:15:00  1 min 15 s  a\\nb\\u{1b}[31m\n\
             11111111111111111111111111111111  QUEUED     -       -                    -           -\n"
        );
    }

    #[test]
    fn details_name_reason_and_error() {
        let text = job_details(&job(json!({
            "jobId": "0".repeat(32), "runId": "7", "phase": "error", "errorSummary": {"message": "exit code 3"},
            "jobInfo": {"reason": "nonzero", "exitCode": 3, "signal": null},
            "parameters": {"command": ["sh", "-c", "exit 3"], "environment": [{"name": "A", "value": "b"}]},
            "results": [{"id": 0, "uri": "/uws/jobs/x/out/r.txt"}]
        })));
        assert_eq!(
            text,
            "job        00000000000000000000000000000000\nphase      ERROR\nerror      exit code 3\nrun id     7\n\
             exit code  3\nreason     nonzero\ncommand    exit 3\nenvironment\n  A=b\nresults\n  0  r.txt\n"
        );
    }

    #[test]
    fn spans_are_for_people() {
        for (seconds, text) in [(0.04, "0.0 s"), (59.94, "1 min 0 s"), (3725.0, "1 h 2 min"), (90000.0, "1 d 1 h")] {
            assert_eq!(elapsed(seconds), text);
        }
        assert_eq!(elapsed(-1.0), "0.0 s");
    }

    #[test]
    fn long_commands_are_shortened() {
        assert_eq!(shorten(&"ü".repeat(61)).chars().count(), 60);
        assert_eq!(shorten(&"ü".repeat(60)), "ü".repeat(60));
    }
}
