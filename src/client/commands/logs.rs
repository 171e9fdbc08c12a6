//! `logs`, and following them.

use std::ops::Range;

use tokio::io::AsyncWrite;

use super::{Ending, Failure, Output};
use crate::client::{Client, ClientError, Job, Log};
use crate::domain::JobId;

/// Logs that are copied to one place as they grow.
pub(super) struct Followed<'a> {
    log: Log,
    sink: &'a mut (dyn AsyncWrite + Unpin + Send),
    /// Each replica, and how much of its log was copied.
    replicas: Vec<(u32, u64)>,
}

impl<'a> Followed<'a> {
    pub(super) fn new(log: Log, replicas: Range<u32>, sink: &'a mut (dyn AsyncWrite + Unpin + Send)) -> Self {
        Self { log, sink, replicas: replicas.map(|replica| (replica, 0)).collect() }
    }
}

/// Which log of a job `logs` prints.
pub(super) struct Which {
    pub(super) log: Log,
    pub(super) replica: u32,
    pub(super) is_followed: bool,
}

pub(super) async fn logs(client: &Client, id: JobId, which: Which, output: &mut Output<'_>) -> Result<Ending, Failure> {
    let Which { log, replica, is_followed } = which;
    if is_followed {
        let job = follow(client, id, &mut [Followed::new(log, replica..replica.saturating_add(1), output.out)]).await?;
        if let Some(why) = job.files_gone() {
            return Err(Failure::FilesGone(why));
        }
    } else {
        client.log(id, log, replica, &mut 0, output.out).await?;
    }
    Ok(Ending::Done)
}

/// Copies `logs` as they grow, until the job has ended; then they are complete.
pub(super) async fn follow(client: &Client, id: JobId, logs: &mut [Followed<'_>]) -> Result<Job, ClientError> {
    let mut patience = client.patience();
    loop {
        // The phase is asked for first: a log read after the end was seen is whole.
        let job = patience.bear(client.job(id).await)?;
        let mut is_whole = true;
        for followed in &mut *logs {
            for (replica, offset) in &mut followed.replicas {
                match client.log(id, followed.log, *replica, offset, followed.sink).await {
                    // No log before the command begins, or if it never did, or of a job that is being deleted.
                    Err(error) if error.is_not_found() && job.is_some() => {}
                    copied => is_whole &= patience.bear(copied)?.is_some(),
                }
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
