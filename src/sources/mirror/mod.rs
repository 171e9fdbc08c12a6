//! Mirrors: one bare repository a URL, so that a job fetches only what is new.
//!
//! Jobs clone from a mirror: git copies and verifies object by object, and no file is shared. The remote is asked before
//! every clone, unless a job names a commit that is there. Asking is shared: jobs that come before a question was sent wait
//! for one answer (`flight`). Who changes a mirror holds a lock of it (`store`), so that what a job clones is what the
//! remote told that job; a change that is cut short, by a kill or a hostile remote, is found and mended before the next
//! use, and a mirror that git cannot use is made anew (`repository`).
//!
//! The name is a digest of the URL without its login. What was fetched with a login is kept apart from what anybody gets,
//! and is given to nobody whom the remote does not let in at that moment: such a mirror is never read unasked, and only what is
//! below the refs that the remote just listed leaves it. Logins themselves are never written to a file.

mod flight;
mod listing;
mod prune;
mod repository;
mod store;

pub(super) use store::Mirrors;
