//! The backend itself, in the daemon.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nix::unistd::{getegid, geteuid, getgroups};
use tokio::process::Command;
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::cgroup;
use super::host::{self, HostError};
use super::inside::{PAUSE, RESUME};
use super::plan::{Host, Plan};
use super::rundir::{RunDir, Standing};
use super::supervisor::Answer;
use super::{control, entry, found};
use crate::backend::cgroup::Hierarchy;
use crate::backend::files;
use crate::backend::system::{BOOT_ID, blocking, boot_id, io_failed};
use crate::config;
use crate::domain::JobId;
use crate::ports::{
    Backend, BackendError, Ending, EngineFacts, FoundRun, ImageFacts, JobDirs, Progress, Pull, RunRef, RunSpec, User,
};

const KIND: &str = "process";
/// Between two looks at a run that nobody supervises (yet).
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// How long beyond the grace a supervisor may take to see the end of its sandbox.
const BEYOND_GRACE: Duration = Duration::from_secs(30);

/// Runs jobs as local processes inside bubblewrap.
///
/// A run outlives the daemon: its supervisor is a process of its own, and its facts are in its directory.
#[derive(Debug, Clone)]
pub struct ProcessBackend {
    runs: PathBuf,
    program: PathBuf,
    host: Host,
    /// Shared by those who make a run's directory: they go on when their caller is dropped, and a removal waits for them.
    making: Arc<RwLock<()>>,
}

impl ProcessBackend {
    /// The backend of the instance whose state is in `state_dir`.
    ///
    /// Looks at the host, removes what a daemon left halfway that was killed, and on version 2 of cgroups may move the daemon to
    /// a group of its own: to be called once, at start, before there are other processes. Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`HostError`] if this host cannot run jobs this way.
    pub fn new(config: &config::Process, state_dir: &Path) -> Result<Self, HostError> {
        let bwrap = host::locate(&config.bwrap)?;
        host::check(&bwrap, None)?;
        let program = std::env::current_exe().map_err(|e| HostError::NoProgram(e.to_string()))?;
        let host = Host {
            bwrap,
            max_log: config.max_log,
            has_network: config.host_network,
            boot_id_file: BOOT_ID.into(),
            hierarchy: Hierarchy::find(),
            user: User { uid: geteuid().as_raw(), gid: getegid().as_raw() },
            groups: getgroups().unwrap_or_default().into_iter().map(nix::unistd::Gid::as_raw).collect(),
        };
        let runs = std::path::absolute(state_dir).unwrap_or_else(|_| state_dir.to_owned()).join("runs");
        found::sweep(&runs);
        Ok(Self { runs, program, host, making: Arc::default() })
    }

    /// Looks whether this host can run jobs this way, without changing anything: what `uwsd check` and start-up ask.
    ///
    /// # Errors
    /// [`HostError`], naming the configuration key and the remedy.
    pub fn check_host(config: &config::Process) -> Result<(), HostError> {
        host::check(&host::locate(&config.bwrap)?, None).map(drop)
    }

    /// The same for a daemon of `user`; only root can ask for another than its own.
    ///
    /// # Errors
    /// As of [`Self::check_host`].
    pub(crate) fn check_host_for(config: &config::Process, user: User) -> Result<(), HostError> {
        host::check(&host::locate(&config.bwrap)?, Some(user)).map(drop)
    }

