//! The directory of a run: what outlives daemon and supervisor.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use super::plan::Plan;
use super::record::{Exit, Process, Started};

use Record::{Damaged, Whole};

/// The directory of one run.
#[derive(Debug, Clone)]
pub(super) struct RunDir {
    path: PathBuf,
}

/// Where a run stands.
#[derive(Debug)]
pub(super) enum Standing {
    /// There is no such run.
    Absent,
    /// Made, never started.
    Created,
    /// Stopped before it was started: it never will be.
    Stopped,
    /// A supervisor looks after it.
    Supervised,
    /// It ended.
    Ended(Exit),
    /// It was started and its supervisor is gone without a record that can be read; nor can, if it is `None`, that of its
    /// start.
    Lost(Option<Started>),
}

/// What a record says.
enum Record<T> {
    /// This; nothing if it is not there.
    Whole(Option<T>),
    /// Nothing any more: why, and where it is.
    Damaged(io::Error),
}

impl<T> Record<T> {
    const fn damage(&self) -> Option<&io::Error> {
        match self {
            Whole(_) => None,
            Damaged(error) => Some(error),
        }
    }
}

/// Records appear whole. One that is not has been damaged since, and trying again makes it no better.
fn whole<T>(loaded: io::Result<Option<T>>) -> io::Result<Record<T>> {
    match loaded {
        Ok(loaded) => Ok(Whole(loaded)),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => Ok(Damaged(error)),
        Err(error) => Err(error),
    }
}

impl RunDir {
    /// The run `name` below `runs`.
    pub(super) fn new(runs: &Path, name: &str) -> Self {
        Self { path: runs.join(name) }
    }

    /// The run in the directory `path`.
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory with the plan in it, at once, or finds it there.
    pub(super) fn create(&self, plan: &Plan) -> io::Result<()> {
        if self.path.try_exists()? {
            return Ok(());
        }
        let parent = self.parent()?;
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        let new = self.sibling("new")?;
        remove_dir(&new)?;
        DirBuilder::new().mode(0o700).create(&new)?;
        write_new(&new.join("plan.json"), plan)?;
        write_bytes(&new.join("lock"), b"")?;
        sync(&new)?;
        match fs::rename(&new, &self.path) {
            Ok(()) => sync(parent),
            Err(_) if self.path.exists() => remove_dir(&new), // somebody else was first
            Err(error) => Err(error),
        }
    }

    pub(super) fn load_plan(&self) -> io::Result<Plan> {
        self.load("plan.json")?.ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Becomes the one supervisor of the run for as long as the lock is kept; `None`: there is one.
    pub(super) fn lock(&self) -> io::Result<Option<Flock<File>>> {
        self.flock(FlockArg::LockExclusiveNonblock)
    }

    fn flock(&self, kind: FlockArg) -> io::Result<Option<Flock<File>>> {
        match Flock::lock(File::open(self.path.join("lock"))?, kind) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(errno.into()),
        }
    }

    /// Where the run stands.
    pub(super) fn standing(&self) -> io::Result<Standing> {
        // The lock first: what its last owner wrote is then there to be read.
        let lock = match self.flock(FlockArg::LockSharedNonblock) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Standing::Absent),
            Err(error) => return Err(error),
        };
        // The record is the last that a supervisor writes. Whoever holds the lock after that has found it too: a second
        // start, which leaves the run as it is.
        let exit = match whole(self.load("exit.json"))? {
            Whole(Some(exit)) => return Ok(Standing::Ended(exit)),
            other => other,
        };
        if lock.is_none() {
            return Ok(Standing::Supervised);
        }
        let started = whole(self.started())?;
        for damage in [exit.damage(), started.damage()].into_iter().flatten() {
            warn!("how a run ended is not known: {damage}");
        }
        match (exit, started) {
            (_, Whole(Some(started))) => return Ok(Standing::Lost(Some(started))),
            (Damaged(_), _) | (_, Damaged(_)) => return Ok(Standing::Lost(None)),
            (Whole(_), Whole(None)) => {}
        }
        Ok(if self.is_stopped()? { Standing::Stopped } else { Standing::Created })
    }

    pub(super) fn started(&self) -> io::Result<Option<Started>> {
        self.load("started.json")
    }

    pub(super) fn note_started(&self, started: &Started) -> io::Result<()> {
        self.note("started.json", started)
    }

    pub(super) fn init(&self) -> io::Result<Option<Process>> {
        self.load("init.json")
    }

    pub(super) fn note_init(&self, init: &Process) -> io::Result<()> {
        self.note("init.json", init)
    }

    pub(super) fn note_exit(&self, exit: &Exit) -> io::Result<()> {
        self.note("exit.json", exit)
    }

    pub(super) fn is_stopped(&self) -> io::Result<bool> {
        self.path.join("stopped").try_exists()
    }

    pub(super) fn note_stopped(&self) -> io::Result<()> {
        // Its being there is all it says: no content that could be half written.
        write_bytes(&self.path.join("stopped"), b"")?;
        sync(&self.path)
    }

    /// Takes the directory away.
    pub(super) fn remove(&self) -> io::Result<()> {
        let gone = self.sibling("gone")?;
        remove_dir(&gone)?;
        match fs::rename(&self.path, &gone) {
            Ok(()) => remove_dir(&gone),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Does something with the control socket's path: a short one, whatever the length of the directory's.
    pub(super) fn with_control<T>(&self, deed: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let dir = File::open(&self.path)?;
        deed(Path::new(&format!("/proc/self/fd/{}/control", dir.as_raw_fd())))
    }

    fn parent(&self) -> io::Result<&Path> {
        self.path.parent().ok_or_else(|| ErrorKind::InvalidInput.into())
    }

    fn sibling(&self, word: &str) -> io::Result<PathBuf> {
        let name = self.path.file_name().ok_or(ErrorKind::InvalidInput)?;
        Ok(self.parent()?.join(format!(".{}.{word}", name.to_string_lossy())))
    }

    fn load<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let path = self.path.join(name);
        let read = fs::read(&path).and_then(|bytes| Ok(Some(serde_json::from_slice(&bytes)?)));
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
            read => read,
        }
    }

    /// Writes a file that is there whole or not at all, also after a power cut.
    fn note(&self, name: &str, content: &impl Serialize) -> io::Result<()> {
        let new = self.path.join(format!(".{name}.new"));
        write_new(&new, content)?;
        fs::rename(&new, self.path.join(name))?;
        sync(&self.path)
    }
}

fn write_new(path: &Path, content: &impl Serialize) -> io::Result<()> {
    write_bytes(path, &serde_json::to_vec(content)?)
}

fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
