//! The last byte of the logs of a run that has ended.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::backend::Shared;
use super::ending::Logged;
use super::error::{DOCKER, is_unreachable};
use super::logs::{Drained, Feed, Pump};
use super::tail;
use crate::ports::{Backoff, JobDirs, LogLoss, RunRef};

/// How long the last words may take after the end, before they are read from what the engine kept.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// How long reading what the engine kept may take.
const READING: Duration = Duration::from_secs(600);
/// How often a log that the engine finds torn is asked for: also one that is written at this moment may look so.
const TORN: u32 = 5;

impl Shared {
    /// Waits for the last byte of the logs of a run that has ended.
    pub(super) async fn drain(&self, run: &RunRef, dirs: &JobDirs, pump: Arc<Pump>) -> Logged {
        let patience = if pump.from() == Feed::Kept { READING } else { LAST_WORDS };
        match tokio::time::timeout(patience, pump.end()).await {
            Ok(Drained::Whole) => {
                let is_whole = if pump.from() == Feed::Growing { self.is_whole(run, &pump).await } else { Some(true) };
                if is_whole != Some(false) {
                    let gap = "the engine could not be asked whether it had told all of it";
                    let logged = pump.close().await;
                    if logged.error.is_none() {
                        return Logged { gap: is_whole.is_none().then(|| gap.to_owned()), ..logged };
                    }
                }
            }
            // There may be room by now.
            Ok(Drained::Broken { .. } | Drained::Torn(_) | Drained::Failed(_)) | Err(_) => pump.give_up().await,
        }
        self.read_again(run, dirs, pump).await
    }

    /// Reads all that the engine kept of the logs of a run that has ended; `fullest` is what was taken of them before.
    async fn read_again(&self, run: &RunRef, dirs: &JobDirs, mut fullest: Arc<Pump>) -> Logged {
        let (mut backoff, mut torn) = (Backoff::new(), 0);
        let dir = dirs.log(run);
        loop {
            let Ok(client) = self.engine.client().await else {
                backoff.wait().await;
                continue;
            };
            let files = (dir.as_path(), self.settings.max_log);
            let again = Arc::new(Pump::read(&client, &self.handle(run), files, Feed::Kept, &self.tasks).await);
            // Who waits next, because of an order that came, goes on with this one: two must not write at a time.
            self.runs.set_pump(run, Some(Arc::clone(&again)));
            let why = match tokio::time::timeout(READING, again.end()).await {
                Ok(Drained::Whole) => return again.close().await,
                Ok(Drained::Broken { is_unreachable: true, .. }) => None,
                Ok(Drained::Torn(_)) if torn + 1 < TORN => {
                    torn += 1;
                    None
                }
                Ok(Drained::Failed(why)) => Some(why),
                Ok(Drained::Torn(why) | Drained::Broken { is_unreachable: false, why }) => Some(lost(&why)),
                Err(_) => Some(lost(&format!("not read within {}s", READING.as_secs()))),
            };
            again.give_up().await;
            if again.told().await > fullest.told().await {
                fullest = again;
            }
            if let Some(why) = why {
                warn!(backend = DOCKER, run = run.name(), "the logs are not whole: {}", why.why);
                // What was taken stays; how much was written is not known then.
                fullest.close().await;
                return Logged { error: Some(why), ..Logged::default() };
            }
            backoff.wait().await;
        }
    }

    /// Whether the engine kept no more of the logs of a run that has ended than what was taken; `None`: it cannot be asked.
    async fn is_whole(&self, run: &RunRef, pump: &Pump) -> Option<bool> {
        // One that was cut is told to be, and no more is known of it.
        let Some(taken) = pump.taken(tail::COMPARED as u64).await else { return Some(true) };
        let mut backoff = Backoff::new();
        let asked = async {
            loop {
                if let Ok(client) = self.engine.client().await {
                    match tail::is_whole(&client, &self.handle(run), &taken).await {
                        Ok(is_whole) => return Some(is_whole),
                        Err(error) if is_unreachable(&error) => {}
                        Err(_) => return None,
                    }
                }
                backoff.wait().await;
            }
        };
        tokio::time::timeout(READING, asked).await.unwrap_or(None)
    }
}

/// What was taken of the logs of a run whose container is gone. A stream that follows what the engine keeps may not have told all
/// when it ends, and nothing is left that another could be held against.
pub(super) async fn taken(pump: Option<&Pump>) -> Logged {
    let gap = Some("its container is gone, and with it what was not taken of its log yet".to_owned());
    let Some(pump) = pump else { return Logged { gap, ..Logged::default() } };
    let ended = tokio::time::timeout(LAST_WORDS, pump.end()).await;
    let logged = pump.close().await;
    match ended {
        _ if logged.error.is_some() => logged,
        Ok(Drained::Whole) if pump.from() != Feed::Growing => logged,
        Ok(Drained::Whole) => Logged { gap, ..logged },
        Ok(Drained::Failed(why)) => Logged { error: Some(why), ..Logged::default() },
        Ok(Drained::Broken { .. } | Drained::Torn(_)) | Err(_) => Logged { gap, ..Logged::default() },
    }
}

fn lost(why: &str) -> LogLoss {
    LogLoss { why: format!("the end of the logs may be missing: {why}"), is_full: false }
}
