//! Which refs a repository has, as `git ls-remote` tells it.

use std::collections::BTreeMap;

/// The refs that a clone takes over: the default branch, branches and tags.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    head: Option<Head>,
    refs: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    commit: String,
    /// The full name of the branch that it is on; old servers do not tell.
    branch: Option<String>,
}

impl Listing {
    /// Reads what `git ls-remote --symref` wrote.
    pub(super) fn parse(text: &str) -> Self {
        let mut listing = Self::default();
        let mut branch = None;
        for (value, name) in text.lines().filter_map(|line| line.split_once('\t')) {
            if name == "HEAD" {
                match value.strip_prefix("ref: ") {
                    Some(target) => branch = Some(target.to_owned()),
                    None => listing.head = Some(Head { commit: value.to_owned(), branch: branch.take() }),
                }
            } else if is_taken_over(name) {
                listing.refs.insert(name.to_owned(), value.to_owned());
            }
        }
        listing
    }

    /// The full name of the default branch.
    pub(super) fn default_branch(&self) -> Option<&str> {
        self.head.as_ref()?.branch.as_deref()
    }

    /// Whether a mirror with the refs `kept` has all that this remote has, and nothing else.
    pub(super) fn is_kept_as(&self, kept: &Self) -> bool {
        let is_same_head = match (&self.head, &kept.head) {
            (Some(head), Some(kept)) => {
                head.commit == kept.commit && (head.branch.is_none() || head.branch == kept.branch)
            }
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        is_same_head && self.refs == kept.refs
    }
}

/// Branches and tags; not what a tag leads to, which follows from it.
fn is_taken_over(name: &str) -> bool {
    (name.starts_with("refs/heads/") || name.starts_with("refs/tags/")) && !name.ends_with("^{}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str =
        "ref: refs/heads/main\tHEAD\n1\tHEAD\n1\trefs/heads/main\n2\trefs/tags/v1\n1\trefs/tags/v1^{}\n";

    #[test]
    fn only_what_a_clone_takes_over_counts() {
        let usual = Listing::parse(USUAL);
        assert_eq!(usual.default_branch(), Some("refs/heads/main"));
        assert!(usual.is_kept_as(&Listing::parse(&format!("{USUAL}3\trefs/pull/1/head\n3\trefs/x/refs/heads/y\n"))));
    }

    #[test]
    fn every_change_is_seen() {
        let usual = Listing::parse(USUAL);
        for (what, there) in [
            ("another default branch", USUAL.replace("ref: refs/heads/main", "ref: refs/heads/x")),
            ("a moved branch", USUAL.replace("1\trefs/heads/main", "4\trefs/heads/main")),
            ("a moved tag", USUAL.replace("2\trefs/tags/v1\n", "4\trefs/tags/v1\n")),
            ("a new branch", format!("{USUAL}1\trefs/heads/new\n")),
            ("a branch that is gone", USUAL.replace("1\trefs/heads/main\n", "")),
            ("no default branch", USUAL.replace("1\tHEAD\n", "")),
            ("nothing", String::new()),
        ] {
            assert!(!Listing::parse(&there).is_kept_as(&usual), "{what}");
        }
    }

    #[test]
    fn a_server_that_does_not_name_the_default_branch_is_taken_at_its_commit() {
        let silent = Listing::parse(&USUAL.replace("ref: refs/heads/main\tHEAD\n", ""));
        assert_eq!(silent.default_branch(), None);
        assert!(silent.is_kept_as(&Listing::parse(USUAL)));
        assert!(Listing::parse("").is_kept_as(&Listing::default()));
    }
}
