//! Room on the disks: refuses new jobs while there is little, and gives up old outputs when there is almost none.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
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
/// How many jobs' outputs are given up between two looks at the most, and how many in vain.
const BATCH: u32 = 10;
/// How many jobs whose files are on their way out are looked at at a time.
const PAGE: u32 = 1000;

/// The task that watches the disks.
pub struct DiskWatch {
    context: Arc<Context>,
    /// Where the daemon and its jobs write.
    places: Vec<Place>,
    /// How many jobs' outputs are given up at the next look.
    batch: u32,
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
        let places = places.into_iter().map(|(name, path)| Place::new(name, path)).collect();
        Self { context, places, batch: 1 }
    }

    /// Runs for ever; dropping it is safe at any time.
    pub async fn run(mut self) {
        loop {
            let least = self.look().await;
            if let Some(least) = &least {
                self.tell(least);
            }
            let is_cleaning = match least.and_then(|least| least.of_jobs) {
                Some(free) if free < self.settings().clean_below => self.clean(free).await,
                Some(free) => {
                    self.batch = 1;
                    self.tell_whether_room_is_made(true, free);
                    false
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
        let needed = self.settings().refuse_below;
        let again = needed.saturating_add(needed / 10);
        self.context.shared.disk.send_if_modified(|before| {
            let was_low = before.is_some();
            let is_low = *free < if was_low { again } else { needed };
            // A silent place may be the one that lacks it.
            if !is_low && !is_of_all {
                return false;
            }
            *before = is_low.then(|| {
                let (place, free, again) = (place.display(), bytes(*free), bytes(again));
                format!("no new jobs: {free} are free in {place}, and {again} are wanted")
            });
            match before {
                Some(why) if !was_low => warn!("{why}"),
                None if was_low => info!("new jobs are accepted again: there is room"),
                Some(_) | None => {}
            }
            is_low != was_low
        });
    }

    /// Gives up the outputs of the jobs that ended first; returns whether there were some.
    async fn clean(&mut self, free: u64) -> bool {
        let cleaned = self.give_up(free).await;
        cleaned.unwrap_or_else(|error| {
            error!("old outputs cannot be given up: {}", chain(&error));
            false
        })
    }

    async fn give_up(&mut self, free: u64) -> Result<bool, StoreError> {
        let shared = &self.context.shared;
        let Some(in_vain) = self.given_up_in_vain().await? else {
            // What is on its way out may be enough.
            shared.swept.notify_one();
            return Ok(true);
        };
        // A few that cannot be removed hold up no others. But where none can be, the next would be lost and make no room.
        let more = BATCH.saturating_sub(in_vain);
        self.tell_whether_room_is_made(more > 0, free);
        if more == 0 {
            return Ok(false);
        }
        let now = shared.clock.now();
        let more = more.min(self.batch);
        let old = shared.store.ended_before(now.before(self.settings().clean_min_age), more).await?;
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
        if !old.is_empty() {
            // It may have been enough; if not, so little makes too little room.
            self.batch = (self.batch * 2).min(BATCH);
        }
        Ok(!old.is_empty())
    }

    /// Of how many jobs whose outputs were given up the files could not be removed; `None` while the removal of some job's
    /// files has not been tried yet.
    async fn given_up_in_vain(&self) -> Result<Option<u32>, StoreError> {
        let shared = &self.context.shared;
        let (mut in_vain, mut after) = (0, 0);
        loop {
            let leaving = shared.store.deleted(after, PAGE).await?;
            let Some(last) = leaving.last() else { return Ok(Some(in_vain)) };
            after = last.seq;
            for job in leaving {
                if !shared.noted.is_left_over(job.id) {
                    return Ok(None);
                }
                in_vain += u32::from(job.is_given_up);
            }
        }
    }

    /// Tells when outputs are no longer given up since that makes no room, and when they are again or need not be.
    fn tell_whether_room_is_made(&self, is_made: bool, free: u64) {
        let was_made = !self.context.shared.noted.makes_no_room.swap(!is_made, Ordering::Relaxed);
        match (was_made, is_made) {
            (true, false) => error!(
                "no more old outputs are given up: the files of {BATCH} jobs whose outputs were cannot be removed, as is told of each; \
                 {} are free in {}",
                bytes(free),
                self.context.jobs_dir.display()
            ),
            (false, true) => info!("old outputs make room again, or there is enough"),
            (true, true) | (false, false) => {}
        }
    }
}
