//! Both output streams of a run, from the engine into their files.

use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{AttachContainerOptions, LogsOptions};
use futures_util::{Stream, StreamExt};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connect::Client;
use super::ending::Logged;
use super::error::{is_unreachable, words_of};
use super::spool::{Spool, Taken};
use crate::backend::system::log_error;
use crate::ports::LogLoss;

/// How long it is gathered what the engine tells before it is written.
const MOMENT: Duration = Duration::from_millis(20);
/// How many bytes are not gathered further.
const AT_ONCE: usize = 64 << 10;

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

/// How a pump came to its end.
#[derive(Debug, Clone)]
pub(super) enum Drained {
    /// The stream ended.
    Whole,
    /// The stream broke off, or was given up.
    Broken {
        /// Whether the engine may tell it another time.
        is_unreachable: bool,
        /// The engine's words.
        why: String,
    },
    /// The engine said in the stream that it could not read on, or the stream ended within a piece.
    Torn(String),
    /// A file could not be written.
    Failed(LogLoss),
}

/// Both files.
#[derive(Debug)]
pub(super) struct Spools {
    stdout: Spool,
    stderr: Spool,
}

impl Spools {
    /// Empty files below `dir`, which is made if need be; each may have `most` bytes.
    pub(super) async fn empty(dir: &Path, most: u64) -> io::Result<Self> {
        tokio::fs::create_dir_all(dir).await?;
        let (stdout, stderr) = (dir.join("stdout"), dir.join("stderr"));
        let (stdout, stderr) = tokio::try_join!(Spool::empty(&stdout, most), Spool::empty(&stderr, most))?;
        Ok(Self { stdout, stderr })
    }

    /// The files below `dir` with what they hold.
    async fn resume(dir: &Path, most: u64) -> io::Result<Self> {
        tokio::fs::create_dir_all(dir).await?;
        let (stdout, stderr) = (dir.join("stdout"), dir.join("stderr"));
        let (stdout, stderr) = tokio::try_join!(Spool::resume(&stdout, most), Spool::resume(&stderr, most))?;
        Ok(Self { stdout, stderr })
    }

    async fn fill(&mut self, mut output: Output, given_up: &CancellationToken) -> Drained {
        loop {
            let Told { stdout, stderr, end } = Told::next(&mut output, given_up).await;
            let taken = [("stdout", self.stdout.take(&stdout).await), ("stderr", self.stderr.take(&stderr).await)];
            for (stream, taken) in taken {
                if let Err(error) = taken {
                    return Drained::Failed(log_error(stream, &error));
                }
            }
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// What both are, as far as the stream was taken.
    fn logged(&self) -> Logged {
        let bytes = self.stdout.bytes().zip(self.stderr.bytes()).map(<[_; 2]>::from);
        Logged { bytes, is_cut: self.stdout.is_cut() || self.stderr.is_cut(), ..Logged::default() }
    }

    /// What was taken of both, with so much of the ends.
    async fn taken(&mut self, length: u64) -> Option<[Taken; 2]> {
        Some([self.stdout.taken(length).await?, self.stderr.taken(length).await?])
    }

    /// Ends both files; why one is not whole, if so.
    async fn finish(&mut self, is_whole: bool) -> Option<LogLoss> {
        let (stdout, stderr) = tokio::join!(self.stdout.finish(is_whole), self.stderr.finish(is_whole));
        let mut finished = [("stdout", stdout), ("stderr", stderr)].into_iter();
        finished.find_map(|(stream, finished)| Some(log_error(stream, &finished.err()?)))
    }
}

/// What was told within a moment: the engine tells each line by itself, and a write for each would take most of the time.
#[derive(Debug, Default)]
struct Told {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// Set if nothing can follow.
    end: Option<Drained>,
}

impl Told {
    /// What comes next, and within a moment after it.
    async fn next(output: &mut Output, given_up: &CancellationToken) -> Self {
        let mut told = Self::default();
        let mut moment = pin!(tokio::time::sleep(MOMENT));
        while told.end.is_none() && told.stdout.len() + told.stderr.len() < AT_ONCE {
            let is_first = told.stdout.is_empty() && told.stderr.is_empty();
            tokio::select! {
                biased;
                piece = output.next() => {
                    if is_first {
                        moment.as_mut().reset(Instant::now() + MOMENT);
                    }
                    told.take(piece);
                }
                // What the stream holds ready is taken first; the rest is told again by whoever gave this one up.
                () = given_up.cancelled() => {
                    told.end = Some(Drained::Broken { is_unreachable: true, why: "given up".to_owned() });
                }
                () = &mut moment, if !is_first => break,
            }
        }
        told
    }

    fn take(&mut self, piece: Option<Result<LogOutput, Error>>) {
        match piece {
            None => self.end = Some(Drained::Whole),
            Some(Ok(LogOutput::StdOut { message })) => self.stdout.extend_from_slice(&message),
            Some(Ok(LogOutput::StdErr { message })) => self.stderr.extend_from_slice(&message),
            Some(Ok(LogOutput::Console { message } | LogOutput::StdIn { message })) => {
                let why = own_words(&message).unwrap_or_else(|| "the stream broke off".to_owned());
                self.end = Some(Drained::Torn(why));
            }
            Some(Err(error)) => {
                let why = words_of(&error);
                self.end = Some(Drained::Broken { is_unreachable: is_unreachable(&error), why });
            }
        }
    }
}

/// The words of the engine itself, which has a stream of its own for them, if that is what came: else it is the rest of a torn
/// stream, and the job's.
fn own_words(message: &[u8]) -> Option<String> {
    let words = message.strip_prefix(&[3, 0, 0, 0])?.get(4..)?;
    Some(String::from_utf8_lossy(words).trim().to_owned())
}

/// Where a pump has the output from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feed {
    /// The container itself, as it says it.
    Container,
    /// What the engine kept, as that grows: the end of such a stream may come before that of the log.
    Growing,
    /// What the engine kept of a container that has ended.
    Kept,
}

/// A task that carries the output of one run into its files.
#[derive(Debug)]
pub(super) struct Pump {
    end: watch::Receiver<Option<Drained>>,
    /// What it fills, for whoever waited for its end; none if it could not even begin.
    spools: Option<Arc<Mutex<Spools>>>,
    tasks: TaskTracker,
    given_up: CancellationToken,
    from: Feed,
}

impl Pump {
    /// Takes what the container says from now on: for one that has not started.
    pub(super) async fn attach(
        client: &Client,
        container: &str,
        spools: Spools,
        tasks: &TaskTracker,
    ) -> Result<Self, Error> {
        let options =
            AttachContainerOptions { stream: true, stdout: true, stderr: true, ..AttachContainerOptions::default() };
        let attached = client.docker.attach_container(container, Some(options)).await?;
        Ok(Self::of(attached.output, Feed::Container, spools, tasks))
    }

