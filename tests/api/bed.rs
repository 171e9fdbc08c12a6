//! A daemon in this process, on a port of its own.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uwsd::backend::fake::{FakeBackend, FakeEngine};
use uwsd::config::{Config, ListenAddress, Listener, Live, Reloads, Trust, testing};
use uwsd::domain::{JobId, NewJob, Phase, Reservation, Source, Timestamp, Work};
use uwsd::http::{Api, Bodies, Passed, Stop, Web, bind, serve};
use uwsd::metrics::{MeasuredBackend, MeasuredStore, Metrics};
use uwsd::ports::{Backend, Checkout, Clock, Images, SourceError, Sources, Store, SystemClock, UnfitSource};
use uwsd::sqlite::SqliteStore;
use uwsd::supervisor::{Gate, Parts, start};

use crate::client::{Answer, Client};

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
        SystemClock.since_boot()
    }

    fn boot(&self) -> Option<&str> {
        SystemClock.boot()
    }
}

struct NoSources;

#[async_trait]
impl Sources for NoSources {
    fn check(&self, source: &Source) -> Result<(), UnfitSource> {
        let unfit = |field, why: &str| Err(UnfitSource { field, why: why.to_owned() });
        if source.url.starts_with("ext::") {
            unfit("url", "the protocol ext is not allowed")
        } else if source.commit_ref.contains("..") {
            unfit("commit_ref", "the commit ref holds \"..\"")
        } else {
            Ok(())
        }
    }

    async fn checkout(&self, _: &Source, _: &Path) -> Result<Checkout, SourceError> {
        Ok(Checkout { commit: "c0ffee".to_owned() })
    }

    async fn prefetch(&self, _: &str) -> Result<(), SourceError> {
        Ok(())
    }
}

/// What a daemon is started with.
pub struct Bed {
    pub dir: TempDir,
    pub config: Config,
    pub engine: Arc<FakeEngine>,
    /// Whether the engine answers from the beginning.
    pub engine_answers: bool,
    /// What reads of jobs' files go through.
    pub files: Gate,
    /// Whether the supervisor sees the test's own store too.
    pub is_odd_within: bool,
}

impl Bed {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut config = testing::config_in(dir.path());
        let address = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        config.server.listeners = vec![listener(address)];
        Self { dir, config, engine: Arc::default(), engine_answers: true, files: Gate::default(), is_odd_within: false }
    }

    /// Jobs are accepted and wait for ever.
    pub fn without_runs() -> Self {
        let mut bed = Self::new();
        bed.config.queue.max_running = 0;
        bed
    }

    pub async fn start(self) -> Daemon {
        self.start_over(|store| store as Arc<dyn Store>).await
    }

    /// Starts with a store of the test's own before the real one.
    pub async fn start_over(self, before: impl FnOnce(Arc<SqliteStore>) -> Arc<dyn Store>) -> Daemon {
        let Self { dir, config, engine, engine_answers, files, is_odd_within } = self;
        let store = Arc::new(SqliteStore::open(&config.store.path).expect("opened"));
        let seen = before(Arc::clone(&store));
        let within = if is_odd_within { Arc::clone(&seen) } else { Arc::clone(&store) as Arc<dyn Store> };
        engine.reboot("boot-1");
        engine.set_silent(!engine_answers);
        let clock = Arc::<ShiftedClock>::default();
        let live = Live::new(config);
        let config = live.get();
        let backend = Arc::new(FakeBackend::new(Arc::clone(&engine)));
        let metrics = Arc::new(Metrics::new(backend.kind(), clock.now()));
        let tracker = TaskTracker::new();
        let parts = Parts {
            store: Arc::new(MeasuredStore::new(within, Arc::clone(&metrics))),
            images: Arc::clone(&store) as Arc<dyn Images>,
            backend: Arc::new(MeasuredBackend::new(backend, Arc::clone(&metrics))),
            quotas: None,
            sources: Arc::new(NoSources),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            config: live.clone(),
            host: "testhost".to_owned(),
            deeds: tracker.clone(),
        };
        let started = start(parts).await.expect("started");
        let api = Api {
            handle: started.handle,
            store: seen,
            config: live.clone(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            bodies: Bodies::new(config.server.max_body),
            reloads: Reloads::new().0,
            metrics,
            files,
            web: Web::default(),
        };
        let (_, bound) = bind(&config.server, Passed::default()).expect("bound");
        let addresses: Vec<ListenAddress> = bound.addresses().cloned().collect();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(started.queue.run());
        tasks.spawn(started.retention.run());
        tasks.spawn(started.health.run());
        tasks.spawn(started.images.run());
        tasks.spawn(started.disk.run());
        tasks.spawn(started.store.run());
        let mut server = JoinSet::new();
        let both = Stop { soft: stop.clone(), hard: CancellationToken::new() };
        server.spawn(serve(api, bound, both, tracker.clone()));
        let daemon = Daemon { dir, config, engine, clock, store, addresses, stop, tracker, server, _tasks: tasks };
        let expected = if engine_answers { 200 } else { 503 };
        eventually("the daemon to look at its engine", || async {
            let ready = daemon.client().get("/readyz").await;
            (ready.status == expected && !ready.text().starts_with("starting")).then_some(())
        })
        .await;
        daemon
    }
}

