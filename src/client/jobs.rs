//! What can be asked about jobs: one short method a request.

use http::Method;
use serde_json::Value;
use tokio::io::AsyncWrite;

use super::document::read_phase;
use super::{Client, ClientError, Deleted, Job, JobResult, Submission};
use crate::domain::{JobId, Phase};

/// Which log of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// What its command wrote to standard output.
    Stdout,
    /// What its command wrote to standard error.
    Stderr,
}

impl Log {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Every method fails with [`ClientError`]; a job that is not there is [`ClientError::Refused`] with status 404.
impl Client {
    /// Submits a job; it is accepted and kept when this returns.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn submit(&self, submission: &Submission) -> Result<Job, ClientError> {
        let body = serde_json::to_string(submission).map_err(|error| self.malformed("request", &error.to_string()))?;
        let raw = self.json(Method::PUT, "/v1/job", Some(body), "job").await?;
        self.read_job(raw)
    }

    /// Every job in one of `phases`, or all of them, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list(&self, phases: &[Phase]) -> Result<Vec<Job>, ClientError> {
        let query: Vec<String> =
            phases.iter().map(|phase| format!("phase={}", phase.as_str().to_lowercase())).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let raw = self.json(Method::GET, &format!("/v1/job{mark}{}", query.join("&")), None, "list of jobs").await?;
        match raw {
            Value::Array(jobs) => jobs.into_iter().map(|job| self.read_job(job)).collect(),
            _ => Err(self.malformed("list of jobs", "it is no array")),
        }
    }

    /// The job.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn job(&self, id: JobId) -> Result<Job, ClientError> {
        let raw = self.json(Method::GET, &format!("/v1/job/{id}"), None, "job").await?;
        self.read_job(raw)
    }

    /// The job's phase.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn phase(&self, id: JobId) -> Result<Phase, ClientError> {
        match self.json(Method::GET, &format!("/v1/job/{id}/phase"), None, "phase").await? {
            Value::String(word) => Ok(read_phase(&word)),
            _ => Err(self.malformed("phase", "it is no string")),
        }
    }

    /// The job's results.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn results(&self, id: JobId) -> Result<Vec<JobResult>, ClientError> {
        let raw = self.json(Method::GET, &format!("/v1/job/{id}/results"), None, "list of results").await?;
        Ok(JobResult::read_all(&raw))
    }

    /// The job's parameters, as they came.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn parameters(&self, id: JobId) -> Result<Value, ClientError> {
        self.json(Method::GET, &format!("/v1/job/{id}/parameters"), None, "document").await
    }

    /// Copies result `number` of the job, from byte `*offset` on, to `out`, and moves `offset` on with every byte written:
    /// after a failure the same call goes on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn download(
        &self,
        id: JobId,
        number: u64,
        offset: &mut u64,
        out: &mut (dyn AsyncWrite + Unpin + Send),
    ) -> Result<(), ClientError> {
        self.copy(&format!("/v1/job/result/{id}/{number}"), offset, out).await
    }

    /// Copies a log of one replica of the job (0 is the first, mostly the only one), as [`download`](Self::download) does a
    /// result; also while the job runs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn log(
        &self,
        id: JobId,
        log: Log,
        replica: u32,
        offset: &mut u64,
        out: &mut (dyn AsyncWrite + Unpin + Send),
    ) -> Result<(), ClientError> {
        let query = if replica == 0 { String::new() } else { format!("?replica={replica}") };
        self.copy(&format!("/v1/job/{id}/{}{query}", log.as_str()), offset, out).await
    }

    /// Deletes the job; one that is active is aborted first, which may outlast this call.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete(&self, id: JobId) -> Result<Deleted, ClientError> {
        self.json(Method::DELETE, &format!("/v1/job/{id}"), None, "document").await.map(Deleted::read)
    }

    fn read_job(&self, raw: Value) -> Result<Job, ClientError> {
        Job::read(raw).map_err(|why| self.malformed("job", &why))
    }
}
