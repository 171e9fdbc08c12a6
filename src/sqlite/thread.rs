//! The thread that owns the writing connection.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};

use super::error::of_code;
use super::reserve::Reserve;
use crate::ports::StoreError;

/// How many writes may wait; more wait to be let in.
const WAITING: usize = 1024;
/// How many writes share a transaction at the most, so that the first is not kept waiting for the last.
const BATCH: usize = 256;

/// How long a batch stays open for company, at the most. Each write runs as it arrives, while the requests behind the next
/// ones are still being read.
const GATHER: Duration = Duration::from_micros(300);
/// How large the batches before have to be for that: then all of the many clients that each wait for their answer share
/// the next sync instead of every other one. Of few clients, one half's requests are read while the batch of the other
/// half is synced, and waiting would only leave the processors idle.
const LARGE: usize = 16;
/// How large a batch is waited for: a larger one is worth its sync, and while it is written the next one comes together.
const COMPANY: usize = 64;
/// How often company is looked for meanwhile.
const LOOK: Duration = Duration::from_micros(20);

/// How a batch's commit went, for the one who waits for a write of it.
type Commit = Result<(), Arc<rusqlite::Error>>;

/// A write that waits for its turn.
trait Write: Send {
    /// Does it; what an earlier try came to is forgotten.
    fn run(&mut self, connection: &Connection) -> Ran;
    /// Whether it failed for want of room.
    fn lacks_room(&self) -> bool;
    /// Tells how it went to the one who asked.
    fn answer(self: Box<Self>, commit: Commit);
}

/// What a write came to, before the commit.
enum Ran {
    Well,
    /// It failed and left nothing behind.
    Failed,
    /// It failed in the middle: what it did before, and with it the whole transaction, has to be undone.
    Torn,
}

/// A write, and who waits for it.
struct Asked<T, W> {
    doing: &'static str,
    work: W,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, W: Fn(&Connection) -> Result<T, StoreError> + Send> Write for Asked<T, W> {
    fn run(&mut self, connection: &Connection) -> Ran {
        let before = connection.total_changes();
        let result = (self.work)(connection);
        let ran = match &result {
            Ok(_) => Ran::Well,
            // SQLite may have rolled the transaction back by itself: when the disk is full or fails, for one.
            Err(_) if connection.total_changes() != before || connection.is_autocommit() => Ran::Torn,
            Err(_) => Ran::Failed,
        };
        self.result = Some(result);
        ran
    }

    fn lacks_room(&self) -> bool {
        matches!(self.result, Some(Err(StoreError::Full { .. })))
    }

    fn answer(self: Box<Self>, commit: Commit) {
        let Self { doing, work, result, reply } = *self;
        // What it holds is free before the one who asked goes on.
        drop(work);
        let told = match (result, commit) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(source)) => Err(commit_failed(doing, &source)),
            (None, Ok(())) => Err(StoreError::Closed),
        };
        // Whoever asked may have gone away; the write stands all the same.
        drop(reply.send(told));
    }
}

/// The writer: closures go in, each is run in the next transaction.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Write>>>,
    thread: Option<JoinHandle<()>>,
    /// The last write that failed because none succeeds, until that is looked at.
    failure: watch::Sender<Option<StoreError>>,
}

impl Writer {
    /// Gives `connection` to a thread of its own, and the room that it gives away when the disk is full.
    pub(super) fn start(connection: Connection, reserve: Reserve) -> std::io::Result<Self> {
        let (queue, waiting) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("uwsd-sqlite".to_owned())
            .spawn(move || run(&connection, waiting, reserve))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), failure: watch::Sender::default() })
    }

    /// Runs `work` in a transaction; returns once that is committed and synced. An error of `work` undoes just `work`,
    /// which may then run a second time.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let write = Box::new(Asked { doing, work, result: None, reply });
        self.queue.as_ref().ok_or(StoreError::Closed)?.send(write).await.map_err(|_| StoreError::Closed)?;
        let told = answer.await.map_err(|_| StoreError::Closed)?;
        told.inspect_err(|error| {
            if let failure @ Some(_) = error.of_every_write() {
                self.failure.send_replace(failure);
            }
        })
    }

    /// Waits for a write that fails because none succeeds, also one that has since that was last forgotten.
    pub(super) async fn failure(&self) -> StoreError {
        let mut failure = self.failure.subscribe();
        let found = failure.wait_for(Option::is_some).await;
        found.ok().and_then(|found| found.as_ref().and_then(StoreError::of_every_write)).unwrap_or(StoreError::Closed)
    }

    /// What failed until now is over, or told anew.
    pub(super) fn forget_failure(&self) {
        self.failure.send_replace(None);
    }

    /// Waits until the thread has ended, for whatever reason.
    pub(super) async fn ended(&self) {
        if let Some(queue) = &self.queue {
            queue.closed().await;
        }
    }
}

