//! Who owns a job's directories, when.
//!
//! Where the job's user is the daemon's there is nothing to do; as root the daemon does it by itself; else a helper
//! container does.

use nix::unistd::geteuid;

use super::backend::Shared;
use super::error::{io_failed, refused};
use super::spec::HELPER_ROOT;
use super::walk;
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
    pub(super) async fn hand_over(&self, spec: &RunSpec) -> Result<(), BackendError> {
        if !self.settings.shared_state {
            return Ok(()); // the copies are given their owner when they are made
        }
        let user = spec.user;
        match way_to(user.uid) {
            Way::Own => Ok(()),
            Way::Root => {
                let root = spec.dirs.root.clone();
                blocking(HANDING_OVER, move || walk::give(&root, &OWN, user.uid, user.gid)).await
            }
            Way::Help => {
                let owner = format!("{}:{}", user.uid, user.gid);
                let argv = argv(&["chown", "-hR", &owner], &OWN);
                self.help(HANDING_OVER, spec.run.job, &spec.image, &spec.dirs.root, &argv).await
            }
        }
    }

    pub(super) async fn take_back(&self, spec: &RunSpec) -> Result<(), BackendError> {
        if !self.settings.shared_state {
            return self.fetch_output(spec).await;
        }
        match way_to(spec.user.uid) {
            Way::Own => {
                let output = spec.dirs.output();
                blocking(TAKING_BACK, move || walk::open_up(&output)).await
            }
            Way::Root => Ok(()),
            // For all: which of the classes the daemon falls into depends on its groups.
            Way::Help => {
                let argv = argv(&["chmod", "-R", "a+rX"], &["out"]);
                self.help(TAKING_BACK, spec.run.job, &spec.image, &spec.dirs.root, &argv).await
            }
        }
    }

    pub(super) async fn remove_files(
        &self,
        job: JobId,
        dirs: &JobDirs,
        image: Option<&str>,
    ) -> Result<(), BackendError> {
        let root = dirs.root.clone();
        let removed = tokio::task::spawn_blocking(move || walk::remove(&root)).await;
        match removed.map_err(|error| io_failed(REMOVING, error.into()))? {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied && self.settings.shared_state => {}
            Err(error) => return Err(io_failed(REMOVING, error)),
        }
        // Something in it belongs to the job's user.
        let image = image.ok_or_else(|| refused(REMOVING, "some belong to another user and no image is known"))?;
        let owner = format!("{}:{}", geteuid(), nix::unistd::getegid());
        let argv = argv(&["chown", "-hR", &owner], &[""]);
        self.help(REMOVING, job, image, &dirs.root, &argv).await?;
        let root = dirs.root.clone();
        blocking(REMOVING, move || walk::remove(&root)).await
    }
}

/// A command of the helper on directories below the job's.
fn argv(command: &[&str], names: &[&str]) -> Vec<String> {
    let paths = names.iter().map(|name| format!("{HELPER_ROOT}/{name}"));
    command.iter().map(|word| (*word).to_owned()).chain(paths).collect()
}

/// Does something with files on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    doing: &'static str,
    deed: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, BackendError> {
    let done = tokio::task::spawn_blocking(deed).await.unwrap_or_else(|error| Err(error.into()));
    done.map_err(|error| io_failed(doing, error))
}
