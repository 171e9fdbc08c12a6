//! `logs`, and following them.

use tokio::io::AsyncWrite;

use super::{Ending, Failure, Output};
use crate::client::{Client, ClientError, Job, Log, Patience};
use crate::domain::JobId;

/// A log that is copied as it grows.
pub(super) struct Followed<'a> {
    log: Log,
    sink: &'a mut (dyn AsyncWrite + Unpin + Send),
    offset: u64,
}

impl<'a> Followed<'a> {
    pub(super) fn new(log: Log, sink: &'a mut (dyn AsyncWrite + Unpin + Send)) -> Self {
        Self { log, sink, offset: 0 }
    }
}

pub(super) async fn logs(
    client: &Client,
    id: JobId,
    is_stderr: bool,
    is_followed: bool,
    output: &mut Output<'_>,
) -> Result<Ending, Failure> {
    let log = if is_stderr { Log::Stderr } else { Log::Stdout };
    if is_followed {
        follow(client, id, &mut [Followed::new(log, output.out)]).await?;
    } else {
        client.log(id, log, &mut 0, output.out).await?;
    }
    Ok(Ending::Done)
}

/// Copies `logs` as they grow, until the job has ended; then they are complete.
pub(super) async fn follow(client: &Client, id: JobId, logs: &mut [Followed<'_>]) -> Result<Job, ClientError> {
    let mut patience = Patience::default();
    loop {
        // The phase is asked for first: a log read after the end was seen is whole.
        let job = patience.bear(client.job(id).await)?;
        let mut is_whole = true;
        for followed in &mut *logs {
            match client.log(id, followed.log, &mut followed.offset, followed.sink).await {
                // No log before the command begins, or if it never did.
                Err(error) if error.is_not_found() && job.is_some() => {}
                copied => is_whole &= patience.bear(copied)?.is_some(),
            }
        }
        if let Some(job) = job
            && is_whole
            && job.phase.is_final()
        {
            return Ok(job);
        }
        patience.pause().await;
    }
}
