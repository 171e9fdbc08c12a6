//! Deeds on a file system that may hang, a few at a time: those that wait for it leave threads for everything else.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// How many deeds may be out at once.
const PLACES: usize = 16;
/// How long a request waits for one.
const PATIENCE: Duration = Duration::from_secs(10);

/// What happens before a deed, on its thread.
#[cfg(feature = "test-support")]
type Before = Arc<dyn Fn() + Send + Sync>;

/// Lets a few deeds at once onto blocking threads; clones are handles to the same one.
#[derive(Clone)]
pub struct Gate {
    places: Arc<Semaphore>,
    patience: Duration,
    #[cfg(feature = "test-support")]
    before: Option<Before>,
}

/// The file system did not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the disk of this job's files does not answer at the moment; try again later")]
pub struct Silent;

impl Default for Gate {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(PLACES)),
            patience: PATIENCE,
            #[cfg(feature = "test-support")]
            before: None,
        }
    }
}

impl Gate {
    /// A gate at which each deed begins with `before`, and that waits for `patience`: as of a file system that hangs.
    #[cfg(feature = "test-support")]
    #[must_use]
    pub fn with(patience: Duration, before: impl Fn() + Send + Sync + 'static) -> Self {
        Self { patience, before: Some(Arc::new(before)), ..Self::default() }
    }

    /// Does `deed` on a blocking thread, however long it takes until there is a place for it, and then itself. Dropping the
    /// future leaves a deed running that has begun.
    ///
    /// # Errors
    /// Those of the deed; its panic is one too.
    pub async fn pass<T: Send + 'static>(
        &self,
        deed: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        #[cfg(feature = "test-support")]
        let before = self.before.clone();
        let done = tokio::task::spawn_blocking(move || {
            // It goes with the deed, not with its future: what hangs keeps its place.
            let _place = place;
            #[cfg(feature = "test-support")]
            if let Some(before) = before {
                before();
            }
            deed()
        });
        done.await.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
    }

    /// The same for somebody who does not wait for ever.
    ///
    /// # Errors
    /// [`Silent`] if it took too long; inside, the deed's own.
    pub async fn pass_in_time<T: Send + 'static>(
        &self,
        deed: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<io::Result<T>, Silent> {
        tokio::time::timeout(self.patience, self.pass(deed)).await.map_err(|_| Silent)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("free", &self.places.available_permits()).finish_non_exhaustive()
    }
}
