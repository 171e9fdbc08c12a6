//! A place that the daemon and its jobs write to, and how much room is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::domain::DiskRoom;

/// How long a disk may take to tell; one on the network may hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// What looks at a directory: its place's name and where it is. It may hang.
type Look = Arc<dyn Fn(&'static str, &Path) -> Option<DiskRoom> + Send + Sync>;

/// What was seen of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// So much room.
    Room(DiskRoom),
    /// Nothing: there is no such place, or it cannot be looked at.
    Nothing,
    /// Its disk does not answer.
    Silence,
}

/// A place, at which one look at the most is out: one that hangs holds a thread until the disk answers.
pub(super) struct Place {
    name: &'static str,
    pub(super) path: PathBuf,
    look: Look,
    patience: Duration,
    out: Option<JoinHandle<Option<DiskRoom>>>,
    is_silent: bool,
}

impl Place {
    pub(super) fn new(name: &'static str, path: PathBuf) -> Self {
        Self { name, path, look: Arc::new(room), patience: PATIENCE, out: None, is_silent: false }
    }

    /// How much room there is. Dropping the future leaves the look out, and the next call goes on with it.
    pub(super) async fn see(&mut self) -> Seen {
        let (name, path, look) = (self.name, &self.path, &self.look);
        let out = self.out.get_or_insert_with(|| {
            let (path, look) = (path.clone(), Arc::clone(look));
            tokio::task::spawn_blocking(move || look(name, &path))
        });
        // Who was waited for in vain is not waited for again.
        let patience = if self.is_silent { Duration::ZERO } else { self.patience };
        let Ok(told) = tokio::time::timeout(patience, out).await else {
            if !std::mem::replace(&mut self.is_silent, true) {
                warn!("it is not known how much room there is: a disk does not answer ({})", self.path.display());
            }
            return Seen::Silence;
        };
        self.out = None;
        if std::mem::replace(&mut self.is_silent, false) {
            info!("the disk of {} answers again", self.path.display());
        }
        told.ok().flatten().map_or(Seen::Nothing, Seen::Room)
    }
}

/// How much room is on the disk of `path`.
fn room(place: &'static str, path: &Path) -> Option<DiskRoom> {
    let told = statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(told.fragment_size());
    Some(DiskRoom { place, free: bytes(told.blocks_available()), size: bytes(told.blocks()) })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn at_a_disk_that_hangs_one_look_is_out_however_often_it_is_asked_for() {
        let (looks, (release, hung)) = (Arc::new(AtomicU32::new(0)), channel::<()>());
        let (counted, hung) = (Arc::clone(&looks), Mutex::new(hung));
        let mut place = Place::new("jobs", PathBuf::from("/nowhere"));
        place.patience = Duration::from_millis(50);
        place.look = Arc::new(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            let waited = hung.lock().expect("one look at a time").recv();
            waited.ok().map(|()| DiskRoom { place: "jobs", free: 1, size: 2 })
        });
        for _ in 0..100 {
            assert_eq!(place.see().await, Seen::Silence);
        }
        assert_eq!(looks.load(Ordering::SeqCst), 1);
        // Whoever is silent is not waited for: its answer is there at one of the next looks.
        drop(release);
        let answered = async {
            while place.see().await == Seen::Silence {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), answered).await.expect("it answers again");
        assert_eq!(place.see().await, Seen::Nothing);
        assert!(looks.load(Ordering::SeqCst) > 1, "it is looked at anew");
    }

    #[tokio::test]
    async fn a_place_that_is_not_there_is_no_silence() {
        assert_eq!(Place::new("jobs", PathBuf::from("/nowhere")).see().await, Seen::Nothing);
        assert!(matches!(Place::new("jobs", PathBuf::from("/")).see().await, Seen::Room(room) if room.size > 0));
    }
}
