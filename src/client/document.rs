//! The documents of the UWS API in JSON, as a client reads them: what is unknown or missing does no harm.

use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::domain::{JobId, Log, Phase};

/// One variable of a job's environment, or one of its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// A job to be submitted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Submission {
    /// The command, for the service's shell; empty for a service with parameters of its own.
    pub command: String,
    /// The client's own name for it.
    pub run_id: Option<String>,
    /// The URL of a git repository.
    pub url: Option<String>,
    /// A branch, tag or commit of it.
    pub commit_ref: Option<String>,
    /// The job's variables.
    pub environment: Vec<Variable>,
    /// How many copies run side by side; 1 if it is not said.
    pub replicas: Option<u32>,
    /// How many seconds it has between TERM and KILL when it is stopped, as a number; as the service says if it is not said.
    pub kill_grace: Option<String>,
    /// Parameters of the service's own.
    pub parameters: Vec<Variable>,
}

impl Submission {
    /// The form that makes the job and queues it at once.
    pub(super) fn form(&self) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("PHASE", "RUN");
        if !self.command.is_empty() {
            form.append_pair("COMMAND", &self.command);
        }
        let replicas = self.replicas.map(|replicas| replicas.to_string());
        let optional = [
            ("RUNID", &self.run_id),
            ("URL", &self.url),
            ("COMMIT_REF", &self.commit_ref),
            ("REPLICAS", &replicas),
            ("KILL_GRACE", &self.kill_grace),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        for Variable { name, value } in &self.environment {
            form.append_pair("ENVIRONMENT", &format!("{name}={value}"));
        }
        for Variable { name, value } in &self.parameters {
            form.append_pair(name, value);
        }
        form.finish()
    }
}

/// A result in a job's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobResult {
    /// Its identifier: of a file the path below the output directory.
    pub id: String,
    /// Its size in bytes, if that is known.
    pub size: Option<u64>,
    /// Whether it is a log, and no file that the job left.
    pub is_log: bool,
    /// Where it is below the job's results, as it stands in a URL.
    pub(super) path: String,
}

impl JobResult {
    fn read(value: &Value, job: JobId, replicas: u32) -> Option<Self> {
        let id = value.get("id")?.as_str()?.to_owned();
        let path = value.get("href")?.as_str()?.split_once(&format!("/{job}/results/"))?.1.to_owned();
        let is_log = Log::of_id(&id, replicas).is_some();
        Some(Self { id, size: value.get("size").and_then(Value::as_u64), is_log, path })
    }

    /// Every result of a list of them, of a job with so many replicas.
    fn read_all(value: &Value, job: JobId, replicas: u32) -> Vec<Self> {
        let all = value.as_array().into_iter().flatten();
        all.filter_map(|one| Self::read(one, job, replicas)).collect()
    }
}

