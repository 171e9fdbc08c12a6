//! Room on the disks: refuses new jobs while there is little, and gives up old outputs when there is almost none.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tracing::{error, info, warn};

use crate::config::Disk;
use crate::domain::chain;
use crate::ports::{StoreError, Update};

use super::context::Context;
use super::ending::bytes;
use super::place::{Place, Seen};

/// How often the disks are looked at.
const EVERY: Duration = Duration::from_secs(2);
/// How often while outputs are being given up.
const SOON: Duration = Duration::from_secs(1);
/// How many jobs' outputs are given up between two looks.
const BATCH: u32 = 10;
/// How many jobs whose files are on their way out are counted.
const MOST_LEAVING: u32 = 1000;

/// The task that watches the disks.
pub struct DiskWatch {
    context: Arc<Context>,
    /// Where the daemon and its jobs write.
    places: Vec<Place>,
}

/// Where the jobs' files are.
pub(super) const JOBS: &str = "jobs";

/// The place with the least room.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Least {
    place: PathBuf,
    free: u64,
    /// Whether it is the least of all places: none of them was silent.
    is_of_all: bool,
    /// The room where the jobs' files are. Only there outputs make room: the others may be on another disk.
    of_jobs: Option<u64>,
}

impl DiskWatch {
    /// Watches the disks of these places; of each what lies there and where it is.
    pub(super) fn new(context: Arc<Context>, places: Vec<(&'static str, PathBuf)>) -> Self {
        Self { context, places: places.into_iter().map(|(name, path)| Place::new(name, path)).collect() }
    }

    /// Runs for ever; dropping it is safe at any time.
    pub async fn run(mut self) {
        let mut leaving = 0;
        loop {
            let is_cleaning = match self.look().await {
                Some(least) => {
                    self.tell(&least);
                    match least.of_jobs.filter(|free| *free < self.settings().clean_below) {
                        Some(free) => self.clean(free, &mut leaving).await,
                        None => false,
                    }
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
    async fn look(&mut self) -> Option<Least> {
        let seen = join_all(self.places.iter_mut().map(Place::see)).await;
        let is_of_all = !seen.contains(&Seen::Silence);
        let seen = seen.into_iter().zip(&self.places).filter_map(|(seen, place)| match seen {
            Seen::Room(room) => Some((room, place)),
            Seen::Nothing | Seen::Silence => None,
        });
        let rooms: Vec<_> = seen.collect();
        self.context.shared.noted.rooms(rooms.iter().map(|(room, _)| *room).collect());
        let of_jobs = rooms.iter().find_map(|(room, _)| (room.place == JOBS).then_some(room.free));
        let least = rooms.into_iter().min_by_key(|(room, _)| room.free);
        least.map(|(room, place)| Least { place: place.path.clone(), free: room.free, is_of_all, of_jobs })
    }

    /// Tells whether new jobs are accepted. Once they are not, they are again when a tenth more is free.
    fn tell(&self, least: &Least) {
        let Least { place, free, is_of_all, .. } = least;
        self.context.shared.disk.send_if_modified(|before| {
            let needed = self.settings().refuse_below;
            let needed = if before.is_some() { needed.saturating_add(needed / 10) } else { needed };
            let is_low = *free < needed;
            // A silent place may be the one that lacks it.
            if is_low == before.is_some() || !(is_low || *is_of_all) {
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
    async fn clean(&self, free: u64, leaving: &mut usize) -> bool {
        let cleaned = self.give_up(free, leaving).await;
        cleaned.unwrap_or_else(|error| {
            error!("old outputs cannot be given up: {}", chain(&error));
            false
        })
    }

    async fn give_up(&self, free: u64, leaving: &mut usize) -> Result<bool, StoreError> {
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
                    job.id = %id, "the files of job {id} are removed: {} are free in {}", bytes(free),
                    self.context.jobs_dir.display()
                ),
                Err(StoreError::PhaseChanged { .. } | StoreError::NoSuchJob(_)) => {}
                Err(error) => return Err(error),
            }
        }
        shared.swept.notify_one();
        Ok(!old.is_empty())
    }
}
