//! Refs: which texts may name a branch, tag or commit.

/// The longest ref accepted.
const MAX_LENGTH: usize = 255;
/// How many digits an abbreviated hash has at least.
const MIN_ABBREVIATION: usize = 7;

/// What a ref asks for, by its form alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    /// The remote's default branch.
    Default,
    /// A full commit hash.
    Commit(String),
    /// A branch only: written as `refs/heads/NAME`.
    Branch(String),
    /// A tag only: written as `refs/tags/NAME`.
    Tag(String),
    /// A branch, tag or abbreviated hash.
    Name(String),
}

impl Reference {
    /// Reads `text`; empty, or `HEAD`, is the default branch.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const WOULD_DO: &str = "give the name of a branch or tag, or a commit hash";
        if text.is_empty() || text == "HEAD" {
            return Ok(Self::Default);
        }
        if text.len() > MAX_LENGTH {
            return Err(format!("the commit ref is longer than {MAX_LENGTH} bytes; {WOULD_DO}"));
        }
        if text.starts_with('-') {
            return Err(format!("the commit ref begins with '-'; {WOULD_DO}"));
        }
        if text.chars().any(char::is_control) {
            return Err(format!("the commit ref holds a control character; {WOULD_DO}"));
        }
        if let Some(bad) =
            text.chars().find(|c| c.is_whitespace() || matches!(c, '^' | '~' | ':' | '?' | '*' | '[' | '\\'))
        {
            return Err(format!("the commit ref holds {bad:?}, which no branch or tag can have; {WOULD_DO}"));
        }
        if let Some(bad) = ["..", "@{", "//"].into_iter().find(|bad| text.contains(bad)) {
            return Err(format!("the commit ref holds {bad:?}, which no branch or tag can have; {WOULD_DO}"));
        }
        if text == "@" || text.starts_with('/') || text.ends_with(['/', '.']) {
            return Err(format!("the commit ref {text:?} is no name that a branch or tag can have; {WOULD_DO}"));
        }
        Ok(if matches!(text.len(), 40 | 64) && is_hex(text) {
            Self::Commit(text.to_ascii_lowercase())
        } else if let Some(name) = text.strip_prefix("refs/heads/") {
            Self::Branch(name.to_owned())
        } else if let Some(name) = text.strip_prefix("refs/tags/") {
            Self::Tag(name.to_owned())
        } else {
            Self::Name(text.to_owned())
        })
    }
}

/// Whether `name` can be an abbreviated commit hash.
pub(super) fn is_abbreviated_hash(name: &str) -> bool {
    (MIN_ABBREVIATION..=64).contains(&name.len()) && is_hex(name)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_are_told_apart_by_form() {
        let hash = "0123456789abcdef0123456789ABCDEF01234567";
        for (text, expected) in [
            ("", Reference::Default),
            ("HEAD", Reference::Default),
            ("main", Reference::Name("main".into())),
            ("u/ada/DM-1@2", Reference::Name("u/ada/DM-1@2".into())),
            ("refs/heads/x", Reference::Branch("x".into())),
            ("refs/tags/v1", Reference::Tag("v1".into())),
            ("abcdef1", Reference::Name("abcdef1".into())),
            (hash, Reference::Commit(hash.to_lowercase())),
        ] {
            assert_eq!(Reference::parse(text), Ok(expected), "{text}");
        }
        assert!(is_abbreviated_hash("abcdef1") && !is_abbreviated_hash("abcdef") && !is_abbreviated_hash("release"));
    }

    #[test]
    fn refs_that_could_mean_something_else_to_git_are_refused() {
        for text in [
            "--upload-pack=touch /tmp/x",
            "-x",
            "a b",
            "a..b",
            "a:b",
            "a^",
            "a~1",
            "a?",
            "a*",
            "a[1]",
            "a\\b",
            "main@{1}",
            "a\nb",
            "a\0",
            "/a",
            "a/",
            "a//b",
            "@",
            &"x".repeat(256),
        ] {
            let why = Reference::parse(text).expect_err(text);
            assert!(why.contains("give the name of a branch or tag"), "{why}");
        }
    }
}
