//! Waiting for the end of a job, also across restarts of the daemon.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Client, ClientError, Job};
use crate::domain::{JobId, Phase};

/// How long a server may be away.
const PATIENCE: Duration = Duration::from_secs(60);
/// After how long a wait is told.
const SILENCE: Duration = Duration::from_secs(3);
/// How long the server is asked to wait for a change, in seconds: less than an answer may take.
const WAIT: u64 = 30;
/// An answer without a change that comes sooner was not waited for.
const SOON: Duration = Duration::from_secs(1);
/// The pause between two questions: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Who is told why a client waits and tries again.
pub(super) type Tell = Arc<dyn Fn(&ClientError) + Send + Sync>;

/// How often a client asks, and how long it bears with a server that is away.
#[derive(Default)]
pub(crate) struct Patience {
    pause: Option<Duration>,
    away_since: Option<Instant>,
    tell: Option<Tell>,
    is_told: bool,
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("away_since", &self.away_since).finish_non_exhaustive()
    }
}

impl Patience {
    pub(super) fn telling(tell: Option<Tell>) -> Self {
        Self { tell, ..Self::default() }
    }

    /// Passes on what a request came to; a failure that may pass is `None`, for up to a minute.
    ///
    /// # Errors
    /// The failure, if it will not pass or has lasted too long.
    pub fn bear<T>(&mut self, result: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
        self.bear_at(result, Instant::now())
    }

    fn bear_at<T>(&mut self, result: Result<T, ClientError>, now: Instant) -> Result<Option<T>, ClientError> {
        match result {
            Ok(value) => {
                self.away_since = None;
                self.is_told = false;
                Ok(Some(value))
            }
            Err(error) if error.is_transient() => {
                let since = *self.away_since.get_or_insert(now);
                let away = now.saturating_duration_since(since);
                if away >= PATIENCE {
                    return Err(error);
                }
                if away >= SILENCE && !self.is_told {
                    self.is_told = true;
                    self.tell.iter().for_each(|tell| tell(&error));
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Pauses before the next question, longer each time.
    pub async fn pause(&mut self) {
        let pause = self.pause.unwrap_or(PAUSES.0);
        self.pause = Some((pause * 3 / 2).min(PAUSES.1));
        tokio::time::sleep(pause).await;
    }
}

impl Client {
    /// Waits for the end of the job: the server answers when its phase has changed.
    ///
    /// # Errors
    /// [`ClientError`]; a server that is away is borne with for a minute.
    pub async fn wait(&self, id: JobId) -> Result<Job, ClientError> {
        let mut patience = self.patience();
        let mut phase = None;
        loop {
            let began = Instant::now();
            let asked = match phase {
                Some(phase) => self.job_after(id, phase, WAIT).await,
                None => self.job(id).await,
            };
            match patience.bear(asked)? {
                Some(job) if job.phase.is_final() => return Ok(job),
                // The server waits for us only in these phases (UWS 1.1 §2.2.1.2).
                Some(job) if matches!(job.phase, Phase::Pending | Phase::Queued | Phase::Executing) => {
                    // A server that has too many who wait answers at once.
                    if phase == Some(job.phase) && began.elapsed() < SOON {
                        patience.pause().await;
                    }
                    phase = Some(job.phase);
                }
                Some(_) | None => {
                    phase = None;
                    patience.pause().await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_server_may_be_away_for_a_minute() {
        let away = || Err::<(), _>(ClientError::TimedOut { url: String::new(), limit: PATIENCE });
        let began = Instant::now();
        let mut patience = Patience::default();
        assert!(patience.bear_at(away(), began).expect("borne").is_none());
        assert!(patience.bear_at(Ok(()), began + PATIENCE / 2).expect("there").is_some());
        assert!(patience.bear_at(away(), began + PATIENCE).expect("borne").is_none());
        assert!(patience.bear_at(away(), began + PATIENCE * 2).is_err());
    }

    #[test]
    fn why_it_waits_is_told_once_and_not_of_a_short_restart() {
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let mut patience = Patience::telling(Some(Arc::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        })));
        let began = Instant::now();
        let mut away = |seconds| {
            let away = Err::<(), _>(ClientError::TimedOut { url: String::new(), limit: PATIENCE });
            assert!(patience.bear_at(away, began + Duration::from_secs(seconds)).expect("borne").is_none());
            told.load(Ordering::Relaxed)
        };
        assert_eq!([away(0), away(2), away(3), away(4), away(50)], [0, 0, 1, 1, 1]);
        assert!(patience.bear_at(Ok(()), began + PATIENCE).expect("there").is_some());
    }
}