/// A job's document, or its entry in a list.
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
    /// Reads a document, or an entry of a list.
    ///
    /// # Errors
    /// What is missing, without which it is no job.
    pub(super) fn read(raw: Value) -> Result<Self, String> {
        let id = raw.get("jobId").or_else(|| raw.get("id")).and_then(Value::as_str).ok_or("it has no jobId")?;
        let id = id.parse().map_err(|error| format!("jobId: {error}"))?;
        let phase = raw.get("phase").and_then(Value::as_str).ok_or("it has no phase")?;
        let mut job = Self { id, phase: read_phase(phase), results: Vec::new(), raw };
        let replicas =
            job.parameters().into_iter().find_map(|(id, value)| (id == "REPLICAS").then(|| value.parse().ok()));
        let results = job.raw.get("results").map(|all| JobResult::read_all(all, id, replicas.flatten().unwrap_or(1)));
        job.results = results.unwrap_or_default();
        Ok(job)
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.raw.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The client's own name for it.
    #[must_use]
    pub fn run_id(&self) -> Option<&str> {
        self.text("/runId")
    }

    /// Whom it belongs to.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.text("/ownerId")
    }

    /// When it was accepted, as `2031-03-04T08:15:00.250Z`.
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

    /// When it is expected to end.
    #[must_use]
    pub fn quote(&self) -> Option<&str> {
        self.text("/quote")
    }

    /// When it will be destroyed.
    #[must_use]
    pub fn destruction(&self) -> Option<&str> {
        self.text("/destruction")
    }

    /// How long it may execute, in seconds; `None`: without limit.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.raw.get("executionDuration").and_then(Value::as_u64).filter(|limit| *limit > 0)
    }

    /// Its parameters, in order.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&str, &str)> {
        let list = self.raw.get("parameters").and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(|one| Some((one.get("id")?.as_str()?, one.get("value").and_then(Value::as_str).unwrap_or(""))))
            .collect()
    }

    /// The sentence about its failure.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.text("/errorSummary/message")
    }

    /// Whether its error may not come again, `transient`, or will, `fatal`.
    #[must_use]
    pub fn error_type(&self) -> Option<&str> {
        self.text("/errorSummary/type")
    }

    /// That its files are there no more, and since when: a sentence, as the server has it for who asks for one of them.
    #[must_use]
    pub fn files_gone(&self) -> Option<String> {
        match (self.phase, self.text("/jobInfo/filesRemoved")) {
            (Phase::Archived, Some(at)) => {
                Some(format!("this job was destroyed: its files went at {at}, its record is kept"))
            }
            (Phase::Archived, None) => Some("this job was destroyed: its files went, its record is kept".to_owned()),
            (_, at) => at.map(|at| format!("the files of this job were removed at {at} to make room on the disk")),
        }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "0192f0c1a5b07c3d8e9f00112233aabb";

    #[test]
    fn a_full_document_is_read() {
        let job = Job::read(json!({
            "version": "1.1", "jobId": ID, "runId": "7", "ownerId": null, "phase": "ERROR", "quote": null,
            "creationTime": "2031-03-04T08:15:00.250Z", "startTime": null, "endTime": null, "executionDuration": 60,
            "destruction": null, "parameters": [{"id": "COMMAND", "byReference": false, "value": "false"}],
            "results": [
                {"id": "a/b.fits", "href": format!("http://h/api/ocps/async/{ID}/results/a/b.fits"), "size": 3},
                {"id": "stdout", "href": format!("http://h/api/ocps/async/{ID}/results/stdout"), "size": 9}, {"odd": 1}],
            "errorSummary": {"type": "fatal", "hasDetail": true, "message": "it exited with 1"},
            "jobInfo": {"reason": "nonzero"}, "more": [1]
        }))
        .expect("a job");
        assert_eq!((job.phase, job.limit(), job.run_id()), (Phase::Error, Some(60), Some("7")));
        assert_eq!((job.owner(), job.started(), job.error()), (None, None, Some("it exited with 1")));
        assert_eq!(job.parameters(), [("COMMAND", "false")]);
        let logs: Vec<bool> = job.results.iter().map(|result| result.is_log).collect();
        assert_eq!((logs.as_slice(), job.results[0].path.as_str()), (&[false, true][..], "a/b.fits"));
    }

    #[test]
    fn a_scanty_document_is_read_and_a_foreign_one_is_not() {
        let job = Job::read(json!({"id": ID, "phase": "resting"})).expect("a job");
        assert_eq!((job.phase, job.run_id(), job.info()), (Phase::Unknown, None, None));
        assert!(Job::read(json!({"phase": "QUEUED"})).is_err());
        assert!(Job::read(json!({"jobId": "../x", "phase": "QUEUED"})).is_err());
        assert!(Job::read(json!([])).is_err());
    }

    #[test]
    fn a_submission_says_only_what_was_said() {
        let short = Submission { command: "a & b".into(), ..Submission::default() };
        assert_eq!(short.form(), "PHASE=RUN&COMMAND=a+%26+b");
        let typed = vec![Variable { name: "RA".into(), value: "1.5".into() }];
        assert_eq!(Submission { parameters: typed, ..Submission::default() }.form(), "PHASE=RUN&RA=1.5");
    }
}
