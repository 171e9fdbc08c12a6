//! The runs that an earlier daemon left.

use std::fs::DirEntry;
use std::io::{self, ErrorKind};
use std::path::Path;

use tracing::warn;

use super::rundir::{RunDir, Standing};
use crate::ports::{FoundRun, RunState};

/// Removes what was being made or removed below `runs` when an earlier daemon was killed: a supervisor asks before it begins
/// anything. To be called before there is a run of this daemon's, for its own are made in the same way.
pub(super) fn sweep(runs: &Path) {
    for entry in std::fs::read_dir(runs).into_iter().flatten().flatten().filter(is_halfway) {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            warn!("{} could not be removed: {error}", entry.path().display());
        }
    }
}

fn is_halfway(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// Every run below `runs`, and where it stands.
pub(super) fn find_runs(runs: &Path) -> io::Result<Vec<FoundRun>> {
    let listing = match std::fs::read_dir(runs) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing?,
    };
    let mut found = Vec::new();
    for entry in listing {
        let entry = entry?;
        if is_halfway(&entry) {
            continue;
        }
        let dir = RunDir::at(&entry.path());
        let Some(run) = dir.load_plan().ok().and_then(|plan| plan.run()) else {
            warn!("{} is no run's directory", entry.path().display());
            continue;
        };
        let state = match dir.standing() {
            Ok(Standing::Absent) => continue, // removed meanwhile
            Ok(Standing::Created) => RunState::Created,
            Ok(Standing::Supervised) => RunState::Running,
            Ok(Standing::Stopped | Standing::Ended(_) | Standing::Lost(_)) => RunState::Ended,
            // It keeps no other from being found. It is never started again, and whoever waits for it is told why not.
            Err(error) => {
                warn!("it is not known where the run in {} stands: {error}", entry.path().display());
                RunState::Ended
            }
        };
        found.push(FoundRun { run, state });
    }
    Ok(found)
}
