//! Images that were pulled for jobs and that no job has used for long are removed from the engine.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tracing::{debug, error, info, warn};

use crate::domain::{Job, JobFilter, Page, Phase, Timestamp, chain, full_name};
use crate::ports::{ImageFacts, ImageOfFiles, ImageRemoval, PulledImage, StoreError};

use super::context::Context;
use super::image;

/// How often images are looked at, and so how exactly the last use of one is known that a running job uses.
const EVERY: Duration = Duration::from_secs(600);
/// How many jobs are looked at at a time.
const PAGE: u32 = 500;

/// Which images jobs are about to use: such a one is not removed, and one that is being removed is waited for.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<String, Weak<RwLock<()>>>>);

impl Claims {
    /// Claims an image until its container is there, which then keeps it.
    pub(super) async fn claim(&self, image: &str) -> OwnedRwLockReadGuard<()> {
        self.of(&full_name(image)).read_owned().await
    }

    /// Keeps jobs from an image that none of them claims.
    fn bar(&self, name: &str) -> Option<OwnedRwLockWriteGuard<()>> {
        self.of(name).try_write_owned().ok()
    }

    fn of(&self, name: &str) -> Arc<RwLock<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, lock| lock.strong_count() > 0);
        let known = all.get(name).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let new = Arc::default();
            all.insert(name.to_owned(), Arc::downgrade(&new));
            new
        })
    }
}

/// The task that removes unused images.
pub struct UnusedImages {
    context: Arc<Context>,
}

impl UnusedImages {
    pub(super) const fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Runs for ever; dropping it is safe at any time.
    pub async fn run(self) {
        if !self.context.backend.uses_images() {
            return std::future::pending().await;
        }
        loop {
            if let Err(error) = self.round().await {
                error!("unused images cannot be looked for: {}", chain(&error));
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn round(&self) -> Result<(), StoreError> {
        let (shared, images) = (&self.context.shared, &self.context.images);
        let now = shared.clock.now();
        let running = shared.store.executing().await?;
        for name in running.iter().filter_map(image_of).collect::<HashSet<_>>() {
            images.still_used(name, now).await?;
        }
        let age = self.context.shared.config.get().backend.docker.image_age;
        let before = if age.is_zero() { Timestamp::from_millis(i64::MIN) } else { now.before(age) };
        let unused = images.unused_since(before).await?;
        if unused.is_empty() {
            return Ok(());
        }
        let wanted = self.wanted().await?;
        for image in unused.iter().filter(|image| !wanted.contains(&image.name)) {
            self.settle(image, before).await?;
        }
        Ok(())
    }

    /// Removes an image, or finds out about one whose pull nobody saw end.
    async fn settle(&self, image: &PulledImage, before: Timestamp) -> Result<(), StoreError> {
        let Some(_barred) = self.context.claims.bar(&image.name) else { return Ok(()) };
        // A job may have used it since.
        let images = &self.context.images;
        let unused = images.unused_since(before).await?;
        let Some(image) = unused.iter().find(|unused| unused.name == image.name) else { return Ok(()) };
        let PulledImage { name, id, last_used, .. } = image;
        let result = match id {
            Some(id) => self.context.backend.remove_image(name, id).await,
            None => match self.context.backend.find_image(name).await {
                Ok(Some(id)) => return images.pulled(name.clone(), id).await,
                Ok(None) => Ok(ImageRemoval::Gone),
                Err(error) => Err(error),
            },
        };
        match result {
            Ok(ImageRemoval::Removed) => info!("image {name} is removed: no job has used it since {last_used}"),
            Ok(ImageRemoval::Gone) => debug!("image {name} is not there any more, or not ours"),
            Ok(ImageRemoval::InUse) => {
                debug!("image {name} is kept: no job has used it since {last_used}, but a container does");
                return Ok(());
            }
            Err(error) => {
                warn!("image {name}, which no job has used since {last_used}, is still there: {}", chain(&error));
                return Ok(());
            }
        }
        images.forget_image(name.clone()).await
    }

    /// The full names of the images that services name, that jobs on their way want, and that may be needed to remove
    /// the files of jobs that have ended.
    async fn wanted(&self) -> Result<HashSet<String>, StoreError> {
        let shared = &self.context.shared;
        // An image of a service's is not to be had again where there is no registry.
        let config = shared.config.get();
        let mut wanted: HashSet<String> = config.services.values().map(|service| full_name(&service.image)).collect();
        let phases = vec![Phase::Pending, Phase::Held, Phase::Queued, Phase::Executing, Phase::Suspended];
        let filter = JobFilter { phases, ..JobFilter::default() };
        let mut after = None;
        loop {
            let jobs = shared.store.jobs(&filter, Page { after, limit: PAGE }).await?;
            let Some(last) = jobs.last() else { break };
            after = Some(last.place());
            for job in &jobs {
                let asked = config.services.get(&job.service).and_then(|service| image::of(service, &job.work).ok());
                wanted.extend(asked.map(|(image, _)| full_name(&image)).into_iter().chain(image_of(job)));
            }
        }
        let files = self.context.images.of_files().await?;
        wanted.extend(files.iter().filter(|files| self.may_help(files)).map(|files| full_name(&files.image)));
        Ok(wanted)
    }

    /// Whether the backend may need the image to remove the files of its jobs.
    fn may_help(&self, files: &ImageOfFiles) -> bool {
        let own = geteuid();
        let config = self.context.shared.config.get();
        let user = config.services.get(&files.service).map(|service| service.user);
        let is_own = user.is_some_and(|user| user.is_none_or(|user| user.uid == own.as_raw()));
        self.context.backend.shares_files() && !own.is_root() && !is_own
    }
}

/// The full name of the image of a job, as far as it is known that it has one.
fn image_of(job: &Job) -> Option<String> {
    job.facts.image.as_deref().map(full_name)
}

impl Context {
    /// Notes that names are about to be pulled. What cannot be noted is pulled all the same, and then stays for ever.
    pub(super) async fn will_pull(&self, names: Vec<String>) {
        let names = names.iter().map(|name| full_name(name)).collect();
        if let Err(error) = self.images.pulling(names, self.shared.clock.now()).await {
            warn!("it is not known later that an image was pulled for a job: {}", chain(&error));
        }
    }

    /// Notes that a job uses an image. Returns the digest that it was pulled with, where the engine tells none.
    pub(super) async fn uses_image(&self, image: &str, facts: ImageFacts) -> Option<String> {
        let is_told = facts.digest != facts.id;
        match self.images.used(full_name(image), facts, self.shared.clock.now()).await {
            Ok(digest) => digest.filter(|_| !is_told),
            Err(error) => {
                warn!("it is not noted that a job uses the image {image}: {}", chain(&error));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_claimed_is_not_barred_and_what_is_barred_is_waited_for() {
        let claims = Claims::default();
        let (one, two) = (claims.claim("debian").await, claims.claim("docker.io/library/debian:latest").await);
        drop(one);
        assert!(claims.bar("docker.io/library/debian:latest").is_none());
        assert!(claims.bar("docker.io/library/debian:12").is_some(), "another one");
        drop(two);
        let barred = claims.bar("docker.io/library/debian:latest").expect("nobody claims it");
        assert!(futures_util::FutureExt::now_or_never(claims.claim("debian")).is_none());
        drop(barred);
        drop(claims.claim("debian").await);
    }
}
