//! Images: looked for, fetched as their pull policy says, removed.

use std::collections::{HashMap, HashSet};

use bollard::models::{ImageInspect, ImageSummary};
use bollard::query_parameters::{ListContainersOptions, ListImagesOptions, RemoveImageOptions};

use super::backend::Shared;
use super::connect::Client;
use super::error::{failed, status_of, words_of};
use super::pull::{Landed, Order, Stand};
use super::reference::Mirror;
use crate::config::Live;
use crate::domain::{full_name, repository_of};
use crate::ports::{Arrival, BackendError, ImageFacts, ImageRemoval, Progress, Pull};

const LOOKING: &str = "looking for the image";
const REMOVING: &str = "removing the image";

impl Shared {
    pub(super) async fn fetch_image(
        &self,
        image: &str,
        pull: Pull,
        progress: Progress<'_>,
    ) -> Result<ImageFacts, BackendError> {
        let client = self.engine.client().await?;
        let mut found = self.inspect_image(&client, image).await?;
        let (mut landed, mut arrival) = (None, Arrival::Found);
        if pull == Pull::Always || (pull == Pull::Missing && found.is_none()) {
            arrival = if found.is_some() { Arrival::Replaced } else { Arrival::Pulled };
            landed = Some(self.pull(&client, image, arrival, progress).await?);
            found = self.inspect_image(&client, image).await?;
        }
        if let Some(found) = found {
            return Ok(ImageFacts { arrival, ..facts(image, found, landed) });
        }
        let why = match pull {
            Pull::Never => "it is not on the host, and pull = \"never\"",
            Pull::Missing | Pull::Always => "it was pulled and is not there",
        };
        Err(BackendError::Image { image: image.to_owned(), why: why.to_owned(), is_transient: false })
    }

    pub(super) async fn find_image(&self, name: &str) -> Result<Option<String>, BackendError> {
        let client = self.engine.client().await?;
        Ok(self.inspect_image(&client, name).await?.and_then(|found| found.id))
    }

    pub(super) async fn remove_image(&self, name: &str, id: &str) -> Result<ImageRemoval, BackendError> {
        let client = self.engine.client().await?;
        let Some(found) = self.inspect_image(&client, name).await?.filter(|found| found.id.as_deref() == Some(id))
        else {
            return Ok(ImageRemoval::Gone);
        };
        // By its id it is looked for that lost its name to another. With a name again, it is somebody's.
        if name == id && found.repo_tags.is_some_and(|tags| !tags.is_empty()) {
            return Ok(ImageRemoval::Gone);
        }
        // Of an image with another name the engine would take this one away whatever its containers.
        let plain = id.strip_prefix("sha256:").unwrap_or(id); // Podman finds nothing of the longer form
        let filters = Some(HashMap::from([("ancestor".to_owned(), vec![plain.to_owned()])]));
        let options = ListContainersOptions { all: true, limit: Some(1), filters, ..ListContainersOptions::default() };
        let made = self.engine.bounded(client.docker.list_containers(Some(options))).await;
        if !made.map_err(|error| failed(REMOVING, &error))?.is_empty() {
            return Ok(ImageRemoval::InUse);
        }
        let options = RemoveImageOptions::default();
        match self.engine.bounded(client.docker.remove_image(name, Some(options), None)).await {
            Ok(_) => Ok(ImageRemoval::Removed),
            Err(error) => match status_of(&error) {
                Some(404) => Ok(ImageRemoval::Gone),
                Some(409) => Ok(ImageRemoval::InUse),
                _ => Err(failed(REMOVING, &error)),
            },
        }
    }

    /// The ids of the images that a helper may be made of in the place of `own`.
    pub(super) async fn other_images(
        &self,
        client: &Client,
        doing: &'static str,
        own: Option<&str>,
    ) -> Result<Vec<String>, BackendError> {
        let listed = self.engine.bounded(client.docker.list_images(None::<ListImagesOptions>)).await;
        let images = listed.map_err(|error| failed(doing, &error))?;
        let config = self.helpers.config.get().map(Live::get);
        let services = config.iter().flat_map(|config| config.services.values());
        let own = own.map(full_name);
        let of_services = services.map(|service| full_name(&service.image));
        let named = of_services.filter(|name| own.as_ref() != Some(name)).collect();
        Ok(for_helpers(images, &named, &self.helpers.unfit()))
    }

    async fn inspect_image(&self, client: &Client, image: &str) -> Result<Option<ImageInspect>, BackendError> {
        match self.engine.bounded(client.docker.inspect_image(image)).await {
            Ok(found) => Ok(Some(found)),
            Err(error) => match status_of(&error) {
                Some(404) => Ok(None),
                Some(400) => {
                    Err(BackendError::Image { image: image.to_owned(), why: words_of(&error), is_transient: false })
                }
                _ => Err(failed(LOOKING, &error)),
            },
        }
    }

