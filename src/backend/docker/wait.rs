//! Waiting for the end of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::errors::Error::DockerContainerWaitError;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{EventsOptions, WaitContainerOptions};
use futures_util::StreamExt;
use tracing::warn;

use super::backend::Shared;
use super::drain::taken;
use super::ending::{Logged, UNKNOWN, ending, instant, standing, vanished};
use super::error::DOCKER;
use super::logs::{Feed, Pump};
use super::memory::Seen;
use super::parents::Parent;
use crate::domain::PeakMemory;
use crate::ports::{BackendError, Backoff, Ending, How, JobDirs, RunRef, RunState};

/// How long after an exit by SIGKILL the engine may still learn that it was an OOM.
const LATE_OOM: Duration = Duration::from_millis(1500);
/// The same after another failure, where it is not known whether the limit was reached.
const BLIND_OOM: Duration = Duration::from_millis(500);
/// Between the looks for it.
const OOM_LOOK: Duration = Duration::from_millis(100);
/// After which time one that was killed is looked at again: in a restart the engine lets nobody look before it runs again.
const BETWEEN_HALVES: Duration = Duration::from_millis(50);
/// How long one request for the end lasts before the container is looked at: a connection may have died unnoticed.
const ONE_WAIT: Duration = Duration::from_secs(300);

/// What became of a request for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// The container does not run, or did not at that moment.
    End,
    /// The connection broke before.
    Break,
    /// Its time was over, or it was not made.
    Nothing,
}

impl Shared {
    pub(super) async fn wait(&self, run: &RunRef, dirs: &JobDirs) -> Result<Ending, BackendError> {
        let (seen, parent) = (Seen::default(), self.parents.find(run).await);
        // It was started by another process, or will turn out to have been out of sight for a while.
        let is_doubtful = AtomicBool::new(self.runs.pump(run).is_none());
        let (found, pump) = tokio::select! {
            ended = self.until_ended(run, dirs, &is_doubtful) => ended,
            never = seen.watch(self.engine.is_local(), parent.as_ref(), || self.runs.id(run)) => match never {},
        };
        let Some(found) = found.filter(|found| found.state.is_some()) else {
            return Ok(vanished(taken(pump.as_deref()).await));
        };
        let peak = self.peak(&found, parent.as_ref(), &seen);
        let code = found.state.as_ref().and_then(|state| state.exit_code);
        // One that stops in good order answers who waits, and nothing else tells then that it was the one to end the command.
        let is_doubtful = is_doubtful.into_inner() || code == Some(UNKNOWN.into()) || !self.engine.tells_start();
        let was_away = is_doubtful && self.has_surely_lost_memory(run, &found).await;
        let state = self.with_oom(run, found, parent.as_ref(), seen.has_run_out()).await.state.unwrap_or_default();
        let logged = match pump {
            Some(pump) => self.drain(run, dirs, pump).await,
            None => Logged::default(),
        };
        let gap = was_away
            .then(|| "the engine was down for a while, and may not have what the command wrote then".to_owned());
        let logged = Logged { gap: gap.or(logged.gap), ..logged };
        let ending = ending(&state, peak, logged, was_away);
        if was_away && !self.keeps_alive().await {
            // Whatever it tells: it took the command down with it.
            return Ok(Ending { how: How::HostRestarted, ..ending });
        }
        Ok(ending)
    }

