//! Names of container images: `REPOSITORY[:TAG][@DIGEST]`.

/// Where engines look for an image whose name has no registry.
pub const HUB: &str = "docker.io";

/// The longest tag that registries know.
const LONGEST_TAG: usize = 128;

/// The name without tag and digest.
#[must_use]
pub fn repository_of(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    }
}

/// The tag; `latest` where there is none, and nothing of a name by digest.
#[must_use]
pub fn tag_of(image: &str) -> &str {
    if image.contains('@') {
        return "";
    }
    image.strip_prefix(repository_of(image)).and_then(|rest| rest.strip_prefix(':')).unwrap_or("latest")
}

/// The same image with another tag; `None` if that is no tag.
#[must_use]
pub fn tagged(image: &str, tag: &str) -> Option<String> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let is_tag = tag.len() <= LONGEST_TAG
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || matches!(b, b'.' | b'-'));
    is_tag.then(|| format!("{}:{tag}", repository_of(image)))
}

/// The registry of an image, and its path there with tag or digest.
#[must_use]
pub fn in_registry(image: &str) -> (&str, String) {
    match image.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path.to_owned()),
        Some(_) => (HUB, image.to_owned()),
        None => (HUB, format!("library/{image}")),
    }
}

/// The name with the tag that it means where it has none: without one, all tags would be pulled.
#[must_use]
pub fn with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// The name with everything that engines add to it: two names of the same image have the same full name.
#[must_use]
pub fn full_name(image: &str) -> String {
    let (registry, path) = in_registry(image);
    let (registry, path) = match registry {
        HUB | "index.docker.io" if !path.contains('/') => (HUB, format!("library/{path}")),
        "index.docker.io" => (HUB, path),
        other => (other, path),
    };
    format!("{registry}/{}", with_tag(&path))
}

/// A pattern of image names in which `*` stands for any text, also none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePattern(String);

impl ImagePattern {
    /// A pattern for whole names with their tags.
    #[must_use]
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Whether `image`, with its tag or digest, is one of those.
    #[must_use]
    pub fn is_match(&self, image: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| image.strip_prefix(first)) else { return false };
        let mut parts: Vec<&str> = parts.collect();
        let Some(last) = parts.pop() else { return rest.is_empty() };
        for part in parts {
            // The first place that does leaves most room for the others.
            let Some((_, later)) = rest.split_once(part) else { return false };
            rest = later;
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, image, is_match) in [
            ("ghcr.io/lsst/*:w_*", "ghcr.io/lsst/scipipe:w_2026_40", true),
            ("ghcr.io/lsst/*:w_*", "ghcr.io/lsst/scipipe:d_latest", false),
            ("ghcr.io/lsst/*:w_*", "evil.io/ghcr.io/lsst/scipipe:w_1", false),
            ("debian:12", "debian:12", true),
            ("debian:12", "debian:12x", false),
            ("*", "anything", true),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("a*b*c", "aXbbYc", true),
            ("a*b*c", "aXYc", false),
        ] {
            assert_eq!(ImagePattern::new(pattern).is_match(image), is_match, "{pattern} {image}");
        }
    }

    #[test]
    fn a_name_without_tag_means_latest() {
        assert_eq!(with_tag("debian"), "debian:latest");
        assert_eq!(with_tag("host:5000/debian"), "host:5000/debian:latest");
        assert_eq!(with_tag("host:5000/debian:12"), "host:5000/debian:12");
        assert_eq!(with_tag("debian@sha256:00"), "debian@sha256:00");
    }

    #[test]
    fn names_of_one_image_have_one_full_name() {
        for (image, full) in [
            ("debian", "docker.io/library/debian:latest"),
            ("debian:latest", "docker.io/library/debian:latest"),
            ("docker.io/debian", "docker.io/library/debian:latest"),
            ("index.docker.io/library/debian:latest", "docker.io/library/debian:latest"),
            ("lsst/x:w_1", "docker.io/lsst/x:w_1"),
            ("registry.example.org/lsst/x", "registry.example.org/lsst/x:latest"),
            ("localhost/x:1", "localhost/x:1"),
            ("host:5000/x@sha256:00", "host:5000/x@sha256:00"),
        ] {
            assert_eq!(full_name(image), full, "{image}");
            assert_eq!(full_name(full), full, "{image}");
        }
    }

    #[test]
    fn tags_are_told_from_ports_and_digests() {
        for (image, repository, tag) in [
            ("debian", "debian", "latest"),
            ("debian:stable-slim", "debian", "stable-slim"),
            ("registry:5000/lsst/lab", "registry:5000/lsst/lab", "latest"),
            ("registry:5000/lsst/lab:d_latest", "registry:5000/lsst/lab", "d_latest"),
            ("debian@sha256:abc", "debian", ""),
        ] {
            assert_eq!((repository_of(image), tag_of(image)), (repository, tag), "{image}");
            assert_eq!(tagged(image, "t"), Some(format!("{repository}:t")), "{image}");
        }
        for bad in ["", "a/b", "a:b", "@x", "-x", ".x", "a b", &"x".repeat(129)] {
            assert_eq!(tagged("debian", bad), None, "{bad}");
        }
    }
}
