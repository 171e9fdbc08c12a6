//! A repository that a job names, and who the daemon is to it.

use std::path::PathBuf;

use super::address::{Address, Login};
use super::words::Secrets;
use crate::domain::strip_credentials;

/// A repository of a stranger's.
#[derive(Clone)]
pub(super) struct Remote {
    /// Its URL without a login: the only form that is ever written to a file.
    pub(super) url: String,
    /// Where it is on this host, if it is there.
    pub(super) place: Option<PathBuf>,
    /// Who the daemon is to it; in memory only.
    pub(super) login: Option<Login>,
    /// What must not be shown.
    pub(super) secrets: Secrets,
    /// What it is called in messages.
    pub(super) shown: String,
}

impl Remote {
    /// The remote at `address`, which was read from `text`.
    pub(super) fn new(address: Address, text: &str, proxy: Option<&str>) -> Self {
        Self {
            place: address.place(),
            url: address.url,
            login: address.login,
            secrets: Secrets::of([text].into_iter().chain(proxy)),
            shown: strip_credentials(text),
        }
    }
}
