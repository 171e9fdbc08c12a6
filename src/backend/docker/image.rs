//! Fetching images.

use bollard::errors::Error;
use bollard::models::ImageInspect;
use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt;

use super::backend::Shared;
use super::connect::Client;
use super::error::{failed, is_disk_full, is_unreachable, status_of, words_of};
use crate::ports::{BackendError, ImageFacts, Pull};

const LOOKING: &str = "looking for the image";
const PULLING: &str = "pulling the image";

impl Shared {
    pub(super) async fn fetch_image(&self, image: &str, pull: Pull) -> Result<ImageFacts, BackendError> {
        let client = self.engine.client().await?;
        if pull == Pull::Always {
            self.pull(&client, image).await?;
        }
        if let Some(found) = self.inspect_image(&client, image).await? {
            return Ok(facts(image, found));
        }
        if pull == Pull::Missing {
            self.pull(&client, image).await?;
            if let Some(found) = self.inspect_image(&client, image).await? {
                return Ok(facts(image, found));
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
                Some(400) => Err(not_to_be_had(image, &error)),
                _ => Err(failed(LOOKING, &error)),
            },
        }
    }

    /// Pulls it; the engine does so once for all who ask at the same time.
    async fn pull(&self, client: &Client, image: &str) -> Result<(), BackendError> {
        let options = CreateImageOptions { from_image: Some(with_tag(image)), ..CreateImageOptions::default() };
        let progress = client.docker.create_image(Some(options), None, None);
        let last = async {
            let mut progress = std::pin::pin!(progress);
            while let Some(step) = progress.next().await {
                step?;
            }
            Ok(())
        };
        let limit = self.settings.pull_timeout;
        match tokio::time::timeout(limit, last).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if is_unreachable(&error) => Err(failed(PULLING, &error)),
            Ok(Err(error)) => Err(not_to_be_had(image, &error)),
            Err(_) => Err(BackendError::PullTimedOut { image: image.to_owned(), limit }),
        }
    }
}

fn not_to_be_had(image: &str, error: &Error) -> BackendError {
    let why = words_of(error);
    if is_disk_full(&why) {
        return BackendError::DiskFull { doing: PULLING, why };
    }
    let is_transient = may_pass(status_of(error), &why);
    BackendError::Image { image: image.to_owned(), why, is_transient }
}

/// Whether a failed pull may work another time. The engine has no code for that; it hands on the registry's words.
fn may_pass(status: Option<u16>, why: &str) -> bool {
    const FINAL: [&str; 9] = [
        "manifest unknown",
        "not found",
        "denied",
        "unauthorized",
        "does not exist",
        "no matching manifest",
        "invalid reference",
        "no basic auth",
        "unsupported",
    ];
    let why = why.to_lowercase();
    if why.contains("toomanyrequests") || why.contains("too many requests") {
        return true;
    }
    !(matches!(status, Some(400..=499)) || FINAL.iter().any(|word| why.contains(word)))
}

/// Without a tag all tags would be pulled.
fn with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// The digest under which the registry of `image` knows it, else any registry's, else the local id.
fn facts(image: &str, found: ImageInspect) -> ImageFacts {
    let digests = found.repo_digests.unwrap_or_default();
    let tagged = with_tag(image);
    let repository = tagged.split('@').next().unwrap_or(&tagged);
    let repository = match repository.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => repository,
    };
    let own = digests.iter().find(|digest| digest.split('@').next() == Some(repository));
    ImageFacts { digest: own.or(digests.first()).cloned().or(found.id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_tag_means_latest() {
        assert_eq!(with_tag("debian"), "debian:latest");
        assert_eq!(with_tag("host:5000/debian"), "host:5000/debian:latest");
        assert_eq!(with_tag("host:5000/debian:12"), "host:5000/debian:12");
        assert_eq!(with_tag("debian@sha256:00"), "debian@sha256:00");
    }

    #[test]
    fn the_digest_of_the_own_repository_is_preferred() {
        let found = ImageInspect {
            id: Some("sha256:id".into()),
            repo_digests: Some(vec!["other@sha256:1".into(), "host:5000/debian@sha256:2".into()]),
            ..ImageInspect::default()
        };
        assert_eq!(facts("host:5000/debian", found.clone()).digest.as_deref(), Some("host:5000/debian@sha256:2"));
        assert_eq!(facts("host:5000/debian:12", found.clone()).digest.as_deref(), Some("host:5000/debian@sha256:2"));
        assert_eq!(facts("third", found).digest.as_deref(), Some("other@sha256:1"));
        let local = ImageInspect { id: Some("sha256:id".into()), ..ImageInspect::default() };
        assert_eq!(facts("x", local).digest.as_deref(), Some("sha256:id"));
    }

    #[test]
    fn the_network_may_come_back_and_a_denial_stays() {
        for why in [
            "Get \"https://r/v2/\": dial tcp: lookup r: no such host",
            "dial tcp 127.0.0.1:1: connect: connection refused",
            "net/http: TLS handshake timeout",
            "received unexpected HTTP status: 503 Service Unavailable",
        ] {
            assert!(may_pass(Some(500), why), "{why}");
        }
        assert!(may_pass(None, "toomanyrequests: You have reached your pull rate limit"));
        for why in ["manifest unknown: manifest unknown", "unauthorized: authentication required"] {
            assert!(!may_pass(Some(500), why), "{why}");
        }
        assert!(!may_pass(Some(404), "pull access denied for x, repository does not exist"));
    }
}
