//! A supervisor that can be stopped and started again over the same state and the same engine.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;
use uwsd::backend::fake::{FakeBackend, FakeEngine};
use uwsd::config::{Config, Live, testing};
use uwsd::domain::{Caller, Job, JobId, Phase, Source, Timestamp, Work};
use uwsd::ports::{Checkout, Clock, Images, Quotas, SourceError, Sources, Store, SystemClock, UnfitSource};
use uwsd::sqlite::SqliteStore;
use uwsd::supervisor::{Asked, Denied, Handle, Parts, Submission, start};

/// A wall clock that a test can set forward.
#[derive(Default)]
pub struct ShiftedClock(AtomicI64);

impl ShiftedClock {
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).expect("a test's time"), Ordering::SeqCst);
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(SystemClock.now().millis() + self.0.load(Ordering::SeqCst))
    }

    fn since_boot(&self) -> Duration {
        SystemClock.since_boot() + Duration::from_millis(self.0.load(Ordering::SeqCst).unsigned_abs())
    }

    fn boot(&self) -> Option<&str> {
        SystemClock.boot()
    }
}

/// Sources whose URL says what happens.
struct FakeSources;

#[async_trait]
impl Sources for FakeSources {
    fn check(&self, source: &Source) -> Result<(), UnfitSource> {
        let unfit = || UnfitSource { field: "url", why: "ext:: is not allowed".to_owned() };
        if source.url.starts_with("ext::") { Err(unfit()) } else { Ok(()) }
    }

    async fn checkout(&self, source: &Source, into: &Path) -> Result<Checkout, SourceError> {
        match source.url.as_str() {
            "git://slow" => std::future::pending().await,
            "git://gone" => Err(SourceError::Network("could not resolve host".to_owned())),
            "git://no" => Err(SourceError::Refused("no such ref".to_owned())),
            url => {
                if let Some(path) = url.strip_prefix("git://after") {
                    while !Path::new(path).exists() {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
                std::fs::write(into.join("README"), "hello").expect("src is there");
                Ok(Checkout { commit: "c0ffee".to_owned() })
            }
        }
    }

    async fn prefetch(&self, _: &str) -> Result<(), SourceError> {
        Ok(())
    }
}

pub struct Bed {
    /// Removed with the bed.
    #[expect(dead_code, reason = "it is removed when the bed is dropped")]
    kept: TempDir,
    pub engine: Arc<FakeEngine>,
    pub clock: Arc<ShiftedClock>,
    pub config: Config,
    /// What keeps jobs' files to their room.
    pub quotas: Option<Arc<dyn Quotas>>,
}

/// A running supervisor; dropping it is as hard as a kill.
pub struct Daemon {
    pub handle: Handle,
    pub store: Arc<SqliteStore>,
    _tasks: JoinSet<()>,
}

impl Bed {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let config = testing::config_in(dir.path());
        let engine = Arc::new(FakeEngine::default());
        engine.reboot("boot-1");
        Self { kept: dir, engine, clock: Arc::default(), config, quotas: None }
    }

    pub async fn start(&self) -> Daemon {
        let store = Arc::new(SqliteStore::open(&self.config.store.path).expect("opened"));
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            images: Arc::clone(&store) as Arc<dyn Images>,
            backend: Arc::new(FakeBackend::new(Arc::clone(&self.engine))),
            quotas: self.quotas.clone(),
            sources: Arc::new(FakeSources),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            config: Live::new(self.config.clone()),
            host: "testhost".to_owned(),
            deeds: TaskTracker::new(),
        };
        let started = start(parts).await.expect("started");
        let mut tasks = JoinSet::new();
        tasks.spawn(started.queue.run());
        tasks.spawn(started.retention.run());
        tasks.spawn(started.health.run());
        tasks.spawn(started.images.run());
        Daemon { handle: started.handle, store, _tasks: tasks }
    }
}

pub fn work(command: &str) -> Work {
    Work { source: Some(Source::default()), ..Work::of_command(command) }
}

impl Daemon {
    pub async fn submit(&self, command: &str) -> JobId {
        self.submit_work(work(command)).await.expect("accepted").id
    }

    pub async fn submit_work(&self, work: Work) -> Result<Job, Denied> {
        self.create(work, true).await
    }

    /// Makes a job that waits for somebody to run it.
    pub async fn submit_pending(&self, command: &str) -> JobId {
        self.create(work(command), false).await.expect("accepted").id
    }

    async fn create(&self, work: Work, is_run: bool) -> Result<Job, Denied> {
        let submission = Submission {
            service: "ocps".to_owned(),
            run_id: None,
            work,
            is_run,
            execution_duration: Asked::Default,
            destruction: Asked::Default,
            idempotency_key: None,
        };
        self.handle.submit(&Caller::Anonymous, submission, None).await
    }

    pub async fn job(&self, id: JobId) -> Job {
        self.store.job(id).await.expect("read").expect("there")
    }

    pub async fn reaches(&self, id: JobId, phase: Phase) -> Job {
        eventually(&format!("{id} to be {phase}"), || async {
            let job = self.job(id).await;
            assert!(job.phase == phase || !job.phase.is_final(), "{phase} expected: {job:?}");
            (job.phase == phase).then_some(job)
        })
        .await
    }

    pub async fn ends(&self, id: JobId) -> Job {
        eventually(&format!("{id} to end"), || async {
            let job = self.job(id).await;
            job.phase.is_final().then_some(job)
        })
        .await
    }
}

/// Waits for a condition, at most ten seconds.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
