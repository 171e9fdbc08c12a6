//! Which images were pulled for jobs, and when a job used one last.

use async_trait::async_trait;

use super::run::ImageFacts;
use super::store_error::StoreError;
use crate::domain::Timestamp;

/// An image that was pulled for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledImage {
    /// Its [full name](crate::domain::full_name).
    pub name: String,
    /// The engine's id of it; `None`: its pull was begun, and nobody saw the end.
    pub id: Option<String>,
    /// When it was pulled.
    pub pulled_at: Timestamp,
    /// When a job used it last.
    pub last_used: Timestamp,
}

/// An image of whose jobs some have left files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageOfFiles {
    /// The service (job list) of the jobs.
    pub service: String,
    /// The image, as it was asked for.
    pub image: String,
}

/// What is kept of images, by [full name](crate::domain::full_name), over restarts. Each method is one fact, committed when it
/// returns. What is not kept here was not pulled by us.
#[async_trait]
pub trait Images: Send + Sync {
    /// Notes that these names, which the engine does not have, are about to be pulled; what is known of one stays.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was written.
    async fn pulling(&self, names: Vec<String>, now: Timestamp) -> Result<(), StoreError>;

    /// Notes that a job uses the image `name`, if it was pulled for one: now, as `facts` say, or earlier. Where the engine has
    /// another image under that name now, which we did not pull, ours is forgotten. Returns the digest that it was pulled
    /// with, if that is known.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was written.
    async fn used(&self, name: String, facts: ImageFacts, now: Timestamp) -> Result<Option<String>, StoreError>;

    /// Notes that a job still uses an image, if it was pulled for one.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was written.
    async fn still_used(&self, name: String, now: Timestamp) -> Result<(), StoreError>;

    /// Notes the id of an image whose pull nobody saw end.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was written.
    async fn pulled(&self, name: String, id: String) -> Result<(), StoreError>;

    /// The images that no job has used since `before`, and those whose pull nobody saw end, longest unused first.
    async fn unused_since(&self, before: Timestamp) -> Result<Vec<PulledImage>, StoreError>;

    /// The images of jobs that have ended and still have files.
    async fn of_files(&self) -> Result<Vec<ImageOfFiles>, StoreError>;

    /// Forgets an image that the engine has no more.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was written.
    async fn forget_image(&self, name: String) -> Result<(), StoreError>;
}
