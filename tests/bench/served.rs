//! The server's side, a process of its own: this program run again as `serve null|sqlite DIR`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uwsd::backend::fake::{FakeBackend, FakeEngine};
use uwsd::config::{ListenAddress, Listener, Live, Reloads, Trust, testing};
use uwsd::http::{Api, Bodies, Passed, Stop, Web, bind, serve};
use uwsd::metrics::{MeasuredStore, Metrics};
use uwsd::ports::{Clock, Images, Store, SystemClock};
use uwsd::sources::GitSources;
use uwsd::sqlite::SqliteStore;
use uwsd::supervisor::{Gate, Parts, start};

use crate::null_store::NullStore;

/// A server under measurement; ended when dropped.
pub struct Served {
    child: Child,
    pub port: u16,
}

impl Served {
    /// Starts this program as a server with the store `kind` in `dir`.
    pub fn start(kind: &str, dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["serve", kind])
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a port");
        Self { child, port: line.trim().parse().expect("a port") }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub fn main(words: &[String]) -> ExitCode {
    let [kind, dir] = words else { return ExitCode::from(2) };
    // As the daemon's own runtime is built.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().expect("a runtime");
    runtime.block_on(run(kind, Path::new(dir)));
    ExitCode::SUCCESS
}

async fn run(kind: &str, dir: &Path) {
    let mut config = testing::config_in(dir);
    config.queue.max_running = 0;
    config.queue.max_queued = u64::MAX;
    config.server.listeners = vec![Listener {
        address: ListenAddress::Tcp("127.0.0.1:0".parse().expect("an address")),
        trust: Trust::Anonymous,
        trusted_proxies: Vec::new(),
        trusts_unix: false,
        is_insecure: false,
    }];
    let live = Live::new(config);
    let config = live.get();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (store, images): (Arc<dyn Store>, Arc<dyn Images>) = if kind == "null" {
        (Arc::new(NullStore), Arc::new(NullStore))
    } else {
        let store = Arc::new(SqliteStore::open(&config.store.path).expect("opened"));
        (Arc::clone(&store) as Arc<dyn Store>, store)
    };
    let metrics = Arc::new(Metrics::new("fake", clock.now()));
    let parts = Parts {
        store: Arc::new(MeasuredStore::new(Arc::clone(&store), Arc::clone(&metrics))),
        images,
        backend: Arc::new(FakeBackend::new(Arc::new(FakeEngine::default()))),
        quotas: None,
        sources: Arc::new(GitSources::new(config.sources.clone(), dir.join("git"), &[]).expect("git")),
        clock: Arc::clone(&clock),
        config: live.clone(),
        host: "bench".to_owned(),
        deeds: TaskTracker::new(),
    };
    let started = start(parts).await.expect("started");
    let tracker = TaskTracker::new();
    tracker.spawn(started.queue.run());
    tracker.spawn(started.retention.run());
    tracker.spawn(started.health.run());
    let (_listening, bound) = bind(&config.server, Passed::default()).expect("bound");
    if let Some(ListenAddress::Tcp(address)) = bound.addresses().next() {
        println!("{}", address.port());
        std::io::stdout().flush().expect("written");
    }
    let bodies = Bodies::new(config.server.max_body);
    let api = Api {
        handle: started.handle,
        store,
        config: live,
        clock,
        bodies,
        reloads: Reloads::new().0,
        metrics,
        files: Gate::default(),
        web: Web::default(),
    };
    let stop = Stop { soft: CancellationToken::new(), hard: CancellationToken::new() };
    serve(api, bound, stop, tracker).await.expect("served");
}
