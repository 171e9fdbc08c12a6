//! The images of the engine without an engine: names, and what has them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::full_name;
use crate::ports::{Arrival, BackendError, ImageFacts, ImageRemoval, Progress, Pull};

/// Images by name. All that is pulled is the same one, as its id tells.
#[derive(Default)]
pub struct FakeImages {
    all: Mutex<BTreeMap<String, FakeImage>>,
    is_stuck: AtomicBool,
}

struct FakeImage {
    id: String,
    is_in_use: bool,
}

impl FakeImages {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, FakeImage>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody else puts the image `id` there.
    pub fn put(&self, name: &str, id: &str) {
        self.all().insert(full_name(name), FakeImage { id: id.to_owned(), is_in_use: false });
    }

    /// From now on no pull comes to an end.
    pub fn get_stuck(&self) {
        self.is_stuck.store(true, Ordering::SeqCst);
    }

    /// Somebody else removes an image.
    pub fn take(&self, name: &str) {
        self.all().remove(&full_name(name));
    }

    /// Somebody else's container is made of it from now on, or is no more.
    pub fn set_in_use(&self, name: &str, is_in_use: bool) {
        self.all().get_mut(&full_name(name)).expect("it is there").is_in_use = is_in_use;
    }

    /// The full names of those that are there.
    pub fn names(&self) -> Vec<String> {
        self.all().keys().cloned().collect()
    }

    pub(super) async fn fetch(
        &self,
        image: &str,
        pull: Pull,
        progress: Progress<'_>,
    ) -> Result<ImageFacts, BackendError> {
        if image == "missing" || image.starts_with("localhost:1/") {
            let why = "no such image".to_owned();
            return Err(BackendError::Image { image: image.to_owned(), why, is_transient: false });
        }
        let name = full_name(image);
        let found = self.find(&name);
        let is_found = found.is_some();
        let id = found.filter(|_| pull != Pull::Always);
        let facts = |id: String, arrival| ImageFacts { id: Some(id.clone()), digest: Some(id), source: None, arrival };
        if let Some(id) = id {
            return Ok(facts(id, Arrival::Found));
        }
        if !is_found {
            progress.will_bring(vec![image.to_owned()]).await;
        }
        if self.is_stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let id = "sha256:fake".to_owned();
        self.put(&name, &id);
        Ok(facts(id, if is_found { Arrival::Replaced } else { Arrival::Pulled }))
    }

    pub(super) fn find(&self, name: &str) -> Option<String> {
        self.all().get(&full_name(name)).map(|image| image.id.clone())
    }

    pub(super) fn remove(&self, name: &str, id: &str) -> ImageRemoval {
        let mut all = self.all();
        match all.get(&full_name(name)) {
            Some(image) if image.id == id && image.is_in_use => ImageRemoval::InUse,
            Some(image) if image.id == id => {
                all.remove(&full_name(name));
                ImageRemoval::Removed
            }
            Some(_) | None => ImageRemoval::Gone,
        }
    }
}
