//! Orders to the daemon as a whole, for a client of the administration socket.

use std::fmt;
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};

use super::http::Ask;
use super::print::{shown, table};
use super::{Client, ClientError};

/// How long a prefetch may be silent.
const LONGEST_PREFETCH: Duration = Duration::from_secs(86_400);

/// How the daemon does.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Its name, if it has one.
    pub instance: String,
    /// Its process, in its own view of the host.
    pub pid: Option<u32>,
    /// Since when it runs.
    pub up_since: String,
    /// Whether it accepts jobs.
    pub accepts: bool,
    /// Whether it can start jobs.
    pub runs: bool,
    /// What runs them, with its version.
    pub backend: String,
    /// Why it does not accept or start jobs.
    pub note: Option<String>,
    /// Since when it is drained, if it is.
    pub drained_since: Option<String>,
    /// How many jobs wait.
    pub waiting: u64,
    /// How many jobs execute or are suspended.
    pub running_total: u64,
    /// Those jobs, the newest first, at most a hundred.
    pub running: Vec<Running>,
}

/// A job that runs.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Its id.
    pub job_id: String,
    /// Its service.
    pub service: String,
    /// Its phase.
    pub phase: String,
    /// Whose it is.
    pub owner: Option<String>,
    /// Its run id.
    pub run_id: Option<String>,
    /// When its command started.
    pub started: Option<String>,
    /// How long ago that was.
    pub elapsed_seconds: Option<u64>,
}

impl Status {
    /// The document, as it came.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("strings and numbers");
        format!("{text}\n")
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.instance.is_empty() { String::new() } else { format!(" {}", shown(&self.instance)) };
        writeln!(f, "uwsd {}{name}, up since {}", shown(&self.version), shown(&self.up_since))?;
        match (self.accepts, self.runs) {
            (true, true) => writeln!(f, "accepts jobs and runs them: {}", shown(&self.backend))?,
            (accepts, runs) => {
                let jobs = match (accepts, runs) {
                    (false, false) => "accepts and starts no jobs",
                    (false, true) => "accepts no jobs, runs those that it has",
                    (true, _) => "accepts jobs, but cannot start them",
                };
                writeln!(f, "{jobs}: {}", shown(self.note.as_deref().unwrap_or("it does not say why")))?;
            }
        }
        writeln!(f, "{} waiting, {} running", self.waiting, self.running_total)?;
        if self.running.is_empty() {
            return Ok(());
        }
        let or_none = |text: &Option<String>| shown(text.as_deref().unwrap_or("-"));
        let rows = self.running.iter().map(|job| {
            [
                shown(&job.job_id),
                shown(&job.phase),
                shown(&job.service),
                or_none(&job.owner),
                or_none(&job.run_id),
                job.elapsed_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s")),
            ]
        });
        f.write_str(&table(["ID", "PHASE", "SERVICE", "OWNER", "RUN ID", "FOR"], rows))
    }
}

/// What a reload changed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reloaded {
    changed: Vec<String>,
    at_restart: Vec<String>,
    warnings: Vec<String>,
}

/// What became of a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReloadAnswer {
    /// The configuration is in force; what that changes, in lines.
    Done(String),
    /// It is refused, with every problem; the old one stays in force.
    Refused(String),
}

/// What is told of a prefetch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prefetched {
    /// How it goes.
    Progress(String),
    /// It is there now.
    Done(String),
    /// It is not to be had.
    Failed(String),
}

impl Client {
    /// Fetches an image or a repository before a job needs it, and tells `hear` how that goes; returns how it ended.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn prefetch(&self, what: &str, mut hear: impl FnMut(&str)) -> Result<Prefetched, ClientError> {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("what", what).finish();
        // It takes as long as it takes, and is silent meanwhile.
        let patient = self.clone().with_timeout(LONGEST_PREFETCH);
        let answer = patient.send(Method::POST, &format!("/admin/prefetch?{query}"), Ask::default()).await?;
        let (mut body, mut rest) = (answer.into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            let data = frame.map_err(|source| self.broken(source))?.into_data().unwrap_or_default();
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let told = serde_json::from_slice(&line);
                match told.map_err(|error| self.malformed("line of progress", &error.to_string()))? {
                    Prefetched::Progress(line) => hear(&line),
                    end @ (Prefetched::Done(_) | Prefetched::Failed(_)) => return Ok(end),
                }
            }
        }
        Err(self.malformed("line of progress", "it ends before the end is told"))
    }

    /// How the daemon does.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.status_after(Method::GET, "/admin/status").await
    }

    /// Makes the daemon accept and start no jobs any more, or again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn drain(&self, is_drained: bool) -> Result<Status, ClientError> {
        self.status_after(Method::POST, if is_drained { "/admin/drain" } else { "/admin/undrain" }).await
    }

    async fn status_after(&self, method: Method, path: &str) -> Result<Status, ClientError> {
        let raw = self.json(method, path, "status").await?;
        serde_json::from_value(raw).map_err(|error| self.malformed("status", &error.to_string()))
    }

    /// Makes the daemon read its configuration again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reload(&self) -> Result<ReloadAnswer, ClientError> {
        let raw = match self.json(Method::POST, "/admin/reload", "answer").await {
            Ok(raw) => raw,
            Err(ClientError::Refused { status: StatusCode::CONFLICT, message }) => {
                let lines: Vec<String> = message.lines().map(shown).collect();
                return Ok(ReloadAnswer::Refused(lines.join("\n")));
            }
            Err(error) => return Err(error),
        };
        let done: Reloaded =
            serde_json::from_value(raw).map_err(|error| self.malformed("answer", &error.to_string()))?;
        let mut lines = Vec::new();
        lines.extend(done.warnings.iter().map(|warning| format!("warning: {}", shown(warning))));
        match done.changed.as_slice() {
            [] => lines.push("reloaded: nothing has changed that a reload changes".to_owned()),
            changed => {
                lines.push("reloaded:".to_owned());
                lines.extend(changed.iter().map(|change| format!("  {}", shown(change))));
            }
        }
        if !done.at_restart.is_empty() {
            lines.push("at the next restart:".to_owned());
            lines.extend(done.at_restart.iter().map(|change| format!("  {}", shown(change))));
        }
        Ok(ReloadAnswer::Done(lines.join("\n") + "\n"))
    }
}
