//! How jobs are shown to people.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Job, JobResult};

/// One line a job, under a line of headings; the columns as wide as they need to be.
#[must_use]
pub fn job_table(jobs: &[Job]) -> String {
    let rows = jobs.iter().map(|job| {
        [
            job.id.to_string(),
            job.phase.as_str().to_owned(),
            shown(job.run_id().unwrap_or("-")),
            shown(job.owner().unwrap_or("-")),
            shown(job.created().unwrap_or("-")),
        ]
    });
    table(["ID", "PHASE", "RUN ID", "OWNER", "CREATED"], rows)
}

/// One line a result.
#[must_use]
pub fn result_table(results: &[JobResult]) -> String {
    let size = |result: &JobResult| result.size.map_or_else(|| "-".to_owned(), |size| size.to_string());
    table(["BYTES", "NAME"], results.iter().map(|result| [size(result), shown(&result.id)]))
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
    add("error type", job.error_type());
    add("run id", job.run_id());
    add("owner", job.owner());
    add("created", job.created());
    add("started", job.started());
    add("ended", job.ended());
    add("expected", job.quote());
    add("limit", job.limit().map(|limit| format!("{limit} s")).as_deref());
    add("destruction", job.destruction());
    for (name, value) in job.info().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::String(text) => add(&words(name), Some(text)),
            Value::Array(replicas) if name == "replicas" => {
                for (number, replica) in replicas.iter().enumerate() {
                    add(&format!("replica {number}"), Some(&in_a_line(replica)));
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                add(&words(name), Some(&value.to_string()));
            }
        }
    }
    let parameters = job.parameters();
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in &facts {
        line(&mut text, format_args!("{name:width$}  {value}"));
    }
    if !parameters.is_empty() {
        line(&mut text, format_args!("parameters"));
        for (name, value) in parameters {
            line(&mut text, format_args!("  {}={}", shown(name), shown(value)));
        }
    }
    if !job.results.is_empty() {
        line(&mut text, format_args!("results"));
        for result in &job.results {
            line(&mut text, format_args!("  {}", shown(&result.id)));
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

/// The values of an object in one line, each after its name.
fn in_a_line(object: &Value) -> String {
    let values = object.as_object().into_iter().flatten();
    let parts: Vec<String> = values.map(|(name, value)| format!("{} {value}", words(name))).collect();
    parts.join(", ")
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

/// Lines under headings; the columns as wide as they need to be.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
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
            job(json!({"id": "0".repeat(32), "runId": "7\u{1b}[31m", "phase": "COMPLETED",
                "creationTime": "2031-03-04T08:15:00.250Z", "ownerId": "ada"})),
            job(json!({"id": "1".repeat(32), "phase": "QUEUED", "runId": null})),
        ];
        assert_eq!(
            job_table(&jobs),
            "ID                                PHASE      RUN ID       OWNER  CREATED\n\
             00000000000000000000000000000000  COMPLETED  7\\u{1b}[31m  ada    2031-03-04T08:15:00.250Z\n\
             11111111111111111111111111111111  QUEUED     -            -      -\n"
        );
    }

    #[test]
    fn details_have_a_line_for_each_replica() {
        let replicas = json!([{"exitCode": 0, "stdoutBytes": 5}, {"signal": 9}]);
        let info = json!({"reason": "signal", "replicas": replicas});
        let text = job_details(&job(json!({"jobId": "0".repeat(32), "phase": "ERROR", "jobInfo": info})));
        assert!(text.contains("\nreplica 0  exit code 0, stdout bytes 5\nreplica 1  signal 9\n"), "{text}");
    }

    #[test]
    fn details_name_reason_and_error() {
        let text = job_details(&job(json!({
            "jobId": "0".repeat(32), "runId": "7", "phase": "ERROR", "errorSummary": {"type": "fatal", "message": "exit code 3"},
            "jobInfo": {"reason": "nonzero", "exitCode": 3, "signal": null, "peakMemory": 4096, "peakMemorySampled": true}, "executionDuration": 60,
            "parameters": [{"id": "COMMAND", "value": "exit 3"}, {"id": "ENVIRONMENT", "value": "A=b"}],
            "results": [{"id": "r.txt", "href": format!("http://h/x/{}/results/r.txt", "0".repeat(32)), "size": 1}]
        })));
        assert_eq!(
            text,
            "job                  00000000000000000000000000000000\nphase                ERROR\n\
             error                exit code 3\nerror type           fatal\nrun id               7\nlimit                60 s\n\
             exit code            3\npeak memory          4096\npeak memory sampled  true\n\
             reason               nonzero\nparameters\n  COMMAND=exit 3\n  ENVIRONMENT=A=b\nresults\n  r.txt\n"
        );
    }
}
