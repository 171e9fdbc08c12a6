//! The only place where adapters are chosen and wired to ports.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::backend::docker::{DockerBackend, Instance, note_engine};
use crate::backend::process::{HostError, ProcessBackend};
use crate::config::{BackendKind, Live, LoadRequest, Loaded, Reloads};
use crate::doctor::clock_not_followed;
use crate::http::{Api, BindError, Bodies, Passed, Stop, Web, bind, serve};
use crate::lifecycle::{Lifecycle, LifecycleError, Signals};
use crate::metrics::{MeasuredBackend, MeasuredStore, Metrics};
use crate::ports::{Backend, BackendError, Clock, Images, Quotas, Sources, Store, StoreError, SystemClock};
use crate::quota::ProjectQuotas;
use crate::reload::Reloader;
use crate::sources::{GitSources, SetupError};
use crate::sqlite::{OpenError, SqliteStore};
use crate::supervisor::{self, Gate, Parts};
use crate::telemetry::LogFilter;

/// Why the daemon could not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A directory of the daemon's cannot be used.
    #[error("cannot use {}; make it writable for this user or set server.state_dir", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another daemon uses the same state.
    #[error("another uwsd runs on {}; stop it, or give this one a state directory (and a store.path, if that is set) of its own", .0.display())]
    Running(PathBuf),
    /// It cannot be known whether one does.
    #[error("cannot lock {}, which keeps two uwsd from one state", .path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A listener cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The backend cannot be set up.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The process backend cannot be used on this host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Sources cannot be set up.
    #[error(transparent)]
    Sources(#[from] SetupError),
    /// The daemon did not end well.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
}

impl AppError {
    /// Whether another configuration or an installed program would cure it.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        match self {
            Self::Host(_)
            | Self::Sources(_)
            | Self::Backend(_)
            | Self::Directory { .. }
            | Self::Open(OpenError::NetworkFileSystem { .. })
            | Self::Bind(BindError::Unmatched(_) | BindError::Exposed(_) | BindError::Unusable { .. }) => true,
            Self::Running(_)
            | Self::Lock { .. }
            | Self::Bind(_)
            | Self::Open(_)
            | Self::Store(_)
            | Self::Lifecycle(_) => false,
        }
    }
}

/// What the daemon is started with.
#[derive(Debug)]
pub struct Setup {
    /// What the configuration was read from, and will be again.
    pub request: LoadRequest,
    /// What was read.
    pub loaded: Loaded,
    /// What the log lets through.
    pub log: Option<LogFilter>,
}

/// Runs the daemon until it is stopped. Jobs that run are left alone: the next start goes on with them.
///
/// # Errors
/// What kept it from starting, or an end that nobody asked for.
pub async fn run(setup: Setup, lifecycle: Lifecycle) -> Result<(), AppError> {
    let signals = Signals::install()?;
    let Setup { request, loaded: Loaded { config, effective, .. }, log } = setup;
    let live = Live::new(config);
    let config = live.get();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // Before anything of the state is touched: two daemons on one state would run jobs twice.
    let _lock = lock_state(&config.server.state_dir)?;
    let _database_lock = lock_database(&config.store.path, &config.server.state_dir)?;
    make_directory(&config.server.jobs_dir, 0o711)?;
    let (listening, listeners) = bind(&config.server, Passed::take()?)?;
    let store = Arc::new(SqliteStore::open(&config.store.path)?);
    // Tasks of the backend follow runs, which outlive the daemon: nobody waits for them at the end.
    let backend = backend(&live, store.instance_id(), TaskTracker::new())?;
    let metrics = Arc::new(Metrics::new(backend.kind(), clock.now()));
    let server = &config.server;
    let closed = [server.state_dir.as_path(), &server.jobs_dir];
    let sources = Arc::new(GitSources::new(config.sources.clone(), server.state_dir.join("git"), &closed)?);

    let started = supervisor::start(Parts {
        store: Arc::new(MeasuredStore::new(Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&metrics))),
        images: Arc::clone(&store) as Arc<dyn Images>,
        backend: Arc::new(MeasuredBackend::new(backend, Arc::clone(&metrics))),
        quotas: quotas(&config.server.jobs_dir),
        sources: Arc::clone(&sources) as Arc<dyn Sources>,
        clock: Arc::clone(&clock),
        config: live.clone(),
        host: host_name(),
        deeds: lifecycle.tracker().clone(),
    })
    .await?;
    until_soft(&lifecycle, "queue", started.queue.run());
    until_soft(&lifecycle, "retention", started.retention.run());
    until_soft(&lifecycle, "health", started.health.run());
    until_soft(&lifecycle, "images", started.images.run());
    until_soft(&lifecycle, "disk", started.disk.run());
    until_soft(&lifecycle, "store", started.store.run());
    let time = Arc::clone(&clock);
    until_soft(&lifecycle, "mirrors", async move { sources.keep_mirrors_pruned(time.as_ref()).await });
    let writer = Arc::clone(&store);
    until_soft(&lifecycle, "sqlite", async move { writer.ended().await });

    let addresses: Vec<String> = listeners.addresses().map(ToString::to_string).collect();
    let bodies = Bodies::new(config.server.max_body);
    let (reloads, wishes) = Reloads::new();
    let reloader = Reloader {
        request,
        at_start: effective.clone(),
        effective,
        live: live.clone(),
        listening: Arc::new(listening),
        log,
    };
    until_soft(&lifecycle, "reload", reloader.run(wishes, lifecycle.clone()));
    let (handle, files) = (started.handle, Gate::default());
    let api = Api {
        handle,
        store,
        config: live,
        clock,
        bodies,
        reloads: reloads.clone(),
        metrics,
        files,
        web: Web::default(),
    };
    let stop = Stop { soft: lifecycle.soft().clone(), hard: lifecycle.hard().clone() };
    let tracker = lifecycle.tracker().clone();
    let owner = lifecycle.clone();
    lifecycle.spawn("http", async move {
        if let Err(error) = serve(api, listeners, stop, tracker).await {
            owner.fail("http", format!("failed: {error}"));
        }
    });
    info!("uwsd {} answers on {}", env!("CARGO_PKG_VERSION"), addresses.join(", "));
    lifecycle.ready();
    let soft = lifecycle.soft().clone();
    lifecycle.tracker().spawn(async move { soft.run_until_cancelled(look_at_clock()).await });
    lifecycle.run_until_stopped(signals, || reloads.ask()).await?;
    Ok(())
}