    /// The same backend whose helpers are another `uwsd` executable: for programs that are not `uwsd` themselves.
    #[must_use]
    pub fn with_program(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    /// The same backend on a host whose boot id is in another file: to see what a restart of the host does.
    #[must_use]
    pub fn with_boot_id_file(mut self, file: PathBuf) -> Self {
        self.host.boot_id_file = file;
        self
    }

    pub(super) fn dir(&self, run: &RunRef) -> RunDir {
        RunDir::new(&self.runs, &run.name())
    }

    pub(super) async fn standing(&self, run: &RunRef) -> Result<Standing, BackendError> {
        let dir = self.dir(run);
        blocking("looking where a run stands", move || dir.standing()).await
    }

    pub(super) async fn boot_id(&self) -> Result<String, BackendError> {
        let file = self.host.boot_id_file.clone();
        blocking("reading the boot id", move || boot_id(&file)).await
    }

    /// Has a run that runs do `order`.
    async fn order(&self, run: &RunRef, order: &str, doing: &'static str) -> Result<(), BackendError> {
        let dir = self.dir(run);
        let patience = Instant::now() + BEYOND_GRACE;
        while matches!(self.standing(run).await?, Standing::Supervised) {
            let left = patience.saturating_duration_since(Instant::now());
            match timeout(left, control::order(&dir, order)).await {
                Ok(obeyed) => {
                    if obeyed.map_err(|source| io_failed(doing, source))? {
                        return Ok(());
                    }
                    sleep(BETWEEN_LOOKS).await; // it does not listen yet
                }
                Err(_) => return Err(unreachable(doing, "its supervisor does not answer".to_owned())),
            }
        }
        Ok(())
    }

    async fn kill_supervisor(&self, run: &RunRef) -> Result<(), BackendError> {
        let dir = self.dir(run);
        blocking("killing a supervisor", move || {
            if let Some(started) = dir.started()? {
                warn!("the supervisor of {} does not end its run and is killed", dir.path().display());
                started.supervisor.kill();
            }
            Ok(())
        })
        .await?;
        sleep(BETWEEN_LOOKS).await;
        Ok(())
    }

    /// What follows from a supervisor that died before it answered.
    async fn unanswered(&self, run: &RunRef) -> Result<(), BackendError> {
        match self.standing(run).await? {
            Standing::Supervised | Standing::Ended(_) | Standing::Lost(_) => Ok(()), // `wait` tells
            Standing::Absent => Err(refused("starting the run", "there is no such run; it has to be created first")),
            Standing::Stopped => Err(refused("starting the run", "it was stopped")),
            Standing::Created => Err(refused("starting the run", "its supervisor could not be started")),
        }
    }
}

#[async_trait]
impl Backend for ProcessBackend {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn uses_images(&self) -> bool {
        false
    }

    fn advisory_limits(&self) -> Option<String> {
        let lacking = self.host.hierarchy.lacking();
        (!lacking.is_empty()).then(|| format!("no control groups can be made here for {}", lacking.join(", ")))
    }

    async fn probe(&self) -> Result<EngineFacts, BackendError> {
        let bwrap = self.host.bwrap.clone();
        let version = blocking("looking for bubblewrap", move || Ok(host::check(&bwrap, None)))
            .await?
            .map_err(|error| unreachable("making a sandbox", error.to_string()))?;
        Ok(EngineFacts {
            description: format!("bubblewrap {version}, {}", self.host.hierarchy.describe()),
            boot_id: Some(self.boot_id().await?),
            engine_start: None,
        })
    }

    async fn find_runs(&self) -> Result<Vec<FoundRun>, BackendError> {
        let runs = self.runs.clone();
        blocking("looking for runs", move || found::find_runs(&runs)).await
    }

    async fn fetch_image(&self, _: &str, _: Pull, _: Progress<'_>) -> Result<ImageFacts, BackendError> {
        Ok(ImageFacts::default())
    }

    async fn hand_over(&self, spec: &RunSpec) -> Result<(), BackendError> {
        let doing = "giving the job its directories";
        self.host.check_user(spec.user).map_err(|why| refused(doing, why))?;
        if self.host.user.uid != 0 {
            return Ok(()); // they are its own already
        }
        let (dirs, user) = (spec.dirs.clone(), spec.user);
        blocking(doing, move || files::give(&dirs, user)).await
    }

