//! All looks, side by side.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::access::{Bits, Person, existing};
use super::finding::Finding;
use super::patience::{PATIENCE, within};
use super::{bubblewrap, clock, daemon, database, disks, engine, permissions, room, secrets, settings, sources, users};
use crate::config::{BackendKind, Config, Effective, Loaded, Origin};

/// What is to be looked at.
#[derive(Debug)]
pub struct Question {
    /// The configuration.
    pub loaded: Loaded,
    /// A repository that is to be asked, as for a job.
    pub url: Option<String>,
}

/// What the looks have in common.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) config: Config,
    /// The files that the configuration was read from.
    pub(super) files: Vec<PathBuf>,
    /// Who the daemon is: the owner of its state, else the one who looks.
    pub(super) daemon: Person,
}

/// Looks at the host; each look takes a few seconds at the most, whatever hangs. Nothing is changed.
pub async fn examine(question: Question) -> Vec<Finding> {
    let Question { loaded: Loaded { config, effective, warnings }, url } = question;
    let me = nix::unistd::geteuid().as_raw();
    let state_dir = config.server.state_dir.clone();
    let owner = within(PATIENCE, move || owner_of(&state_dir)).await.ok().flatten();
    let case = Arc::new(Case { files: files_of(&effective), daemon: Person::of(owner.unwrap_or(me)), config });
    let running = daemon::ask(case.config.server.admin_socket.as_deref()).await;

    let mut findings = settings::judge(&case.config, &effective, &warnings, &case.files);
    let backend = async {
        match case.config.backend.kind {
            BackendKind::Docker => engine::look(&case).await,
            BackendKind::Process => bubblewrap::look(&case, running.pid).await,
        }
    };
    let looks = tokio::join!(
        backend,
        sources::look(&case, url.as_deref()),
        disks::look(&case),
        database::look(&case),
        users::look(&case),
        permissions::look(&case),
        secrets::look(&case),
        clock::look(&case),
        room::look(&case),
    );
    findings.extend(looks.0);
    for found in [looks.1, looks.2, looks.3, looks.4, looks.5, looks.6, looks.7, looks.8] {
        findings.extend(found);
    }
    findings.extend(daemon::judge(&running, &case.config));
    findings.sort_by_key(|finding| finding.subject);
    findings
}

fn owner_of(state_dir: &Path) -> Option<u32> {
    let there = existing(state_dir) == state_dir;
    Bits::of(state_dir).ok().filter(|_| there).map(|bits| bits.uid)
}

fn files_of(effective: &[Effective]) -> Vec<PathBuf> {
    let files: BTreeSet<&PathBuf> = effective
        .iter()
        .filter_map(|entry| match &entry.origin {
            Origin::File(path) => Some(path),
            Origin::Default | Origin::Derived(_) | Origin::Variable(_) | Origin::Flag(_) => None,
        })
        .collect();
    files.into_iter().cloned().collect()
}
