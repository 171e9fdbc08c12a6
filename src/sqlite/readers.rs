//! The threads that only read, each with a connection of its own.
//!
//! They are none of the runtime's blocking threads: files of jobs may lie on a file system that hangs, and what waits for
//! it there must not keep anybody from the jobs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use crate::ports::StoreError;

use super::error::OpenError;
use super::open::open_reader;

/// How many reads may be under way at once.
const THREADS: usize = 3;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// A few threads that take one read each.
pub(super) struct Readers {
    /// As many as threads: a read whose future is dropped before its turn is never made.
    permits: Arc<Semaphore>,
    queue: Option<Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let (queue, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let mut readers = Self {
            permits: Arc::new(Semaphore::new(THREADS)),
            queue: Some(queue),
            threads: Vec::with_capacity(THREADS),
        };
        for _ in 0..THREADS {
            let (connection, waiting) = (open_reader(path)?, Arc::clone(&waiting));
            let thread = std::thread::Builder::new().name("uwsd-read".to_owned());
            let thread = thread.spawn(move || run(&connection, &waiting));
            readers.threads.push(thread.map_err(|source| OpenError::Io { path: path.to_owned(), source })?);
        }
        Ok(readers)
    }

    /// Runs `work` on a connection of its own; what it reads is one snapshot per statement.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let read: Read = Box::new(move |connection| {
            let told = work(connection);
            // The permit goes with the read, not with its future: a future that is dropped leaves the read running.
            drop(permit);
            // Whoever asked may have gone away.
            drop(reply.send(told));
        });
        self.queue.as_ref().ok_or(StoreError::Closed)?.send(read).map_err(|_| StoreError::Closed)?;
        let panicked = || StoreError::Failed { doing: "reading", source: "the read panicked".into() };
        answer.await.unwrap_or_else(|_| Err(panicked()))
    }
}

impl Drop for Readers {
    /// Lets the threads finish what waits, then joins them.
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn run(connection: &Connection, waiting: &Mutex<Receiver<Read>>) {
    loop {
        // The lock is held by the one that waits next, and free while a read runs.
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(read) = next else { return };
        // A read changes nothing that it could leave half done; its panic is told, and the thread goes on.
        drop(catch_unwind(AssertUnwindSafe(|| read(connection))));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::error::While;
    use super::super::open::open_writer;
    use super::*;

    fn readers(dir: &Path) -> Readers {
        let path = dir.join("db");
        drop(open_writer(&path).expect("made"));
        Readers::open(&path).expect("opened")
    }

    async fn one(readers: &Readers) -> Result<i64, StoreError> {
        readers.read(|c| c.query_row("SELECT 1", [], |row| row.get(0)).doing("reading")).await
    }

    #[test]
    fn a_read_is_answered_while_every_blocking_thread_hangs() {
        let dir = tempfile::tempdir().expect("temp dir");
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (release, hung) = channel::<()>();
        runtime.block_on(async {
            let readers = readers(dir.path());
            let hanging = tokio::task::spawn_blocking(move || hung.recv().is_ok());
            let read = tokio::time::timeout(Duration::from_secs(10), one(&readers)).await;
            assert_eq!(read.expect("in time").expect("read"), 1);
            release.send(()).expect("it hangs still");
            assert!(hanging.await.expect("no panic"));
        });
    }

    #[tokio::test]
    async fn a_read_that_panics_is_told_and_takes_no_thread_with_it() {
        let dir = tempfile::tempdir().expect("temp dir");
        let readers = readers(dir.path());
        for _ in 0..2 * THREADS {
            let read = readers.read(|_| -> Result<(), StoreError> { panic!("the test wants it") }).await;
            assert!(matches!(read, Err(StoreError::Failed { doing: "reading", .. })), "{read:?}");
        }
        assert_eq!(one(&readers).await.expect("read"), 1);
    }

    #[tokio::test]
    async fn many_reads_at_once_are_all_answered() {
        let dir = tempfile::tempdir().expect("temp dir");
        let readers = readers(dir.path());
        let all = futures_util::future::join_all((0..200).map(|_| one(&readers))).await;
        assert_eq!(all.into_iter().flatten().count(), 200);
    }
}
