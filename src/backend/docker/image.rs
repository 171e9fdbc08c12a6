//! Images: looked for, and fetched as their pull policy says.

use bollard::models::ImageInspect;

use super::backend::Shared;
use super::connect::Client;
use super::error::{failed, status_of, words_of};
use super::pull::Order;
use super::reference::Mirror;
use crate::domain::repository_of;
use crate::ports::{BackendError, ImageFacts, Progress, Pull};

const LOOKING: &str = "looking for the image";

impl Shared {
    pub(super) async fn fetch_image(
        &self,
        image: &str,
        pull: Pull,
        progress: Progress<'_>,
    ) -> Result<ImageFacts, BackendError> {
        let client = self.engine.client().await?;
        let mut source = None;
        if pull == Pull::Always {
            source = Some(self.pull(&client, image, progress).await?);
        }
        if let Some(found) = self.inspect_image(&client, image).await? {
            return Ok(facts(image, found, source));
        }
        if pull == Pull::Missing {
            source = Some(self.pull(&client, image, progress).await?);
            if let Some(found) = self.inspect_image(&client, image).await? {
                return Ok(facts(image, found, source));
            }
        }
        let why = match pull {
            Pull::Never => "it is not on the host, and pull = \"never\"",
            Pull::Missing | Pull::Always => "it was pulled and is not there",
        };
        Err(BackendError::Image { image: image.to_owned(), why: why.to_owned(), is_transient: false })
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

    async fn pull(&self, client: &Client, image: &str, progress: Progress<'_>) -> Result<String, BackendError> {
        let order = Order {
            image: image.to_owned(),
            mirrors: self.settings.mirrors.iter().map(|text| Mirror::parse(text)).collect(),
            credentials: self.settings.credentials.clone(),
            limit: self.settings.pull_timeout,
        };
        self.pulls.pull(&client.docker, order, progress).await
    }
}

/// The digest under which the place that it came from knows it, or the registry of its name, else any registry's, else the
/// local id.
fn facts(image: &str, found: ImageInspect, source: Option<String>) -> ImageFacts {
    let digests = found.repo_digests.unwrap_or_default();
    let of = |name: &str| digests.iter().find(|digest| digest.split('@').next() == Some(repository_of(name)));
    let own = source.as_deref().and_then(of).or_else(|| of(image)).or(digests.first()).cloned();
    ImageFacts { digest: own.or(found.id), source: source.filter(|source| source != image) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