/// Warns of a clock that follows no other, which may take seconds to be told.
async fn look_at_clock() {
    if let Some(finding) = clock_not_followed().await {
        warn!("the host's clock: {}; `uwsd doctor` has a remedy", finding.sentence);
    }
}

/// Spawns a task that is dropped when the stop begins; everything that it does is safe to drop.
fn until_soft(lifecycle: &Lifecycle, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    let soft = lifecycle.soft().clone();
    lifecycle.spawn(name, async move {
        tokio::select! {
            () = task => {}
            () = soft.cancelled() => {}
        }
    });
}

fn backend(live: &Live, instance: &str, tasks: TaskTracker) -> Result<Arc<dyn Backend>, AppError> {
    let config = live.get();
    match config.backend.kind {
        BackendKind::Docker => {
            let instance = Instance(instance.to_owned());
            if let Err(error) = note_engine(&config.server.state_dir, &config.backend.docker.host, &instance) {
                warn!("a purge of the package will not find this engine: its note cannot be written: {error}");
            }
            let backend = DockerBackend::new(config.backend.docker.clone(), instance, tasks)?;
            Ok(Arc::new(backend.with_services_of(live.clone())))
        }
        BackendKind::Process => {
            ProcessBackend::check_host(&config.backend.process)?;
            Ok(Arc::new(ProcessBackend::new(&config.backend.process, &config.server.state_dir)?))
        }
    }
}

/// What keeps jobs' files to their `max_output`, if the file system does.
fn quotas(jobs_dir: &Path) -> Option<Arc<dyn Quotas>> {
    match ProjectQuotas::of(jobs_dir) {
        Ok(quotas) => {
            info!("max_output is kept by project quotas of the file system of {}", jobs_dir.display());
            Some(Arc::new(quotas))
        }
        Err(why) => {
            info!("max_output is measured every 2 s in {}: {why}", jobs_dir.display());
            None
        }
    }
}

fn make_directory(path: &Path, mode: u32) -> Result<(), AppError> {
    use std::os::unix::fs::DirBuilderExt;
    let result = std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    result.map_err(|source| AppError::Directory { path: path.to_owned(), source })
}

/// Makes the state directory and takes it for this process, until the lock is dropped.
///
/// # Errors
/// [`AppError::Running`] if another process has it, [`AppError::Lock`] if that cannot be known.
pub(crate) fn lock_state(state_dir: &Path) -> Result<Flock<File>, AppError> {
    lock(state_dir, "uwsd.lock")
}

/// Keeps other daemons from the database, whichever way leads them to it: `store.path`, their state directory, a link.
///
/// # Errors
/// [`AppError::Running`] if another process has it, [`AppError::Lock`] if that cannot be known.
pub(crate) fn lock_database(path: &Path, state_dir: &Path) -> Result<Option<Flock<File>>, AppError> {
    let path = true_path(path);
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    // Of a database with the name `uwsd` the lock would be that of the state, which is taken already.
    if name == "uwsd" && state_dir.canonicalize().is_ok_and(|state_dir| state_dir == directory) {
        return Ok(None);
    }
    match lock(directory, &format!("{}.lock", name.to_string_lossy())) {
        // The database cannot be opened there either, which tells it with the key to set.
        Err(AppError::Directory { .. }) => Ok(None),
        locked => locked.map(Some),
    }
}

