//! Which jobs a list shows.

use super::{OwnerId, Phase, Timestamp};

/// Which jobs are asked for; all conditions hold together (UWS 1.1 §2.2.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// Only jobs of this service; `None`: of all.
    pub service: Option<String>,
    /// Only jobs of this owner; the outer `None`: of all, the inner: anonymous ones.
    pub owner: Option<Option<OwnerId>>,
    /// Only jobs in one of these phases; empty: in any but ARCHIVED.
    pub phases: Vec<Phase>,
    /// Only jobs created later than this.
    pub created_after: Option<Timestamp>,
}

/// Where in a list, newest first, a page begins and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Only jobs with a smaller sequence number: the last one of the page before.
    pub before: Option<i64>,
    /// At most so many. A page may hold fewer, but not none, where the jobs are large: only an empty page is the end.
    pub limit: u32,
}