    /// The container, once it does not run, and what carries its logs; no container if it is gone.
    ///
    /// While the engine cannot be reached nothing is known, and it is asked again.
    async fn until_ended(
        &self,
        run: &RunRef,
        dirs: &JobDirs,
        is_doubtful: &AtomicBool,
    ) -> (Option<ContainerInspectResponse>, Option<Arc<Pump>>) {
        let mut pump = self.runs.pump(run);
        // The one that was given up and has no successor yet: of a container that is gone there will be none.
        let mut last = None;
        let mut is_seen_twice = false;
        let mut backoff = Backoff::new();
        // What another process started, or has ended long ago, is looked at first.
        let mut is_known = pump.is_some();
        loop {
            let awaited = if is_known { self.await_end(run).await } else { Awaited::Nothing };
            if awaited == Awaited::Break {
                is_doubtful.store(true, Ordering::Relaxed);
                // The connection broke, and with it perhaps the one of the logs, which does not tell.
                last = pump.clone().or(last);
                self.give_up(run, &mut pump).await;
                backoff.wait().await;
            }
            match self.inspect(run).await {
                Ok(None) => return (None, pump.or(last)),
                Ok(Some(found)) => {
                    let stands = found.state.as_ref().and_then(standing);
                    // Somebody started it anew, and its logs ended with its earlier life.
                    let is_anew = awaited == Awaited::End || pump.as_ref().is_some_and(|pump| pump.has_ended());
                    if is_anew && stands == Some(RunState::Running) {
                        last = pump.clone().or(last);
                        self.give_up(run, &mut pump).await;
                        backoff.wait().await;
                    }
                    if stands != Some(RunState::Created) && pump.as_ref().is_none_or(|pump| pump.is_broken()) {
                        // Of one that has ended all is kept by now, and Podman does not tell all of it to who follows that.
                        let from = if stands == Some(RunState::Running) { Feed::Growing } else { Feed::Kept };
                        let Ok(read) = self.read_log(run, dirs, from).await else {
                            backoff.wait().await;
                            continue;
                        };
                        pump = Some(read);
                        self.runs.set_id(run, found.id.clone());
                    }
                    if stands != Some(RunState::Running) {
                        // Between the two halves of a restart by somebody it is as one that was killed, for a moment.
                        if awaited == Awaited::End && was_killed(&found) && !is_seen_twice {
                            is_seen_twice = true;
                            tokio::time::sleep(BETWEEN_HALVES).await;
                            continue;
                        }
                        return (Some(found), pump);
                    }
                    is_seen_twice = false;
                    is_known = true;
                }
                // Whatever it says instead: nothing is known of the command then, and it is no end.
                Err(error) => {
                    warn!(
                        backend = DOCKER,
                        run = run.name(),
                        "the engine does not tell of the run, asking again: {error}"
                    );
                    backoff.wait().await;
                }
            }
        }
    }

    /// Whether containers live through a restart of the engine, asked until it answers.
    async fn keeps_alive(&self) -> bool {
        let mut backoff = Backoff::new();
        loop {
            match self.engine.client().await {
                Ok(client) => return client.is_kept_alive,
                Err(_) => backoff.wait().await,
            }
        }
    }

    /// Whether the engine was started anew while the container ran, asked until it answers.
    async fn has_surely_lost_memory(&self, run: &RunRef, found: &ContainerInspectResponse) -> bool {
        let mut backoff = Backoff::new();
        loop {
            let asked = match self.engine.client().await {
                Ok(client) => self.has_lost_memory(&client, run, found).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(has_lost) => return has_lost,
                Err(BackendError::Unreachable { .. }) => backoff.wait().await,
                Err(error) => {
                    warn!(backend = DOCKER, run = run.name(), "it is not known whether the engine was down: {error}");
                    return false;
                }
            }
        }
    }

    /// The most memory that an ended container used.
    fn peak(&self, found: &ContainerInspectResponse, parent: Option<&Parent>, seen: &Seen) -> Option<PeakMemory> {
        let has_run = found.state.as_ref().is_some_and(|state| instant(state.started_at.as_deref()).is_some());
        match parent {
            Some(parent) if parent.memory().keeps_peak() => {
                let counted = parent.peak();
                if has_run && counted.is_none() {
                    self.parents.give_up();
                }
                // What the kernel needs for the container's own group is counted above it, and is none of the run's.
                let limit = memory_limit(found).unwrap_or(u64::MAX);
                counted.map(|bytes| PeakMemory { bytes: bytes.min(limit), is_sampled: false })
            }
            Some(_) | None => seen.peak(),
        }
    }

