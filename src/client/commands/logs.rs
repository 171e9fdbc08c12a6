//! `logs`, and following them.

use std::io::Write as _;
use std::ops::Range;

use tokio::io::AsyncWrite;

use super::{Ending, Failure, Output};
use crate::client::print::shown;
use crate::client::{Client, ClientError, Job, Log};
use crate::domain::JobId;

/// Logs that are copied to one place as they grow.
pub(super) struct Followed<'a> {
    log: Log,
    sink: &'a mut (dyn AsyncWrite + Unpin + Send),
    /// Each replica, and how much of its log was copied.
    replicas: Vec<(u32, u64)>,
    /// What was told last of the rest of one.
    rest: Option<String>,
}

impl<'a> Followed<'a> {
    pub(super) fn new(log: Log, replicas: Range<u32>, sink: &'a mut (dyn AsyncWrite + Unpin + Send)) -> Self {
        Self { log, sink, replicas: replicas.map(|replica| (replica, 0)).collect(), rest: None }
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
    } else if let Some(rest) = client.log(id, log, replica, &mut 0, output.out).await? {
        output.say(&of_rest(&rest)).await?;
    }
    Ok(Ending::Done)
}

/// Tells what the server says of the rest of a log, if it is new, beside whatever is being written.
fn tell(told: &mut Option<String>, rest: String) {
    if told.as_ref() != Some(&rest) {
        let _ = writeln!(std::io::stderr(), "uwsctl: {}", of_rest(&rest)); // a terminal that went away is no reason to end
        *told = Some(rest);
    }
}

/// A sentence about what the server says of the rest of a log.
fn of_rest(rest: &str) -> String {
    format!("the rest of this log is {}", shown(rest))
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
                    copied => match patience.bear(copied)? {
                        Some(Some(rest)) => tell(&mut followed.rest, rest),
                        Some(None) => {}
                        None => is_whole = false,
                    },
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
