//! Names of container images: `REPOSITORY[:TAG][@DIGEST]`.

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