pub const fn listener(address: ListenAddress) -> Listener {
    Listener { address, trust: Trust::Anonymous, trusted_proxies: Vec::new(), trusts_unix: false, is_insecure: false }
}

/// A running daemon; dropping it is as hard as a kill.
pub struct Daemon {
    pub dir: TempDir,
    pub config: Arc<Config>,
    pub engine: Arc<FakeEngine>,
    pub clock: Arc<ShiftedClock>,
    pub store: Arc<SqliteStore>,
    pub addresses: Vec<ListenAddress>,
    pub stop: CancellationToken,
    /// Of the tasks that a stop waits for.
    pub tracker: TaskTracker,
    pub server: JoinSet<std::io::Result<()>>,
    _tasks: JoinSet<()>,
}

impl Daemon {
    /// A client that opens a connection for each request.
    pub fn client(&self) -> Client {
        Client::new(self.addresses[0].clone())
    }

    /// Submits a command and returns the job's id.
    pub async fn submit(&self, command: &str) -> String {
        let answer = self.put(&json!({ "command": command })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["jobId"].as_str().expect("a job id").to_owned()
    }

    pub async fn put(&self, request: &Value) -> Answer {
        self.client().put_json("/api/v1/job", &request.to_string()).await
    }

    pub async fn job(&self, id: &str) -> Value {
        let answer = self.client().get(&format!("/api/v1/job/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    pub async fn reaches(&self, id: &str, phase: &str) -> Value {
        eventually(&format!("{id} to be {phase}"), || async {
            let job = self.job(id).await;
            (job["phase"] == phase).then_some(job)
        })
        .await
    }

    /// Puts jobs straight into the store, where so many requests would test something else; their ids, newest first.
    pub async fn fill(&self, jobs: u32) -> Vec<String> {
        self.fill_with(jobs, "print 1").await
    }

    /// The same with a command of the test's own.
    pub async fn fill_with(&self, jobs: u32, command: &str) -> Vec<String> {
        let now = self.clock.now();
        let stored = join_all((0..jobs).map(|_| self.store.submit(new_job(command, now)))).await;
        let mut ids: Vec<(i64, String)> = stored
            .into_iter()
            .map(|job| job.map(|accepted| (accepted.job.seq, accepted.job.id.to_string())).expect("kept"))
            .collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// The daemon's time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The number of jobs that the list shows.
    pub async fn listed(&self) -> usize {
        self.client().get("/api/v1/job").await.json().as_array().expect("a list").len()
    }
}

/// A job of the service `ocps`, queued, without limits.
pub fn new_job(command: &str, now: Timestamp) -> NewJob {
    NewJob {
        id: JobId::new(now),
        service: "ocps".to_owned(),
        owner: None,
        run_id: None,
        phase: Phase::Queued,
        created_at: now,
        since_boot: SystemClock.since_boot(),
        execution_duration: None,
        destruction: None,
        reservation: Reservation { cpus: 1.0, memory: 1 },
        work: Work::of_command(command),
        idempotency: None,
        is_exclusive: false,
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
