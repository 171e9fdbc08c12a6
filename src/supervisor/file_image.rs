//! The image of a job to whose files only a helper of it gets, fetched again where the host has none that does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::domain::{JobId, chain};
use crate::ports::{BackendError, Fetching, Pull, RunSpec, StoreError};

use super::context::Context;
use super::driver::{StopSignal, asked};

/// How long an image that was not to be had is left alone.
const REST: Duration = Duration::from_secs(600);

/// The images that are being fetched in the background, and those that were not to be had.
#[derive(Debug, Default)]
pub(super) struct Refetches(Mutex<HashMap<String, Refetch>>);

#[derive(Debug, Clone, Copy)]
enum Refetch {
    UnderWay,
    FailedAt(Instant),
}

impl Refetches {
    /// Whether the image is to be fetched by the caller, who then tells of the end.
    fn begin(&self, image: &str) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, fetch| match fetch {
            Refetch::UnderWay => true,
            Refetch::FailedAt(at) => at.elapsed() < REST,
        });
        let is_new = !all.contains_key(image);
        if is_new {
            all.insert(image.to_owned(), Refetch::UnderWay);
        }
        is_new
    }

    fn end(&self, image: &str, is_there: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_there {
            all.remove(image);
        } else {
            all.insert(image.to_owned(), Refetch::FailedAt(Instant::now()));
        }
    }
}

impl Context {
    /// Brings the output of a run home, by its image, fetched again, if nothing else does. A pull may take long: it is given
    /// up on a wish to stop, so that the job ends, with the error that there was.
    pub(super) async fn take_back(&self, spec: &RunSpec, stop: &mut StopSignal) -> Result<(), BackendError> {
        match self.patiently(|| self.backend.take_back(spec)).await {
            Err(error @ BackendError::Image { .. }) if spec.pull != Pull::Never => {
                warn!("the output is brought home once the image is fetched again: {}", chain(&error));
                tokio::select! {
                    biased;
                    _ = asked(stop) => {
                        warn!("the output is not brought home: the job is to end, and nobody waits for the image");
                        return Err(error);
                    }
                    // Dropped it is like a preparation that is: what its pull brings was noted before.
                    fetched = self.fetch_for_files(&spec.image) => fetched?,
                }
                self.patiently(|| self.backend.take_back(spec)).await
            }
            taken => taken,
        }
    }

    /// Begins to fetch an image that the removal of a job's files lacks, unless its service never pulls. Nothing waits for
    /// it, as the files of others are removed meanwhile; once it is there the removal is tried again. While
    /// a disk lacks room nothing is fetched: the image might take the last of it.
    pub(super) async fn refetch(self: &Arc<Self>, job: JobId, image: &str) -> Result<(), StoreError> {
        let service = self.shared.store.job(job).await?.map(|job| job.service);
        let config = self.shared.config.get();
        let service = service.and_then(|name| config.services.get(&name));
        if service.is_some_and(|service| service.pull == Pull::Never) {
            return Ok(());
        }
        let lack = self.shared.disk.borrow().clone();
        if let Some(lack) = lack {
            warn!(job.id = %job, "image {image}, which the removal of files needs, is not fetched for want of room: {lack}");
            return Ok(());
        }
        if !self.refetches.begin(image) {
            return Ok(());
        }
        let (context, image) = (Arc::clone(self), image.to_owned());
        self.shared.fetches.spawn(async move {
            let fetched = context.fetch_for_files(&image).await;
            context.refetches.end(&image, fetched.is_ok());
            match fetched {
                Ok(()) => {
                    info!("image {image} was fetched to remove the files of jobs that ran in it");
                    context.shared.swept.notify_one();
                }
                Err(error) => warn!(
                    "the files of jobs that ran in {image} cannot be removed, which is tried again in {} s: {}",
                    REST.as_secs(),
                    chain(&error)
                ),
            }
        });
        Ok(())
    }

    async fn fetch_for_files(&self, image: &str) -> Result<(), BackendError> {
        // Until it is noted as used it could be removed by ourselves.
        let _claim = self.claims.claim(image).await;
        let listener = Quiet(self);
        let facts = self.patiently(|| self.backend.fetch_image(image, Pull::Missing, &listener)).await?;
        self.uses_image(image, facts).await;
        Ok(())
    }
}

/// Notes what a pull brings, and tells nobody how it goes.
struct Quiet<'a>(&'a Context);

#[async_trait]
impl Fetching for Quiet<'_> {
    fn tell(&self, _: String) {}

    async fn will_bring(&self, names: Vec<String>) {
        self.0.will_pull(names).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_image_is_fetched_once_at_a_time_and_rests_when_it_is_not_to_be_had() {
        let fetches = Refetches::default();
        assert!(fetches.begin("a") && !fetches.begin("a") && fetches.begin("b"));
        fetches.end("b", true);
        assert!(fetches.begin("b"), "it was removed once more");
        fetches.end("a", false);
        tokio::time::advance(REST / 2).await;
        assert!(!fetches.begin("a"));
        tokio::time::advance(REST / 2).await;
        assert!(fetches.begin("a"));
    }
}
