//! Room on the disks: refuses new jobs while there is little, and gives up old outputs when there is almost none.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tracing::{error, info, warn};

use crate::config::Disk;
use crate::domain::DiskRoom;
use crate::ports::{StoreError, Update};

use super::context::Context;
use super::ending::{bytes, chain};

/// How often the disks are looked at.
const EVERY: Duration = Duration::from_secs(2);
/// How often while outputs are being given up.
const SOON: Duration = Duration::from_secs(1);
/// How long a disk may take to tell; one on the network may hang.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many jobs' outputs are given up between two looks.
const BATCH: u32 = 10;
/// How many jobs whose files are on their way out are counted.
const MOST_LEAVING: u32 = 1000;

/// The task that watches the disks.
pub struct DiskWatch {
    context: Arc<Context>,
    /// Where the daemon and its jobs write, and what lies there.
    places: Vec<(&'static str, PathBuf)>,
}

/// The place with the least room.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Least {
    place: PathBuf,
    free: u64,
}

impl DiskWatch {
    pub(super) const fn new(context: Arc<Context>, places: Vec<(&'static str, PathBuf)>) -> Self {
        Self { context, places }
    }

    /// Runs for ever; dropping it is safe at any time.
    pub async fn run(self) {
        let mut leaving = 0;
        loop {
            let is_cleaning = match self.look().await {
                Some(least) => {
                    self.tell(&least);
                    least.free < self.settings().clean_below && self.clean(&least, &mut leaving).await
                }
                None => false,
            };
            tokio::time::sleep(if is_cleaning { SOON } else { EVERY }).await;
        }
    }

    fn settings(&self) -> Disk {
        self.context.shared.config.get().disk.clone()
    }

    /// The place with the least room; `None` if no place could be looked at.
    async fn look(&self) -> Option<Least> {
        let places = self.places.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let rooms = places.into_iter().filter_map(|(name, path)| Some((room(name, &path)?, path)));
            rooms.collect::<Vec<_>>()
        });
        let Ok(Ok(rooms)) = tokio::time::timeout(PATIENCE, looked).await else {
            warn!("it is not known how much room there is: a disk does not answer");
            self.context.shared.noted.rooms(Vec::new());
            return None;
        };
        self.context.shared.noted.rooms(rooms.iter().map(|(room, _)| *room).collect());
        let least = rooms.into_iter().min_by_key(|(room, _)| room.free);
        least.map(|(room, place)| Least { place, free: room.free })
    }

    /// Tells whether new jobs are accepted. Once they are not, they are again when a tenth more is free.
    fn tell(&self, least: &Least) {
        let Least { place, free } = least;
        self.context.shared.disk.send_if_modified(|before| {
            let needed = self.settings().refuse_below;
            let needed = if before.is_some() { needed.saturating_add(needed / 10) } else { needed };
            let is_low = *free < needed;
            if is_low == before.is_some() {
                return false;
            }
            *before = is_low.then(|| {
                let (place, free, needed) = (place.display(), bytes(*free), bytes(self.settings().refuse_below));
                format!("no new jobs: {free} are free in {place}, and {needed} are wanted")
            });
            if let Some(why) = before {
                warn!("{why}");
            } else {
                info!("new jobs are accepted again: there is room");
            }
            true
        });
    }

    /// Gives up the outputs of the jobs that ended first; returns whether there were some. `leaving` is of how many jobs the
    /// files were on their way out at the last look.
    async fn clean(&self, least: &Least, leaving: &mut usize) -> bool {
        let cleaned = self.give_up(least, leaving).await;
        cleaned.unwrap_or_else(|error| {
            error!("old outputs cannot be given up: {}", chain(&error));
            false
        })
    }

    async fn give_up(&self, least: &Least, leaving: &mut usize) -> Result<bool, StoreError> {
        let shared = &self.context.shared;
        // What is on its way out may be enough. But what cannot be removed holds up no others: then nothing leaves any more.
        let before = std::mem::replace(leaving, shared.store.deleted(0, MOST_LEAVING).await?.len());
        if *leaving > 0 && *leaving != before {
            shared.swept.notify_one();
            return Ok(true);
        }
        let now = shared.clock.now();
        let old = shared.store.ended_before(now.before(self.settings().clean_min_age), BATCH).await?;
        for id in &old {
            match shared.store.update(*id, vec![Update::GiveUpFiles(now)]).await {
                Ok(_) => warn!(
                    job.id = %id, "the files of job {id} are removed: {} are free in {}", bytes(least.free),
                    least.place.display()
                ),
                Err(StoreError::PhaseChanged { .. } | StoreError::NoSuchJob(_)) => {}
                Err(error) => return Err(error),
            }
        }
        shared.swept.notify_one();
        Ok(!old.is_empty())
    }
}

/// How much room is on the disk of `path`.
fn room(place: &'static str, path: &Path) -> Option<DiskRoom> {
    let told = statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(told.fragment_size());
    Some(DiskRoom { place, free: bytes(told.blocks_available()), size: bytes(told.blocks()) })
}