    /// What is known of an ended container, with the kernel's word on whether it ran out of memory where there is one; else
    /// looked at further if it may have.
    ///
    /// The engine hears of an OOM on a way of its own. It may tell the exit first, and if it heard of the exit first it
    /// never puts the OOM into the container's state, but tells it as an event all the same.
    async fn with_oom(
        &self,
        run: &RunRef,
        found: ContainerInspectResponse,
        parent: Option<&Parent>,
        is_seen: bool,
    ) -> ContainerInspectResponse {
        let mut found = found;
        let limit = memory_limit(&found);
        let told = parent.zip(limit).and_then(|(parent, limit)| parent.has_run_out(limit));
        if let Some(told) = told.or(is_seen.then_some(true)) {
            if let Some(state) = &mut found.state {
                state.oom_killed = Some(told);
            }
            return found;
        }
        let has_reached = parent.zip(limit).is_some_and(|(parent, limit)| parent.has_reached(limit));
        // Of a child that was killed, the command that gave up then tells any code. Without a group of ours nobody knows whether
        // the limit was reached: then the engine's word is waited for, though not as long.
        let is_blind = parent.is_none();
        let is_suspect = |code: Option<i64>| code == Some(137) || ((has_reached || is_blind) && code != Some(0));
        let is_grave = has_reached || found.state.as_ref().is_some_and(|state| state.exit_code == Some(137));
        let patience = if is_grave { LATE_OOM } else { BLIND_OOM };
        let may_be_oom = |found: &ContainerInspectResponse| {
            found.state.as_ref().is_some_and(|state| is_suspect(state.exit_code) && state.oom_killed != Some(true))
        };
        if !may_be_oom(&found) {
            return found;
        }
        let Ok(client) = self.engine.client().await else { return found };
        let mut ooms = client.docker.events(Some(ooms_of(run, &found))).fuse().boxed();
        let begin = tokio::time::Instant::now();
        while may_be_oom(&found) && begin.elapsed() < patience {
            match tokio::time::timeout(OOM_LOOK, ooms.next()).await {
                Ok(Some(Ok(_))) => {
                    if let Some(state) = &mut found.state {
                        state.oom_killed = Some(true);
                    }
                    return found;
                }
                Ok(Some(Err(_)) | None) => tokio::time::sleep(OOM_LOOK).await,
                Err(_) => {}
            }
            let Ok(Some(now)) = self.inspect(run).await else { return found };
            found = now;
        }
        found
    }

    /// Gives up what carries the logs, so that they are followed anew.
    async fn give_up(&self, run: &RunRef, pump: &mut Option<Arc<Pump>>) {
        if let Some(pump) = pump.take() {
            pump.give_up().await;
            self.runs.set_pump(run, None);
        }
    }

    /// Waits until the engine tells that the container does not run.
    async fn await_end(&self, run: &RunRef) -> Awaited {
        let Ok(client) = self.engine.client().await else { return Awaited::Break };
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let mut answer = Box::pin(client.docker.wait_container(&self.handle(run), Some(options)));
        match tokio::time::timeout(ONE_WAIT, answer.next()).await {
            Err(_) => Awaited::Nothing,
            // An exit code other than 0, or no such container, which the look at it will tell.
            Ok(Some(Ok(_) | Err(DockerContainerWaitError { .. }))) => Awaited::End,
            Ok(Some(Err(error))) if Self::is_gone(&error) => Awaited::End,
            Ok(None | Some(Err(_))) => Awaited::Break,
        }
    }

    /// Takes the logs from what the engine kept, from the first byte on.
    async fn read_log(&self, run: &RunRef, dirs: &JobDirs, from: Feed) -> Result<Arc<Pump>, BackendError> {
        let client = self.engine.client().await?;
        let pump = Arc::new(
            Pump::read(&client, &self.handle(run), (&dirs.log(run), self.settings.max_log), from, &self.tasks).await,
        );
        self.runs.set_pump(run, Some(Arc::clone(&pump)));
        Ok(pump)
    }
}

/// The container's memory limit, in bytes.
fn memory_limit(found: &ContainerInspectResponse) -> Option<u64> {
    let limit = found.host_config.as_ref()?.memory?;
    u64::try_from(limit).ok().filter(|limit| *limit > 0)
}

/// Whether its exit code is that of a command that was told to end, or was killed.
fn was_killed(found: &ContainerInspectResponse) -> bool {
    matches!(found.state.as_ref().and_then(|state| state.exit_code), Some(137 | 143))
}

/// A question for the OOMs of a run's container, those before it was asked and those to come.
fn ooms_of(run: &RunRef, found: &ContainerInspectResponse) -> EventsOptions {
    let started = found.state.as_ref().and_then(|state| instant(state.started_at.as_deref()));
    let container = found.id.clone().unwrap_or_else(|| run.name());
    let filters = [("container", container), ("event", "oom".to_owned()), ("type", "container".to_owned())];
    EventsOptions {
        since: Some(started.map_or(0, |started| started.millis() / 1000).to_string()),
        until: None,
        filters: Some(filters.into_iter().map(|(name, value)| (name.to_owned(), vec![value])).collect()),
    }
}