impl Drop for Writer {
    /// Lets the thread finish what waits, then joins it.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn commit_failed(doing: &'static str, source: &Arc<rusqlite::Error>) -> StoreError {
    of_code(doing, source).unwrap_or_else(|| StoreError::Failed { doing, source: Box::new(Arc::clone(source)) })
}

fn run(connection: &Connection, mut waiting: mpsc::Receiver<Box<dyn Write>>, mut reserve: Reserve) {
    // By default a sleep may last 50 µs longer than asked for. Without this it only gathers more slowly.
    let _ = nix::sys::prctl::set_timerslack(1);
    let mut before = [0_usize; 2];
    while let Some(first) = waiting.blocking_recv() {
        if let Err(source) = begin(connection) {
            // Who waits with it would wait as long for the same.
            let commit = Err(Arc::new(source));
            first.answer(commit.clone());
            while let Ok(next) = waiting.try_recv() {
                next.answer(commit.clone());
            }
            continue;
        }
        let (opened, expected) = (Instant::now(), company(before));
        let mut batch = Vec::new();
        let (mut next, mut is_torn) = (Some(first), false);
        while let Some(mut write) = next.take() {
            is_torn = matches!(write.run(connection), Ran::Torn);
            batch.push(write);
            if is_torn || batch.len() == BATCH {
                break;
            }
            next = waiting.try_recv().ok();
            while next.is_none() && batch.len() < expected && opened.elapsed() < GATHER {
                std::thread::sleep(LOOK);
                next = waiting.try_recv().ok();
            }
        }
        before = [before[1], batch.len()];
        if is_torn {
            undo(connection);
            for write in batch {
                alone(connection, write, &mut reserve);
            }
        } else {
            let commit = commit(connection);
            if is_full(&commit) || batch.iter().any(|write| write.lacks_room()) {
                reserve.give();
            } else if commit.is_ok() {
                reserve.keep();
            }
            for write in batch {
                write.answer(commit.clone());
            }
        }
    }
}

/// How many writes a batch is waited for to have, by the sizes of the last two: what they had together may come again.
fn company(before: [usize; 2]) -> usize {
    let size = before[0].max(before[1]);
    if size < LARGE { 1 } else { size.min(COMPANY) }
}

/// Runs one write in a transaction of its own. After one of a batch failed in the middle all of them do: a savepoint for
/// each would spare that, but costs all the others a copy of every page that they change.
fn alone(connection: &Connection, mut write: Box<dyn Write>, reserve: &mut Reserve) {
    let commit = match begin(connection) {
        Err(source) => Err(Arc::new(source)),
        Ok(()) => match write.run(connection) {
            Ran::Well => commit(connection),
            Ran::Failed | Ran::Torn => {
                undo(connection);
                Ok(())
            }
        },
    };
    // A large one is written in parts, so the disk may be full before its commit.
    if write.lacks_room() || is_full(&commit) {
        reserve.give();
    }
    write.answer(commit);
}

/// Whether the room is to be given away, for those who come back: what keeps the daemon going does.
fn is_full(commit: &Commit) -> bool {
    commit.as_ref().is_err_and(|error| error.sqlite_error_code() == Some(ErrorCode::DiskFull))
}

fn begin(connection: &Connection) -> Result<(), rusqlite::Error> {
    execute(connection, "BEGIN IMMEDIATE")
}

/// Commits the transaction; what cannot be committed is rolled back.
fn commit(connection: &Connection) -> Commit {
    execute(connection, "COMMIT").map_err(|source| {
        undo(connection);
        Arc::new(source)
    })
}

/// Rolls the transaction back, unless SQLite has already.
fn undo(connection: &Connection) {
    if !connection.is_autocommit() {
        drop(execute(connection, "ROLLBACK"));
    }
}

