//! What a job's files may take: kept by the file system where that can be, and measured in any case.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::unistd::{Uid, geteuid};
use tracing::warn;

use crate::config::Service;
use crate::domain::{JobId, Overuse, chain};
use crate::ports::{Backend, BackendError, JobDirs, QuotaError, Quotas, RunSpec, User};

use super::context::Context;
use super::gate::Gate;
use super::measure::measured;
use super::{layers, measure};

/// How often what the file system counts is looked at.
const EVERY: Duration = Duration::from_secs(2);

/// The room of a job's files.
#[derive(Clone, Copy)]
pub(super) struct RoomOf<'a> {
    /// What keeps them to it.
    keeper: Option<&'a dyn Quotas>,
    /// What tells of files beside the job's directories.
    teller: Option<&'a dyn Backend>,
    gate: &'a Gate,
    /// How many bytes they may take.
    most: Option<u64>,
}

impl Context {
    /// Whether all that a run of this user writes can be seen while it runs: not what is on another host, and of what another user keeps
    /// to itself only by root.
    pub(super) fn sees_files(&self, user: User) -> bool {
        self.backend.shares_files() && may_see(geteuid(), user.uid)
    }

    /// The room of the files of a job of this service.
    pub(super) fn room(&self, service: &Service) -> RoomOf<'_> {
        // Of files on another host nothing is seen; those that are beside the directories there are not told from those in them.
        let shares_files = self.backend.shares_files();
        let keeper = self.quotas.as_deref().filter(|_| shares_files);
        let teller = (shares_files && service.max_output.is_some()).then_some(&*self.backend);
        RoomOf { keeper, teller, gate: &self.shared.gate, most: service.max_output }
    }

    /// Removes a job's files, and with them what kept them to their room.
    pub(super) async fn remove_files(
        &self,
        job: JobId,
        dirs: &JobDirs,
        image: Option<&str>,
    ) -> Result<(), BackendError> {
        // First: nothing but the directory tells which limit was its.
        if let Some(quotas) = &self.quotas
            && let Err(error) = quotas.release(dirs).await
        {
            warn!(job.id = %job, "a limit of the file system is left over: {}", chain(&error));
        }
        self.backend.remove_files(job, dirs, image).await
    }
}

impl RoomOf<'_> {
    /// Begins to count what comes to lie in the job's directories, which are empty.
    pub(super) async fn count(self, dirs: &JobDirs) {
        if let (Some(keeper), Some(_)) = (self.keeper, self.most) {
            told(keeper.count(dirs).await);
        }
    }

    /// Has the limit kept from now on.
    pub(super) async fn limit(self, dirs: &JobDirs) {
        if let (Some(keeper), Some(most)) = (self.keeper, self.most) {
            told(keeper.limit(dirs, most).await);
        }
    }

    /// Whether at the end they take more than they may, or the file system lets them take no more, by the limit that was set: it
    /// stays when the service is configured otherwise.
    pub(super) async fn used_up(self, specs: &[RunSpec]) -> Option<Overuse> {
        let dirs = &specs.first()?.dirs;
        let beside = match self.teller {
            Some(teller) => layers::last(teller, specs).await,
            None => 0,
        };
        if let Some(full) = told(self.look(dirs, beside).await).flatten() {
            return Some(full);
        }
        let most = self.most?;
        let found = measured(self.gate, dirs).await.saturating_add(beside);
        (found > most).then_some(Overuse { most, found })
    }

    /// What the file system counts, with what is `beside` the directories, if that is too much.
    async fn look(self, dirs: &JobDirs, beside: u64) -> Result<Option<Overuse>, QuotaError> {
        let Some(keeper) = self.keeper else { return Ok(None) };
        let Some(room) = keeper.room(dirs).await? else { return Ok(None) };
        let full = Overuse { most: room.most, found: room.used.saturating_add(beside) };
        Ok((room.is_used_up() || full.found > full.most).then_some(full))
    }

    /// Resolves once they take more than they may, or all of it; never if they may take any amount.
    ///
    /// They are measured also where the file system counts them: it lets the owner of a file have it counted as another's.
    pub(super) async fn exceeded(self, specs: &[RunSpec]) -> Overuse {
        let Some(spec) = specs.first() else { return std::future::pending().await };
        // What was found last: in the job's directories, and beside them.
        let (inside, beside) = (AtomicU64::new(0), AtomicU64::new(0));
        let judge = |part: &AtomicU64, bytes| {
            part.store(bytes, Ordering::Relaxed);
            let found = inside.load(Ordering::Relaxed).saturating_add(beside.load(Ordering::Relaxed));
            self.most.filter(|most| found > *most).map(|most| Overuse { most, found })
        };
        let by_measure = async {
            match self.most {
                Some(_) => measure::follow(self.gate, &spec.dirs, |bytes| judge(&inside, bytes)).await,
                None => std::future::pending().await,
            }
        };
        let by_teller = async {
            match self.teller {
                Some(teller) => layers::follow(teller, specs, |bytes| judge(&beside, bytes)).await,
                None => std::future::pending().await,
            }
        };
        // None keeps a state that would be lost, and none waits for another.
        tokio::select! {
            full = self.until_used_up(&spec.dirs, &beside) => full,
            full = by_measure => full,
            full = by_teller => full,
        }
    }

    async fn until_used_up(self, dirs: &JobDirs, beside: &AtomicU64) -> Overuse {
        while self.keeper.is_some() {
            tokio::time::sleep(EVERY).await;
            match told(self.look(dirs, beside.load(Ordering::Relaxed)).await) {
                Some(Some(full)) => return full,
                Some(None) => {}
                None => break,
            }
        }
        std::future::pending().await
    }
}

fn may_see(own: Uid, owner: u32) -> bool {
    own.is_root() || own.as_raw() == owner
}

/// What became of a call; where it failed, files are measured all the same.
fn told<T>(result: Result<T, QuotaError>) -> Option<T> {
    result.inspect_err(|error| warn!("files are only measured: {}", chain(error))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_another_user_may_be_hidden_from_all_but_root() {
        let own = Uid::from_raw(998);
        assert!(may_see(own, 998) && !may_see(own, 1000));
        assert!(may_see(Uid::from_raw(0), 1000));
    }
}
