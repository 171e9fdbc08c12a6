//! Waiting for the end of a run.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::backend::{BETWEEN_LOOKS, ProcessBackend, unreachable};
use super::control;
use super::record::Started;
use super::rundir::Standing;
use crate::backend::system::{blocking, io_failed, kept_in};
use crate::ports::{BackendError, Backoff, Ending, How, JobDirs, RunRef};

/// How long the rest of a sandbox may take to go whose supervisor is gone.
const LAST_REST: Duration = Duration::from_secs(30);

impl ProcessBackend {
    /// How the run ended, once it has. While that cannot be looked at nothing is known, which is no end.
    pub(super) async fn ending(&self, run: &RunRef, dirs: &JobDirs) -> Ending {
        let mut backoff = Backoff::new();
        loop {
            match self.until_ended(run, dirs).await {
                Ok(ending) => return ending,
                Err(error) => warn!("it is not known how {} does, looking again: {error}", run.name()),
            }
            backoff.wait().await;
        }
    }

    async fn until_ended(&self, run: &RunRef, dirs: &JobDirs) -> Result<Ending, BackendError> {
        let dir = self.dir(run);
        loop {
            match self.standing(run).await? {
                Standing::Absent => return Ok(bare(How::Vanished)),
                Standing::Stopped => {
                    return Ok(bare(How::NotStarted("it was stopped before its command started".to_owned())));
                }
                Standing::Ended(exit) => {
                    if let Some(why) = &exit.log_failure {
                        warn!("the logs of {} are not complete: {why}", run.name());
                    }
                    let log = dirs.log(run);
                    let kept = blocking("measuring the logs", move || Ok(kept_in(&log))).await?;
                    return Ok(exit.ending(&self.boot_id().await?, kept));
                }
                Standing::Lost(started) => return self.lost(run, started).await,
                Standing::Created => {}
                Standing::Supervised => {
                    let attended = control::attend(&dir, None).await;
                    if attended.map_err(|source| io_failed("waiting for the run", source))? {
                        continue; // its supervisor has ended
                    }
                }
            }
            sleep(BETWEEN_LOOKS).await; // not started, or its supervisor does not listen yet
        }
    }

    /// The end of a run whose supervisor is gone without a word that can be read, once its sandbox is gone too.
    pub(super) async fn lost(&self, run: &RunRef, started: Option<Started>) -> Result<Ending, BackendError> {
        let boot_id = self.boot_id().await?;
        if started.is_some_and(|started| started.boot_id != boot_id) {
            return Ok(bare(How::HostRestarted));
        }
        self.see_it_gone(run).await?;
        Ok(bare(How::Vanished))
    }

    /// Waits until the sandbox's init is gone, which dies with its supervisor; helps if it must.
    async fn see_it_gone(&self, run: &RunRef) -> Result<(), BackendError> {
        let dir = self.dir(run);
        let Some(init) = blocking("reading what a lost run left", move || dir.init()).await? else {
            return Ok(()); // it never came to the command
        };
        let patience = Instant::now() + LAST_REST;
        while init.is_there() {
            if Instant::now() > patience {
                return Err(unreachable("ending a lost run", format!("its process {} does not end", init.pid)));
            }
            init.kill();
            sleep(BETWEEN_LOOKS).await;
        }
        Ok(())
    }
}

/// An end of which nothing more is known.
const fn bare(how: How) -> Ending {
    let (started_at, ended_at, peak_memory, logs) = (None, None, None, None);
    Ending { how, started_at, ended_at, peak_memory, logs, is_advisory: false, log_error: None, log_gap: None }
}