fn execute(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::error::{While, failed};
    use super::*;

    fn writer() -> Writer {
        let connection = Connection::open_in_memory().expect("in memory");
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT").expect("made");
        let nowhere = std::path::Path::new("/nonexistent/uwsd.db");
        Writer::start(connection, Reserve::of(nowhere)).expect("started")
    }

    async fn insert(writer: &Writer, n: i64) -> Result<(), StoreError> {
        writer
            .write("inserting", move |c| c.execute("INSERT INTO t VALUES (?1)", [n]).map(drop).doing("inserting"))
            .await
    }

    #[tokio::test]
    async fn a_write_that_fails_undoes_itself_alone() {
        let writer = writer();
        insert(&writer, 1).await.expect("written");
        let half = writer
            .write("half", |c| {
                c.execute("INSERT INTO t VALUES (2)", []).doing("half")?;
                Err::<(), _>(failed("half", rusqlite::Error::InvalidQuery))
            })
            .await;
        assert!(half.is_err());
        insert(&writer, 3).await.expect("written");
        let all: Vec<i64> = writer
            .write("reading", |c| {
                let mut statement = c.prepare("SELECT n FROM t ORDER BY n").doing("reading")?;
                let rows = statement.query_map([], |row| row.get(0)).doing("reading")?;
                rows.collect::<Result<_, _>>().doing("reading")
            })
            .await
            .expect("read");
        assert_eq!(all, [1, 3]);
    }

    #[tokio::test]
    async fn the_company_of_a_write_that_fails_in_the_middle_is_written_once() {
        let writer = Arc::new(writer());
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..300_i64 {
            let writer = Arc::clone(&writer);
            tasks.spawn(async move {
                let written = writer.write("inserting", move |c| {
                    c.execute("INSERT INTO t VALUES (?1)", [n]).doing("inserting")?;
                    if n % 7 == 0 { Err(failed("half", rusqlite::Error::InvalidQuery)) } else { Ok(()) }
                });
                assert_eq!(written.await.is_ok(), n % 7 != 0, "{n}");
            });
        }
        tasks.join_all().await;
        let count = writer.write("counting", |c| {
            c.query_row("SELECT count(*), sum(n % 7 = 0) FROM t", [], |row| Ok((row.get(0)?, row.get(1)?)))
                .doing("counting")
        });
        assert_eq!(count.await.expect("read"), (257, 0));
    }

    #[tokio::test]
    async fn those_who_wait_together_for_a_lock_wait_once() {
        let dir = tempfile::tempdir().expect("temp dir");
        let open = || Connection::open(dir.path().join("db")).expect("opened");
        let (connection, other) = (open(), open());
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT").expect("made");
        connection.busy_timeout(Duration::from_millis(300)).expect("set");
        other.execute_batch("BEGIN EXCLUSIVE").expect("locked");
        let writer = Writer::start(connection, Reserve::of(&dir.path().join("nowhere/db"))).expect("started");
        let began = Instant::now();
        let all = futures_util::future::join_all((0..20).map(|n| insert(&writer, n))).await;
        assert!(all.iter().all(|told| matches!(told, Err(StoreError::Unwritable { .. }))), "{all:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_write_that_fails_for_all_is_told_to_who_waits_for_that_until_it_is_looked_at() {
        let dir = tempfile::tempdir().expect("temp dir");
        let open = || Connection::open(dir.path().join("db")).expect("opened");
        let (connection, other) = (open(), open());
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT").expect("made");
        connection.busy_timeout(Duration::ZERO).expect("set");
        let writer = Writer::start(connection, Reserve::of(&dir.path().join("nowhere/db"))).expect("started");
        insert(&writer, 1).await.expect("written");
        insert(&writer, 1).await.expect_err("it is there");
        let is_told = async || tokio::time::timeout(Duration::from_millis(50), writer.failure()).await.is_ok();
        assert!(!is_told().await, "another write goes well");
        other.execute_batch("BEGIN EXCLUSIVE").expect("locked");
        let (error, written) = tokio::join!(writer.failure(), insert(&writer, 2));
        assert!(written.is_err() && matches!(error, StoreError::Unwritable { .. }), "{error:?}");
        // Also to who comes late.
        assert!(is_told().await);
        writer.forget_failure();
        assert!(!is_told().await);
    }

    #[tokio::test]
    async fn many_writes_at_once_are_all_answered() {
        let writer = Arc::new(writer());
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..500 {
            let writer = Arc::clone(&writer);
            tasks.spawn(async move { insert(&writer, n % 400).await.is_ok() });
        }
        let written = tasks.join_all().await.into_iter().filter(|ok| *ok).count();
        assert_eq!(written, 400);
    }

    #[tokio::test]
    async fn the_reserve_is_given_to_a_write_that_finds_no_room_before_its_commit() {
        let dir = tempfile::tempdir().expect("temp dir");
        let database = dir.path().join("uwsd.db");
        let connection = Connection::open(&database).expect("a database");
        connection.execute_batch("CREATE TABLE t (v BLOB); PRAGMA max_page_count = 8").expect("a table");
        let writer = Writer::start(connection, Reserve::of(&database)).expect("a thread");
        let insert = |size: u32| {
            writer.write("writing much", move |connection| {
                let inserted = connection.execute("INSERT INTO t VALUES (zeroblob(?))", [size]);
                inserted.map(drop).doing("writing much")
            })
        };
        insert(1).await.expect("room");
        let reserve = dir.path().join("uwsd.db.reserve");
        assert!(reserve.exists());
        let full = insert(1 << 20).await;
        assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");
        assert!(!reserve.exists());
    }
}