    async fn create(&self, spec: &RunSpec) -> Result<(), BackendError> {
        let plan = Plan::new(spec, &self.host).map_err(|why| refused("creating the run", why))?;
        let dir = self.dir(&spec.run);
        let making = Arc::clone(&self.making).read_owned().await;
        blocking("creating the run", move || {
            let made = dir.create(&plan);
            drop(making);
            made
        })
        .await
    }

    async fn start(&self, spec: &RunSpec) -> Result<(), BackendError> {
        let doing = "starting the run";
        let launch = Command::new(&self.program)
            .arg(entry::LAUNCH)
            .arg(self.dir(&spec.run).path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .await;
        let said = launch.map_err(|source| io_failed(doing, source))?.stdout;
        match Answer::parse(&String::from_utf8_lossy(&said)) {
            Some(answer) => answer.heard(doing),
            None => self.unanswered(&spec.run).await,
        }
    }

    async fn wait(&self, run: &RunRef, dirs: &JobDirs) -> Result<Ending, BackendError> {
        Ok(self.ending(run, dirs).await)
    }

    async fn pause(&self, run: &RunRef) -> Result<(), BackendError> {
        self.order(run, PAUSE, "pausing the run").await
    }

    async fn resume(&self, run: &RunRef) -> Result<(), BackendError> {
        self.order(run, RESUME, "resuming the run").await
    }

    async fn stop(&self, run: &RunRef, grace: Duration) -> Result<(), BackendError> {
        let doing = "stopping the run";
        let dir = self.dir(run);
        let noted = dir.clone();
        // Before the look: a supervisor that begins after the look sees the note.
        blocking(doing, move || match noted.note_stopped() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        })
        .await?;
        let patience = Instant::now() + grace + BEYOND_GRACE;
        loop {
            match self.standing(run).await? {
                Standing::Absent | Standing::Created | Standing::Stopped | Standing::Ended(_) => return Ok(()),
                Standing::Lost(started) => return self.lost(run, started).await.map(drop),
                Standing::Supervised => {}
            }
            let left = patience.saturating_duration_since(Instant::now());
            match timeout(left, control::attend(&dir, Some(grace))).await {
                Ok(attended) => {
                    if !attended.map_err(|source| io_failed(doing, source))? {
                        sleep(BETWEEN_LOOKS).await; // it does not listen yet
                    }
                }
                // It hangs: without it the sandbox dies, and the run is lost.
                Err(_) => self.kill_supervisor(run).await?,
            }
        }
    }

    async fn take_back(&self, spec: &RunSpec) -> Result<(), BackendError> {
        if self.host.user.uid == 0 {
            return Ok(()); // root reads everything
        }
        let output = spec.dirs.output();
        blocking("making the output readable", move || files::open_up(&output)).await
    }

    async fn remove(&self, run: &RunRef) -> Result<(), BackendError> {
        drop(self.making.write().await);
        self.stop(run, Duration::ZERO).await?;
        let (dir, hierarchy, name) = (self.dir(run), self.host.hierarchy.clone(), run.name());
        blocking("removing the run", move || {
            cgroup::remove(&hierarchy, &name);
            dir.remove()
        })
        .await
    }

    async fn remove_files(&self, job: JobId, dirs: &JobDirs, _image: Option<&str>) -> Result<(), BackendError> {
        let doing = "removing the job's files";
        let root = dirs.root.clone();
        if root.file_name().is_none_or(|name| *name != *job.to_string()) {
            return Err(refused(doing, format!("{} is not the directory of job {job}", root.display())));
        }
        blocking(doing, move || Ok(files::remove(&root))).await?.map_err(|e| refused(doing, e.to_string()))
    }
}

pub(super) fn refused(doing: &'static str, why: impl Into<String>) -> BackendError {
    BackendError::Refused { backend: KIND, doing, why: why.into() }
}

pub(super) fn unreachable(doing: &'static str, why: String) -> BackendError {
    BackendError::Unreachable { backend: KIND, doing, why }
}
