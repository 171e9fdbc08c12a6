//! Who owns a job's directories, when.
//!
//! Where the job's user is the daemon's there is nothing to do; as root the daemon does it by itself; else a helper
//! container does.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use nix::unistd::geteuid;

use super::backend::Shared;
use super::helper::Chore;
use super::spec::HELPER_ROOT;
use crate::backend::files;
use crate::backend::system::blocking;
use crate::domain::JobId;
use crate::ports::{BackendError, JobDirs, RunSpec};

const HANDING_OVER: &str = "handing the directories over";
const TAKING_BACK: &str = "taking the output back";
const REMOVING: &str = "removing the job's files";

/// The directories that are the job's.
const OWN: [&str; 4] = ["in", "src", "out", "home"];

/// How the daemon comes by files of `uid`.
enum Way {
    /// They are its own.
    Own,
    /// It may do anything.
    Root,
    /// It needs help.
    Help,
}

fn way_to(uid: u32) -> Way {
    let own = geteuid();
    if own.as_raw() == uid {
        Way::Own
    } else if own.is_root() {
        Way::Root
    } else {
        Way::Help
    }
}

impl Shared {
    pub(super) async fn hand_over(self: &Arc<Self>, spec: &RunSpec) -> Result<(), BackendError> {
        if !self.settings.shared_state {
            return Ok(()); // the copies are given their owner when they are made
        }
        self.settle(HANDING_OVER, spec.run.job).await?;
        let user = spec.user;
        match way_to(user.uid) {
            Way::Own => Ok(()),
            Way::Root => {
                let dirs = spec.dirs.clone();
                blocking(HANDING_OVER, move || files::give(&dirs, user)).await
            }
            Way::Help => {
                let owner = format!("{}:{}", user.uid, user.gid);
                let argv = argv(&["chown", "-hR", &owner], &OWN);
                let chore = Chore { doing: HANDING_OVER, job: spec.run.job, root: &spec.dirs.root, argv: &argv };
                self.help(chore, Some(&spec.image)).await
            }
        }
    }

    pub(super) async fn take_back(self: &Arc<Self>, spec: &RunSpec) -> Result<(), BackendError> {
        if !self.settings.shared_state {
            return self.fetch_output(spec).await;
        }
        self.settle(TAKING_BACK, spec.run.job).await?;
        let output = spec.dirs.output();
        // The service's user may be another by now than the one that the job was launched as, and whose its files are.
        let owner = blocking(TAKING_BACK, {
            let output = output.clone();
            move || std::fs::metadata(output).map(|facts| facts.uid())
        });
        match way_to(owner.await?) {
            Way::Own => blocking(TAKING_BACK, move || files::open_up(&output)).await,
            Way::Root => Ok(()),
            // For all: which of the classes the daemon falls into depends on its groups.
            Way::Help => {
                let argv = argv(&["chmod", "-R", "a+rX"], &["out"]);
                let chore = Chore { doing: TAKING_BACK, job: spec.run.job, root: &spec.dirs.root, argv: &argv };
                self.help(chore, Some(&spec.image)).await
            }
        }
    }

    pub(super) async fn remove_files(
        self: &Arc<Self>,
        job: JobId,
        dirs: &JobDirs,
        image: Option<&str>,
    ) -> Result<(), BackendError> {
        self.settle(REMOVING, job).await?;
        let root = dirs.root.clone();
        match blocking(REMOVING, move || files::remove(&root)).await {
            Err(BackendError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::PermissionDenied && self.settings.shared_state => {}
            removed => return removed,
        }
        // Something in it belongs to the job's user.
        let owner = format!("{}:{}", geteuid(), nix::unistd::getegid());
        let argv = argv(&["chown", "-hR", &owner], &[""]);
        self.help(Chore { doing: REMOVING, job, root: &dirs.root, argv: &argv }, image).await?;
        let root = dirs.root.clone();
        blocking(REMOVING, move || files::remove(&root)).await
    }
}

/// A command of the helper on directories below the job's.
fn argv(command: &[&str], names: &[&str]) -> Vec<String> {
    let paths = names.iter().map(|name| format!("{HELPER_ROOT}/{name}"));
    command.iter().map(|word| (*word).to_owned()).chain(paths).collect()
}
