//! How many jobs are in which phase, without counting a million of them at every scrape.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::ports::{JobCount, Store, StoreError};

/// How much longer than a count of the jobs that have ended takes, the next one waits: it costs a hundredth of a CPU at the
/// most, however many they are and however often somebody scrapes.
const REST: u32 = 100;

/// The count of jobs that have ended, while it is good enough.
#[derive(Debug, Default)]
pub(super) struct Counts {
    ended: Mutex<Option<Counted>>,
}

#[derive(Debug)]
struct Counted {
    jobs: Vec<JobCount>,
    at: Instant,
    took: Duration,
}

impl Counts {
    /// How many jobs there are by service and phase: of those on their way as it is now, of those that have ended as it was a
    /// hundred times as long ago as it takes to count them, at the most (with a million jobs half a minute, with few none).
    ///
    /// # Errors
    /// What the store failed with.
    pub(super) async fn of(&self, store: &dyn Store) -> Result<Vec<JobCount>, StoreError> {
        let mut jobs = store.count_active().await?;
        // Held while they are counted: scrapes that come together count once.
        let mut ended = self.ended.lock().await;
        let counted = match ended.take() {
            Some(counted) if counted.at.elapsed() < counted.took * REST => counted,
            Some(_) | None => {
                let began = Instant::now();
                let jobs = store.count_ended().await?;
                Counted { jobs, at: Instant::now(), took: began.elapsed() }
            }
        };
        jobs.extend(ended.insert(counted).jobs.iter().cloned());
        Ok(jobs)
    }
}
