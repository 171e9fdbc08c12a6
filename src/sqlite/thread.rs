//! The thread that owns the writing connection.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::error::of_code;
use crate::ports::StoreError;

/// How many writes may wait; more wait to be let in.
const WAITING: usize = 1024;
/// How many writes share a transaction at the most, so that the first is not kept waiting for the last.
const BATCH: usize = 256;

/// How long a batch stays open for company, at the most. It only does when the batches before had some: a lone client is
/// never delayed, and of several clients that each wait for their answer all share the next sync instead of every other
/// one. Each write runs as it arrives, while the requests behind the next ones are still being read.
const GATHER: Duration = Duration::from_micros(300);
/// How large a batch is waited for: a larger one is worth its sync, and while it is written the next one comes together.
const COMPANY: usize = 16;
/// How often company is looked for meanwhile.
const LOOK: Duration = Duration::from_micros(20);

/// How a batch's commit went, for the one who waits for a write of it.
type Commit = Result<(), Arc<rusqlite::Error>>;
/// What is left of a write once it ran: to be told how the commit went.
type Answer = Box<dyn FnOnce(Commit) + Send>;
/// A write that waits: given the connection, or why it cannot have one.
type Write = Box<dyn FnOnce(Result<&Connection, Arc<rusqlite::Error>>) -> Ran + Send>;

/// What a write came to, before the commit.
struct Ran {
    keep: bool,
    is_full: bool,
    answer: Answer,
}

/// The writer: closures go in, each is run in the next transaction.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Gives `connection` to a thread of its own.
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (queue, waiting) = mpsc::channel(WAITING);
        let thread =
            std::thread::Builder::new().name("uwsd-sqlite".to_owned()).spawn(move || run(&connection, waiting))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Runs `work` in a transaction; returns once that is committed and synced. An error of `work` undoes just `work`.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let write: Write = Box::new(move |connection| {
            let result = match connection {
                Ok(connection) => work(connection),
                Err(source) => Err(commit_failed(doing, &source)),
            };
            Ran {
                keep: result.is_ok(),
                is_full: matches!(result, Err(StoreError::Full { .. })),
                answer: Box::new(move |commit| {
                    let told = match (result, commit) {
                        (Err(error), _) => Err(error),
                        (Ok(value), Ok(())) => Ok(value),
                        (Ok(_), Err(source)) => Err(commit_failed(doing, &source)),
                    };
                    // Whoever asked may have gone away; the write stands all the same.
                    drop(reply.send(told));
                }),
            }
        });
        self.queue.as_ref().ok_or(StoreError::Closed)?.send(write).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
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

fn run(connection: &Connection, mut waiting: mpsc::Receiver<Write>) {
    // By default a sleep may last 50 µs longer than asked for. Without this it only gathers more slowly.
    let _ = nix::sys::prctl::set_timerslack(1);
    // The sizes of the last two batches: what they had together is what may come again.
    let mut before = [0_usize; 2];
    while let Some(first) = waiting.blocking_recv() {
        let (opened, expected) = (Instant::now(), before[0].max(before[1]).min(COMPANY));
        let mut answers = Vec::new();
        let begun = connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]));
        if let Err(source) = begun {
            refuse(first, source);
            continue;
        }
        let (mut next, mut is_full) = (Some(first), false);
        while let Some(write) = next.take() {
            let (answer, has_filled) = run_one(connection, write);
            answers.push(answer);
            is_full |= has_filled;
            if answers.len() == BATCH || connection.is_autocommit() {
                break;
            }
            next = waiting.try_recv().ok();
            while next.is_none() && answers.len() < expected && opened.elapsed() < GATHER {
                std::thread::sleep(LOOK);
                next = waiting.try_recv().ok();
            }
        }
        let commit = finish(connection, is_full);
        before = [before[1], answers.len()];
        for answer in answers {
            answer(commit.clone());
        }
    }
}

/// Runs one write so that its error undoes it alone; the second value says whether it found the disk full.
fn run_one(connection: &Connection, write: Write) -> (Answer, bool) {
    if let Err(source) = execute(connection, "SAVEPOINT one") {
        return (write(Err(Arc::new(source))).answer, false);
    }
    let Ran { keep, is_full, answer } = write(Ok(connection));
    let closed = if keep {
        execute(connection, "RELEASE one")
    } else {
        execute(connection, "ROLLBACK TO one").and_then(|()| execute(connection, "RELEASE one"))
    };
    match closed {
        Ok(()) => (answer, is_full),
        Err(source) => {
            let source = Arc::new(source);
            (Box::new(move |_| answer(Err(source))), is_full)
        }
    }
}

fn execute(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Commits the transaction; what cannot be committed is rolled back.
fn finish(connection: &Connection, is_full: bool) -> Commit {
    if connection.is_autocommit() {
        // SQLite rolled the transaction back by itself, as it may when the disk is full or fails.
        let code = if is_full { rusqlite::ffi::SQLITE_FULL } else { rusqlite::ffi::SQLITE_ABORT };
        return Err(Arc::new(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(code),
            Some("the transaction was rolled back".to_owned()),
        )));
    }
    execute(connection, "COMMIT").map_err(|source| {
        if !connection.is_autocommit() {
            drop(execute(connection, "ROLLBACK"));
        }
        Arc::new(source)
    })
}

/// Answers a write that could not have a transaction.
fn refuse(write: Write, source: rusqlite::Error) {
    let source = Arc::new(source);
    let Ran { answer, .. } = write(Err(Arc::clone(&source)));
    answer(Err(source));
}

#[cfg(test)]
mod tests {
    use super::super::error::{While, failed};
    use super::*;

    fn writer() -> Writer {
        let connection = Connection::open_in_memory().expect("in memory");
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT").expect("made");
        Writer::start(connection).expect("started")
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
}