/// Where a database is, or will be made, without links, as SQLite takes it: also behind a link that leads to nothing yet.
fn true_path(path: &Path) -> PathBuf {
    let beside = |path: &Path, name: &Path| path.parent().unwrap_or(Path::new("/")).join(name);
    let mut path = path.to_owned();
    // The kernel follows as many.
    for _ in 0..40 {
        let Ok(target) = path.read_link() else { break };
        path = beside(&path, &target);
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return path };
    // It is locked before it is made, and without its directory that has no place.
    drop(make_directory(directory, 0o750));
    directory.canonicalize().map_or_else(|_| path.clone(), |directory| directory.join(name))
}

fn lock(directory: &Path, name: &str) -> Result<Flock<File>, AppError> {
    make_directory(directory, 0o750)?;
    let path = directory.join(name);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.and_then(|file| give_to_owner(&file, directory).map(|()| file));
    let file = file.map_err(|source| AppError::Directory { path: directory.to_owned(), source })?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| not_locked(errno, path, directory))
}

fn not_locked(errno: Errno, path: PathBuf, directory: &Path) -> AppError {
    match errno {
        Errno::EWOULDBLOCK => AppError::Running(directory.to_owned()),
        errno => AppError::Lock { path, source: errno.into() },
    }
}

/// Gives a file that root made to whom the directory belongs: a daemon of that user must be able to use it.
fn give_to_owner(file: &File, directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let (is, owner) = (file.metadata()?, std::fs::metadata(directory)?);
    if nix::unistd::geteuid().is_root() && is.uid() != owner.uid() {
        fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

fn host_name() -> String {
    nix::unistd::gethostname().map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::chain;

    #[test]
    fn a_database_beside_the_state_is_locked_for_itself() {
        let (state, other) = (tempfile::tempdir().expect("temp dir"), tempfile::tempdir().expect("temp dir"));
        let path = other.path().join("uwsd.db");
        let _lock = lock_database(&path, state.path()).expect("nobody has it").expect("it can be locked");
        let taken = lock_database(&path, Path::new("/another/state")).expect_err("somebody has it");
        assert!(
            matches!(&taken, AppError::Running(at) if *at == other.path().canonicalize().expect("there")),
            "{taken:?}"
        );
        assert!(lock_database(&other.path().join("other.db"), state.path()).is_ok(), "that is another one");
        let nowhere = lock_database(Path::new("/proc/nowhere/uwsd.db"), state.path());
        assert!(nowhere.expect("left to the opening").is_none());
    }

    #[test]
    fn a_database_is_locked_whichever_way_leads_to_it() {
        use std::os::unix::fs::symlink;
        let (state, other) = (tempfile::tempdir().expect("temp dir"), tempfile::tempdir().expect("temp dir"));
        let (path, link) = (state.path().join("uwsd.db"), |name: &str| other.path().join(name));
        symlink(&path, link("x.db")).expect("linked");
        symlink("x.db", link("y.db")).expect("linked");
        symlink(state.path(), link("state")).expect("linked");
        symlink("circle.db", link("circle.db")).expect("linked");
        // Before it is made, and after.
        for _ in 0..2 {
            let _lock = lock_database(&path, state.path()).expect("nobody has it").expect("it can be locked");
            let odd = state.path().join("../").join(state.path().file_name().expect("a name")).join("uwsd.db");
            for way in [path.clone(), odd, link("x.db"), link("y.db"), link("state/uwsd.db")] {
                let taken = lock_database(&way, other.path()).expect_err("somebody has it");
                assert!(matches!(taken, AppError::Running(_)), "{}: {taken:?}", way.display());
            }
            assert!(lock_database(&link("circle.db"), other.path()).is_ok(), "it leads nowhere");
            std::fs::write(&path, "").expect("made");
        }
    }

    #[test]
    fn a_database_whose_lock_has_the_name_of_the_states_is_locked_with_it() {
        let state = tempfile::tempdir().expect("temp dir");
        let path = state.path().join("uwsd");
        let _lock = lock_state(state.path()).expect("nobody has it");
        assert!(lock_database(&path, state.path()).expect("that is it").is_none());
        let taken = lock_database(&path, Path::new("/another/state")).expect_err("somebody has it");
        assert!(matches!(taken, AppError::Running(_)), "{taken:?}");
    }

    #[test]
    fn only_a_lock_that_is_taken_tells_of_another_daemon() {
        let dir = tempfile::tempdir().expect("temp dir");
        let _lock = lock_state(dir.path()).expect("nobody has it");
        let taken = lock_state(dir.path()).expect_err("somebody has it");
        assert!(matches!(taken, AppError::Running(_)), "{taken:?}");
        let file = PathBuf::from("/state/uwsd.lock");
        let told = chain(&not_locked(Errno::ENOLCK, file, Path::new("/state")));
        assert!(
            told.contains("cannot lock /state/uwsd.lock") && told.ends_with(": No locks available (os error 37)"),
            "{told}"
        );
    }
}
