//! Which jobs a list shows.

use super::{JobId, OwnerId, Phase, RunId, Timestamp};

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

/// The place of a job in a list: lists are ordered by creation time, then by order of acceptance, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When it was accepted.
    pub created_at: Timestamp,
    /// The order of acceptance.
    pub seq: i64,
}

/// A job in a list, in the short form of UWS 1.1 §2.2.2.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRef {
    /// Its place.
    pub place: Place,
    /// The identifier.
    pub id: JobId,
    /// The phase.
    pub phase: Phase,
    /// The client's own name for it.
    pub run_id: Option<RunId>,
    /// The owner; `None` if the creator was anonymous.
    pub owner: Option<OwnerId>,
}

/// Where in a list a page begins and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Only jobs behind this place: that of the last job of the page before.
    pub after: Option<Place>,
    /// At most so many. A page may hold fewer, but not none, where the jobs are large: only an empty page is the end.
    pub limit: u32,
}