    async fn pull(
        &self,
        client: &Client,
        image: &str,
        arrival: Arrival,
        progress: Progress<'_>,
    ) -> Result<Landed, BackendError> {
        let mut stands = Vec::new();
        for mirror in self.settings.mirrors.iter().map(|text| Mirror::parse(text)) {
            let Some(name) = mirror.name_of(image) else { continue };
            // A mirror of itself; or somebody wants the mirror's name, too.
            let is_kept = full_name(&name) == full_name(image) || self.inspect_image(client, &name).await?.is_some();
            stands.push(Stand { name, is_kept });
        }
        let brought = stands.iter().filter(|stand| !stand.is_kept).map(|stand| stand.name.clone());
        let own = (arrival == Arrival::Pulled).then(|| image.to_owned());
        progress.will_bring(own.into_iter().chain(brought).collect()).await;
        let order = Order {
            image: image.to_owned(),
            stands,
            credentials: self.settings.credentials.clone(),
            limit: self.settings.pull_timeout,
        };
        self.pulls.pull(&client.docker, order, progress).await
    }
}

/// The ids of those that services name, but the unfit: the operator knows what they are.
fn for_helpers(images: Vec<ImageSummary>, named: &HashSet<String>, unfit: &HashSet<String>) -> Vec<String> {
    let is_named = |image: &ImageSummary| {
        image.repo_tags.iter().chain(&image.repo_digests).any(|name| named.contains(&full_name(name)))
    };
    let fit = images.into_iter().filter(|image| is_named(image) && !unfit.contains(&image.id));
    fit.map(|image| image.id).collect()
}

/// The digest under which the place that it came from knows it, or the registry of its name, else any registry's, else the
/// local id.
fn facts(image: &str, found: ImageInspect, landed: Option<Landed>) -> ImageFacts {
    let (source, digest) = landed.map_or((None, None), |landed| (Some(landed.name), landed.digest));
    let digest = digest.or_else(|| digest_of(image, &found));
    let digest = digest.or_else(|| found.repo_digests.as_ref()?.first().cloned()).or_else(|| found.id.clone());
    ImageFacts { id: found.id, digest, source: source.filter(|source| source != image), arrival: Arrival::Found }
}

/// The digest under which the registry of `name` knows the image.
pub(super) fn digest_of(name: &str, found: &ImageInspect) -> Option<String> {
    let mut digests = found.repo_digests.iter().flatten();
    digests.find(|digest| digest.split('@').next() == Some(repository_of(name))).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_only_of_images_that_services_name() {
        let image = |id: &str, tags: &[&str], digests: &[&str]| ImageSummary {
            id: id.to_owned(),
            repo_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            repo_digests: digests.iter().map(|digest| (*digest).to_owned()).collect(),
            ..ImageSummary::default()
        };
        let digest = format!("debian@sha256:{}", "0".repeat(64));
        let images = vec![
            image("another", &["debian:13"], &[]),
            image("nameless", &[], &[]),
            image("bare", &["bare:1"], &[]),
            image("tagged", &["b:1", "debian:12"], &[]),
            image("by digest", &[], &[&digest]),
        ];
        let named = HashSet::from(["docker.io/library/debian:12", "bare:1", &digest].map(full_name));
        let unfit = HashSet::from(["bare".to_owned()]);
        assert_eq!(for_helpers(images.clone(), &named, &unfit), ["tagged", "by digest"]);
        assert!(for_helpers(images, &HashSet::new(), &HashSet::new()).is_empty());
    }

    #[test]
    fn the_digest_of_the_own_repository_is_preferred() {
        let found = ImageInspect {
            id: Some("sha256:id".into()),
            repo_digests: Some(vec!["other@sha256:1".into(), "host:5000/debian@sha256:2".into()]),
            ..ImageInspect::default()
        };
        assert_eq!(facts("host:5000/debian", found.clone(), None).digest.as_deref(), Some("host:5000/debian@sha256:2"));
        assert_eq!(
            facts("host:5000/debian:12", found.clone(), None).digest.as_deref(),
            Some("host:5000/debian@sha256:2")
        );
        assert_eq!(facts("third", found, None).digest.as_deref(), Some("other@sha256:1"));
        let local = ImageInspect { id: Some("sha256:id".into()), ..ImageInspect::default() };
        assert_eq!(facts("x", local, None).digest.as_deref(), Some("sha256:id"));
    }
}
