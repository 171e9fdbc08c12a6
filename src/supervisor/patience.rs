//! Calls of the backend that are made again while it cannot be reached.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use super::context::Context;
use crate::domain::JobId;
use crate::ports::{BackendError, Backoff};

/// A call that takes longer has it looked at whether the backend answers at all.
const LONG: Duration = Duration::from_secs(2);

impl Context {
    /// Calls again while the backend cannot be reached: nothing is concluded from silence. That it cannot be is looked at by
    /// [`super::health::Health`] at once, and so told.
    pub(super) async fn patiently<T, F, R>(&self, call: F) -> Result<T, BackendError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, BackendError>>,
    {
        self.again(|_| {}, call).await
    }

    /// The same for a job that is being prepared: the detail of its stage tells what it waits for.
    pub(super) async fn patiently_for<T, F, R>(&self, job: JobId, call: F) -> Result<T, BackendError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, BackendError>>,
    {
        self.again(|why| self.shared.set_detail(job, why), call).await
    }

    async fn again<T, F, R>(&self, tell: impl Fn(String), mut call: F) -> Result<T, BackendError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, BackendError>>,
    {
        let mut backoff = Backoff::new();
        let mut is_told = false;
        loop {
            match self.doubting(call()).await {
                Err(error @ BackendError::Unreachable { .. }) => {
                    self.shared.doubt.notify_one();
                    warn!("{error}; trying again");
                    tell(format!("{error}; trying again"));
                    is_told = true;
                    backoff.wait().await;
                }
                result => {
                    if is_told {
                        tell(String::new());
                    }
                    return result;
                }
            }
        }
    }

    /// Waits for `call`, with a doubt about the backend if it takes long.
    async fn doubting<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        if let Ok(done) = timeout(LONG, &mut call).await {
            return done;
        }
        self.shared.doubt.notify_one();
        call.await
    }
}