    /// Takes what the engine kept of the container's output from its first byte on, and goes on to the container's end
    /// if it is [`Feed::Growing`], into the files below a directory, each of which may have so many bytes.
    pub(super) async fn read(
        client: &Client,
        container: &str,
        (dir, most): (&Path, u64),
        from: Feed,
        tasks: &TaskTracker,
    ) -> Self {
        let spools = match Spools::resume(dir, most).await {
            Ok(spools) => spools,
            Err(error) => return Self::failed(log_error("the logs", &error), from, tasks),
        };
        let options =
            LogsOptions { follow: from == Feed::Growing, stdout: true, stderr: true, ..LogsOptions::default() };
        let output = client.docker.logs(container, Some(options)).boxed();
        Self::of(output, from, spools, tasks)
    }

    /// One that cannot even begin.
    fn failed(why: LogLoss, from: Feed, tasks: &TaskTracker) -> Self {
        let end = watch::channel(Some(Drained::Failed(why))).1;
        Self { end, spools: None, tasks: tasks.clone(), given_up: CancellationToken::new(), from }
    }

    fn of(output: Output, from: Feed, spools: Spools, tasks: &TaskTracker) -> Self {
        let (tell, end) = watch::channel(None);
        let given_up = CancellationToken::new();
        let token = given_up.clone();
        let spools = Arc::new(Mutex::new(spools));
        let filled = Arc::clone(&spools);
        tasks.spawn(async move {
            let drained = filled.lock().await.fill(output, &token).await;
            tell.send_replace(Some(drained));
        });
        Self { end, spools: Some(spools), tasks: tasks.clone(), given_up, from }
    }

    /// The end, once everything that came is written. It may be that of the stream only: the end of a long log is put into its
    /// file by [`close`](Self::close).
    pub(super) async fn end(&self) -> Drained {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(drained) => drained.clone(),
            Err(_) => None,
        }
        .unwrap_or_else(|| Drained::Broken { is_unreachable: true, why: "the pump is gone".to_owned() })
    }

    /// What was taken of both logs, with so much of their ends; `None` if that is not known.
    pub(super) async fn taken(&self, length: u64) -> Option<[Taken; 2]> {
        self.end().await;
        self.spools.as_ref()?.lock().await.taken(length).await
    }

    /// How many bytes it knows of both streams.
    pub(super) async fn told(&self) -> u64 {
        self.end().await;
        let Some(spools) = &self.spools else { return 0 };
        let spools = spools.lock().await;
        spools.stdout.told() + spools.stderr.told()
    }

    /// Stops it, and ends the logs: more will not come. What became of them, on the disk.
    pub(super) async fn close(&self) -> Logged {
        self.give_up().await;
        let Some(spools) = self.spools.clone() else { return Logged::default() };
        let failed = |why| Logged { error: Some(why), ..Logged::default() };
        let is_whole = matches!(*self.end.borrow(), Some(Drained::Whole));
        // Who waits may be gone before it is done, and the next must not find it half done.
        let closing = self.tasks.spawn(async move {
            let mut spools = spools.lock().await;
            let failure = spools.finish(is_whole).await;
            failure.map_or_else(|| spools.logged(), failed)
        });
        closing.await.unwrap_or_else(|error| failed(log_error("the logs", &error.into())))
    }

    /// Where it has the output from.
    pub(super) const fn from(&self) -> Feed {
        self.from
    }

    /// Whether it has ended without the end of the stream.
    pub(super) fn is_broken(&self) -> bool {
        matches!(*self.end.borrow(), Some(Drained::Broken { .. } | Drained::Torn(_)))
    }

    /// Whether it has ended, in whatever way.
    pub(super) fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// Stops it; it writes nothing more when this returns.
    pub(super) async fn give_up(&self) {
        self.given_up.cancel();
        self.end().await;
    }
}

impl Drop for Pump {
    /// One that nobody knows any more must not go on writing beside the next.
    fn drop(&mut self) {
        self.given_up.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_own_words_are_told_and_the_jobs_are_not() {
        let told = b"\x03\0\0\0\0\0\0\x25Error grabbing logs: unexpected EOF\n";
        assert_eq!(own_words(told).as_deref(), Some("Error grabbing logs: unexpected EOF"));
        assert_eq!(own_words(b"the password is"), None);
    }
}
