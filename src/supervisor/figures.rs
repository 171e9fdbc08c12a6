//! Figures of the supervisor's work, for whoever looks at the daemon.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::domain::{DiskRoom, JobId, Reservation};

use super::advisory::Advisory;
use super::handle::{Handle, Readiness};

/// What the jobs that have a place take from the queue's budget.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Taken {
    /// How many they are: they are prepared, run or are brought to an end.
    pub jobs: u64,
    /// CPUs.
    pub cpus: f64,
    /// Memory in bytes.
    pub memory: u64,
}

/// How the supervisor's work stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Jobs that are PENDING, QUEUED or HELD.
    pub waiting: u64,
    /// What running jobs take.
    pub taken: Taken,
    /// The places that the daemon and its jobs write to, as they were seen last, without those whose disk does not answer.
    pub rooms: Vec<DiskRoom>,
    /// Whether the backend answered when it was last asked.
    pub backend_answers: bool,
    /// Whether the store could be written when that was last tried.
    pub store_is_writable: bool,
}

/// What the supervisor's tasks note.
#[derive(Debug, Default)]
pub(super) struct Noted {
    taken: Mutex<Taken>,
    rooms: Mutex<Vec<DiskRoom>>,
    /// The jobs whose files could not be removed when that was last tried.
    left_over: Mutex<HashSet<JobId>>,
    /// Whether outputs are not given up any more, since none of those that were could be removed.
    pub(super) makes_no_room: AtomicBool,
    pub(super) advisory: Mutex<Advisory>,
}

impl Noted {
    /// Notes what running jobs reserve, all of them.
    pub(super) fn taken(&self, running: impl Iterator<Item = Reservation>) {
        let sum = running.fold(Taken::default(), |sum, reservation| Taken {
            jobs: sum.jobs + 1,
            cpus: sum.cpus + reservation.cpus,
            memory: sum.memory.saturating_add(reservation.memory),
        });
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = sum;
    }

    /// Notes whether the files of a job could be removed.
    pub(super) fn removal(&self, job: JobId, is_done: bool) {
        let mut left_over = self.left_over.lock().unwrap_or_else(PoisonError::into_inner);
        if is_done {
            left_over.remove(&job);
        } else {
            left_over.insert(job);
        }
    }

    /// Whether the files of a job could not be removed when that was last tried.
    pub(super) fn is_left_over(&self, job: JobId) -> bool {
        self.left_over.lock().unwrap_or_else(PoisonError::into_inner).contains(&job)
    }

    /// Notes the room on the disks.
    pub(super) fn rooms(&self, rooms: Vec<DiskRoom>) {
        *self.rooms.lock().unwrap_or_else(PoisonError::into_inner) = rooms;
    }
}

impl Handle {
    /// How the supervisor's work stands; asks nobody.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let shared = &self.shared;
        Figures {
            waiting: shared.waiting.load(Ordering::Relaxed),
            taken: *shared.noted.taken.lock().unwrap_or_else(PoisonError::into_inner),
            rooms: shared.noted.rooms.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            backend_answers: matches!(*shared.readiness.borrow(), Readiness::Ready { .. }),
            store_is_writable: shared.unwritable.borrow().is_none(),
        }
    }
}
