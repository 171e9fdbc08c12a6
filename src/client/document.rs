//! The documents of the OCPS JSON API, as a client reads them: what is unknown or missing does no harm.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::domain::{JobId, Phase};

/// One variable of a job's environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// A job to be submitted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Submission {
    /// The command, for the service's shell.
    pub command: String,
    /// The client's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The URL of a git repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A branch, tag or commit of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_ref: Option<String>,
    /// The job's variables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<Variable>,
    /// How many copies run side by side; 1 if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
}

/// A result in a job's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobResult {
    /// Its number.
    pub number: u64,
    /// Its path, as the job saw it.
    pub uri: String,
}

impl JobResult {
    fn read(value: &Value) -> Option<Self> {
        Some(Self { number: value.get("id")?.as_u64()?, uri: value.get("uri")?.as_str()?.to_owned() })
    }

    /// Every result of a list of them.
    pub(super) fn read_all(value: &Value) -> Vec<Self> {
        value.as_array().map(|all| all.iter().filter_map(Self::read).collect()).unwrap_or_default()
    }

    /// The path below the output directory.
    #[must_use]
    pub fn name(&self) -> &str {
        self.uri.split_once("/out/").map_or_else(|| self.uri.trim_start_matches('/'), |(_, name)| name)
    }
}

/// A job's document.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its identifier.
    pub id: JobId,
    /// Its phase; `Unknown` for a word that is none.
    pub phase: Phase,
    /// The results so far.
    pub results: Vec<JobResult>,
    /// The document as it came.
    pub raw: Value,
}

impl Job {
    /// Reads a document.
    ///
    /// # Errors
    /// What is missing, without which it is no job.
    pub(super) fn read(raw: Value) -> Result<Self, String> {
        let id = raw.get("jobId").and_then(Value::as_str).ok_or("it has no jobId")?;
        let id = id.parse().map_err(|error| format!("jobId: {error}"))?;
        let phase = raw.get("phase").and_then(Value::as_str).ok_or("it has no phase")?;
        let results = raw.get("results").map(JobResult::read_all).unwrap_or_default();
        Ok(Self { id, phase: read_phase(phase), results, raw })
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.raw.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The client's own name for it; where it gave none the API repeats the identifier.
    #[must_use]
    pub fn run_id(&self) -> Option<&str> {
        self.text("/runId").filter(|run_id| run_id.parse() != Ok(self.id))
    }

    /// Whom it belongs to.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.text("/ownerId")
    }

    /// When it was accepted, as `2031-03-04 08:15:00+00:00`.
    #[must_use]
    pub fn created(&self) -> Option<&str> {
        self.text("/creationTime")
    }

    /// When its command started.
    #[must_use]
    pub fn started(&self) -> Option<&str> {
        self.text("/startTime")
    }

    /// When it ended.
    #[must_use]
    pub fn ended(&self) -> Option<&str> {
        self.text("/endTime")
    }

    /// When it will be destroyed.
    #[must_use]
    pub fn destruction(&self) -> Option<&str> {
        self.text("/destruction")
    }

    /// How long its command has run, in seconds.
    #[must_use]
    pub fn elapsed(&self) -> Option<f64> {
        self.raw.get("executionDuration").and_then(Value::as_f64)
    }

    /// The command, without the shell before it.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        self.raw.pointer("/parameters/command")?.as_array()?.last()?.as_str()
    }

    /// The job's own and the site's variables.
    #[must_use]
    pub fn environment(&self) -> Vec<(&str, &str)> {
        let list = self.raw.pointer("/parameters/environment").and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(|one| {
                Some((one.get("name")?.as_str()?, one.get("value").and_then(Value::as_str).unwrap_or("")))
            })
            .collect()
    }

    /// The sentence about its failure.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.text("/errorSummary/message")
    }

    /// What else is told about it: `reason`, `exitCode`, `host` … (contract §6).
    #[must_use]
    pub fn info(&self) -> Option<&Map<String, Value>> {
        self.raw.get("jobInfo").and_then(Value::as_object)
    }
}

/// The phase of a word in any case.
pub(super) fn read_phase(word: &str) -> Phase {
    word.trim().to_ascii_uppercase().parse().unwrap_or(Phase::Unknown)
}

/// The answer to a deletion.
#[derive(Debug, Clone, PartialEq)]
pub struct Deleted {
    /// The job's true phase, if the server says it.
    pub phase: Option<Phase>,
    /// The server's sentence.
    pub message: Option<String>,
    /// The document as it came.
    pub raw: Value,
}

impl Deleted {
    pub(super) fn read(raw: Value) -> Self {
        let text = |key| raw.get(key).and_then(Value::as_str);
        Self { phase: text("phase").map(read_phase), message: text("message").map(str::to_owned), raw }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "0192f0c1a5b07c3d8e9f00112233aabb";

    #[test]
    fn a_full_document_is_read() {
        let job = Job::read(json!({
            "jobId": ID, "runId": "7", "ownerId": "", "phase": "error", "creationTime": "2031-03-04 08:15:00+00:00",
            "startTime": null, "endTime": null, "executionDuration": 1.5, "destruction": null,
            "parameters": {"command": ["/bin/bash", "-c", "false"], "environment": [{"name": "A", "value": "b"}]},
            "results": [{"id": 0, "uri": format!("/uws/jobs/{ID}/out/a/out/b.fits")}, {"odd": 1}],
            "errorSummary": {"message": "it exited with 1"}, "jobInfo": {"reason": "nonzero"}, "more": [1]
        }))
        .expect("a job");
        assert_eq!((job.phase, job.command(), job.elapsed()), (Phase::Error, Some("false"), Some(1.5)));
        assert_eq!((job.owner(), job.started(), job.error()), (None, None, Some("it exited with 1")));
        assert_eq!(job.environment(), [("A", "b")]);
        assert_eq!((job.results.len(), job.results[0].name()), (1, "a/out/b.fits"));
    }

    #[test]
    fn a_scanty_document_is_read_and_a_foreign_one_is_not() {
        let job = Job::read(json!({"jobId": ID, "phase": "resting"})).expect("a job");
        assert_eq!((job.phase, job.run_id(), job.info()), (Phase::Unknown, None, None));
        assert!(Job::read(json!({"phase": "queued"})).is_err());
        assert!(Job::read(json!({"jobId": "../x", "phase": "queued"})).is_err());
        assert!(Job::read(json!([])).is_err());
    }

    #[test]
    fn a_submission_says_only_what_was_said() {
        let short = Submission { command: "true".into(), ..Submission::default() };
        assert_eq!(serde_json::to_value(&short).expect("json"), json!({"command": "true"}));
    }
}
