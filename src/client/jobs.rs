//! What can be asked about jobs: one short method a request.

use http::Method;
use http::header::LOCATION;
use serde_json::Value;
use tokio::io::AsyncWrite;
use uuid::Uuid;

use super::document::read_phase;
use super::http::Ask;
use super::{Client, ClientError, Job, JobResult, Submission};
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

/// What an operator orders, over the administration socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Keep a job from running.
    Hold,
    /// Let it run.
    Release,
    /// Halt what it runs.
    Suspend,
    /// Let that go on.
    Resume,
    /// Put it so much before others.
    Prioritize(u32),
}

impl Order {
    /// The order in an address.
    fn path(self) -> String {
        match self {
            Self::Hold => "hold".to_owned(),
            Self::Release => "release".to_owned(),
            Self::Suspend => "suspend".to_owned(),
            Self::Resume => "resume".to_owned(),
            Self::Prioritize(priority) => format!("priority?value={priority}"),
        }
    }
}

/// Every method fails with [`ClientError`]; a job that is not there is [`ClientError::Refused`] with status 404.
impl Client {
    /// Submits a job; it is accepted and kept when this returns. A server that is away is borne with for a minute: the
    /// request has a key, so that sent twice it makes one job.
    ///
    /// # Errors
    /// [`ClientError`]; with [`ClientError::Accepted`] there is a job all the same.
    pub async fn submit(&self, submission: &Submission) -> Result<Job, ClientError> {
        let (list, form, key) = (self.list_path(), submission.form(), Uuid::new_v4().to_string());
        let mut patience = self.patience();
        let location = loop {
            let ask = Ask { form: Some(form.clone()), key: Some(key.clone()), ..Ask::default() };
            let sent = self.send(Method::POST, &list, ask).await;
            if let Some(answer) = patience.bear(sent)? {
                break answer.headers().get(LOCATION).and_then(|at| at.to_str().ok()).map(str::to_owned);
            }
            patience.pause().await;
        };
        let id = location.as_deref().and_then(|location| location.rsplit('/').next());
        let id =
            id.and_then(|id| id.parse().ok()).ok_or_else(|| self.malformed("job", "it does not say where it is"))?;
        loop {
            let read = patience.bear(self.job(id).await);
            if let Some(job) = read.map_err(|error| ClientError::Accepted { id, source: Box::new(error) })? {
                return Ok(job);
            }
            patience.pause().await;
        }
    }

    /// Every job in one of `phases`, or all of them, newest first, in the short form.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list(&self, phases: &[Phase], last: Option<u64>) -> Result<Vec<Job>, ClientError> {
        let mut query: Vec<String> = phases.iter().map(|phase| format!("PHASE={phase}")).collect();
        query.extend(last.map(|last| format!("LAST={last}")));
        let mark = if query.is_empty() { "" } else { "?" };
        let path = format!("{}{mark}{}", self.list_path(), query.join("&"));
        let mut raw = self.json(Method::GET, &path, "list of jobs").await?;
        match raw.get_mut("jobs").map(Value::take) {
            Some(Value::Array(jobs)) => jobs.into_iter().map(|job| self.read_job(job)).collect(),
            _ => Err(self.malformed("list of jobs", "it has no array of jobs")),
        }
    }

    /// The job.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn job(&self, id: JobId) -> Result<Job, ClientError> {
        let raw = self.json(Method::GET, &self.job_path(id), "job").await?;
        self.read_job(raw)
    }

    /// The job once it is no longer in `phase`, or as it is after `seconds`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(super) async fn job_after(&self, id: JobId, phase: Phase, seconds: u64) -> Result<Job, ClientError> {
        let path = format!("{}?WAIT={seconds}&PHASE={phase}", self.job_path(id));
        let raw = self.json(Method::GET, &path, "job").await?;
        self.read_job(raw)
    }

    /// The job's phase.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn phase(&self, id: JobId) -> Result<Phase, ClientError> {
        match self.json(Method::GET, &format!("{}/phase", self.job_path(id)), "phase").await? {
            Value::String(word) => Ok(read_phase(&word)),
            _ => Err(self.malformed("phase", "it is no string")),
        }
    }

    /// Copies a result of the job, from byte `*offset` on, to `out`, and moves `offset` on with every byte written: after
    /// a failure the same call goes on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn download(
        &self,
        id: JobId,
        result: &JobResult,
        offset: &mut u64,
        out: &mut (dyn AsyncWrite + Unpin + Send),
    ) -> Result<(), ClientError> {
        self.copy(&format!("{}/results/{}", self.job_path(id), result.path), offset, out).await.map(drop)
    }

    /// Copies a log of one replica of the job (0 is the first, mostly the only one), as [`download`](Self::download) does a
    /// result; also while the job runs. Of a long one the file has only the beginning then: this returns what becomes of the
    /// rest, if the server says that there is one.
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
    ) -> Result<Option<String>, ClientError> {
        let of_replica = if replica == 0 { String::new() } else { format!("{replica}/") };
        let path = format!("{}/results/{of_replica}{}", self.job_path(id), log.as_str());
        self.copy(&path, offset, out).await
    }

    /// Asks for the end of the job, which may outlast this call.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn abort(&self, id: JobId) -> Result<(), ClientError> {
        let ask = Ask { form: Some("PHASE=ABORT".to_owned()), ..Ask::default() };
        self.send(Method::POST, &format!("{}/phase", self.job_path(id)), ask).await.map(drop)
    }

    /// Deletes the job; one that is active is aborted first, which may outlast this call.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete(&self, id: JobId) -> Result<(), ClientError> {
        self.send(Method::DELETE, &self.job_path(id), Ask::default()).await.map(drop)
    }

    /// Has an order carried out; returns the phase that the job is in then. For a client of the administration socket.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn order(&self, id: JobId, order: Order) -> Result<Phase, ClientError> {
        let raw = self.json(Method::POST, &format!("/admin/job/{id}/{}", order.path()), "answer").await?;
        let phase =
            raw.get("phase").and_then(Value::as_str).ok_or_else(|| self.malformed("answer", "it has no phase"))?;
        Ok(read_phase(phase))
    }

    fn list_path(&self) -> String {
        format!("/{}/async", self.service())
    }

    fn job_path(&self, id: JobId) -> String {
        format!("{}/{id}", self.list_path())
    }

    fn read_job(&self, raw: Value) -> Result<Job, ClientError> {
        Job::read(raw).map_err(|why| self.malformed("job", &why))
    }
}
