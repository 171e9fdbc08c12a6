//! Names of images, and where they are pulled from; pure.

use crate::domain::{HUB, in_registry, with_tag};

/// A registry that stands in for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirror {
    /// The registry whose images it has.
    of: String,
    /// Its own host, perhaps with a path.
    at: String,
}

impl Mirror {
    /// A mirror as configured: `REGISTRY=HOST[:PORT][/PATH]`, or without `REGISTRY=` one of Docker Hub.
    pub(super) fn parse(text: &str) -> Self {
        let (of, at) = text.split_once('=').unwrap_or((HUB, text));
        Self { of: of.to_owned(), at: at.trim_end_matches('/').to_owned() }
    }

    /// The name under which it has `image`. What is named by its digest cannot be given another name, and is not asked
    /// of mirrors.
    pub(super) fn name_of(&self, image: &str) -> Option<String> {
        let (registry, path) = in_registry(image);
        (registry == self.of && !path.contains('@')).then(|| with_tag(&format!("{}/{path}", self.at)))
    }
}

/// The name of an image's registry in the engine's file of credentials.
pub(super) fn server_of(image: &str) -> String {
    match in_registry(image).0 {
        HUB | "index.docker.io" => "https://index.docker.io/v1/".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_has_the_images_of_its_registry() {
        let hub = Mirror::parse("mirror.example.org:5000/hub/");
        assert_eq!(hub.name_of("debian").as_deref(), Some("mirror.example.org:5000/hub/library/debian:latest"));
        assert_eq!(hub.name_of("lsst/x:w_1").as_deref(), Some("mirror.example.org:5000/hub/lsst/x:w_1"));
        assert_eq!(hub.name_of("docker.io/lsst/x:1").as_deref(), Some("mirror.example.org:5000/hub/lsst/x:1"));
        assert_eq!(hub.name_of("ghcr.io/lsst/x:1"), None);
        assert_eq!(hub.name_of("lsst/x@sha256:00"), None);
        let other = Mirror::parse("ghcr.io=cache:5000");
        assert_eq!(other.name_of("ghcr.io/lsst/x:1").as_deref(), Some("cache:5000/lsst/x:1"));
        assert_eq!(other.name_of("lsst/x:1"), None);
    }

    #[test]
    fn credentials_are_found_by_the_registry() {
        assert_eq!(server_of("debian:12"), "https://index.docker.io/v1/");
        assert_eq!(server_of("lsst/x"), "https://index.docker.io/v1/");
        assert_eq!(server_of("localhost/x"), "localhost");
        assert_eq!(server_of("ghcr.io/lsst/x:1"), "ghcr.io");
        assert_eq!(server_of("127.0.0.1:5000/x"), "127.0.0.1:5000");
    }
}
