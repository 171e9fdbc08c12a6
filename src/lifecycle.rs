//! How the daemon lives and stops: signals, shutdown tokens, the tracker of tasks, systemd's notices and watchdog.
//!
//! ```text
//! running ── SIGTERM, SIGINT, a task's unexpected end ──► soft ── a second signal, the grace ──► hard ──► gone
//! ```
//!
//! The *soft* token says: accept nothing new, end waits, reach a safe point. The *hard* token says: drop what you do. It is for what has
//! time after the soft one, as connections have to finish their requests; everything else is dropped by the soft one.
//! The main loop is [`Lifecycle::run_until_stopped`]; it also feeds the watchdog, so that a runtime that no longer
//! turns is noticed.

use std::collections::BTreeMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::time::{Instant, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

mod signals;

pub use signals::Signals;
use signals::Wish;

/// How long tasks may take to end once the hard token is cancelled, before they are left behind.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Why the daemon did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The handlers of signals could not be installed.
    #[error("signals cannot be handled")]
    Signals(#[source] io::Error),
    /// A task ended that should have run until the stop.
    #[error("task {name} {how}")]
    Task {
        /// The name that it was spawned with.
        name: &'static str,
        /// How it ended.
        how: String,
    },
    /// Tasks did not end in time.
    #[error("tasks did not stop in time: {0}")]
    Stuck(String),
}

/// The daemon's life; clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    soft: CancellationToken,
    hard: CancellationToken,
    tracker: TaskTracker,
    grace: Duration,
    next: AtomicU64,
    names: Mutex<BTreeMap<u64, &'static str>>,
    failure: Mutex<Option<LifecycleError>>,
}

impl Lifecycle {
    /// A life in which tasks have `grace` to end after the stop was asked for.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                soft: CancellationToken::new(),
                hard: CancellationToken::new(),
                tracker: TaskTracker::new(),
                grace,
                next: AtomicU64::new(0),
                names: Mutex::default(),
                failure: Mutex::default(),
            }),
        }
    }

    /// Cancelled when the stop was asked for: accept nothing new, end waits, reach a safe point.
    #[must_use]
    pub fn soft(&self) -> &CancellationToken {
        &self.shared.soft
    }

    /// Cancelled when the time for a safe point is over: drop what you do. Never before [`Self::soft`].
    #[must_use]
    pub fn hard(&self) -> &CancellationToken {
        &self.shared.hard
    }

    /// For tasks that may end at any time, such as those of connections: the stop waits for them too.
    #[must_use]
    pub fn tracker(&self) -> &TaskTracker {
        &self.shared.tracker
    }

    /// Spawns a task that runs until the soft token is cancelled.
    ///
    /// If it ends before that, or panics at any time, the stop begins and [`Self::run_until_stopped`] ends with an error.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let life = self.clone();
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        self.names().insert(number, name);
        self.shared.tracker.spawn(async move {
            let end = AssertUnwindSafe(future).catch_unwind().await;
            life.names().remove(&number);
            match end {
                Ok(()) if life.shared.soft.is_cancelled() => debug!("task {name} has stopped"),
                Ok(()) => life.fail(name, "ended unexpectedly".to_owned()),
                Err(panic) => life.fail(name, format!("panicked: {}", panic_text(panic.as_ref()))),
            }
        });
    }

    /// Begins the stop because the task `name` cannot go on; `how` completes the sentence "task {name} …".
    pub fn fail(&self, name: &'static str, how: String) {
        error!("task {name} {how}: stopping");
        let mut failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(LifecycleError::Task { name, how });
        drop(failure);
        self.shared.soft.cancel();
    }

    /// Tells systemd that requests are answered now, and that a reload is over.
    pub fn ready(&self) {
        notify(&[NotifyState::Ready]);
    }

    /// Tells systemd that the configuration is being read again.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(_) => notify(&[NotifyState::Reloading]),
        }
    }

    /// The main loop: waits for the stop, then for the tasks, and feeds the watchdog meanwhile. At SIGHUP it calls `reload`.
    ///
    /// # Errors
    /// [`LifecycleError`] if the stop was not asked for or not clean: the exit code is then not 0.
    pub async fn run_until_stopped(&self, mut signals: Signals, reload: impl Fn()) -> Result<(), LifecycleError> {
        let feed = || notify(&[NotifyState::Watchdog]);
        self.run(async || signals.next().await, reload, sd_notify::watchdog_enabled(), feed).await
    }

    async fn run(
        &self,
        mut next: impl AsyncFnMut() -> Wish,
        reload: impl Fn(),
        watchdog: Option<Duration>,
        feed: impl Fn(),
    ) -> Result<(), LifecycleError> {
        let shared = &self.shared;
        // Half of what systemd allows, as it advises; without a watchdog the beat has nothing to do and is rare.
        let mut beat = interval(watchdog.map_or(Duration::from_secs(86_400), |allowed| allowed / 2));
        let beat_now = || {
            if watchdog.is_some() {
                feed();
            }
        };

        // Every branch of these loops is cancel-safe: signals, ticks and tokens are not lost by asking again.
        while !shared.soft.is_cancelled() {
            tokio::select! {
                wish = next() => match wish {
                    Wish::Stop(signal) => {
                        info!("{signal} received: stopping");
                        shared.soft.cancel();
                    }
                    Wish::Reload => {
                        info!("SIGHUP received: reading the configuration again");
                        reload();
                    }
                },
                () = shared.soft.cancelled() => {}
                _ = beat.tick() => beat_now(),
            }
        }

        notify(&[NotifyState::Stopping]);
        shared.tracker.close();
        let deadline = Instant::now() + shared.grace;
        while !shared.hard.is_cancelled() {
            tokio::select! {
                () = shared.tracker.wait() => return self.outcome(),
                wish = next() => match wish {
                    Wish::Stop(signal) => {
                        warn!("{signal} received again: closing what is left ({})", self.running());
                        shared.hard.cancel();
                    }
                    Wish::Reload => debug!("SIGHUP ignored: stopping"),
                },
                () = sleep_until(deadline) => {
                    warn!("not stopped within {:?}: closing what is left ({})", shared.grace, self.running());
                    shared.hard.cancel();
                }
                _ = beat.tick() => beat_now(),
            }
        }

        tokio::select! {
            () = shared.tracker.wait() => self.outcome(),
            () = sleep(LAST_WAIT) => {
                self.outcome()?;
                Err(LifecycleError::Stuck(self.running()))
            }
        }
    }

    fn outcome(&self) -> Result<(), LifecycleError> {
        let failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), Err)
    }

    /// The names of the tasks that have not ended.
    fn running(&self) -> String {
        let names: Vec<&str> = self.names().values().copied().collect();
        if names.is_empty() { "requests in flight".to_owned() } else { names.join(", ") }
    }

    fn names(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, &'static str>> {
        self.shared.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Raises the soft limit of open files to the hard one: each connection, run and log takes some.
///
/// # Errors
/// The system's, which is no reason not to start.
pub fn raise_open_file_limit() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(())
}

/// Sends notices to systemd, if it listens. One small datagram: not worth a thread of its own.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        warn!("systemd cannot be notified: {e}");
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    const GRACE: Duration = Duration::from_secs(10);
    const TERM: Wish = Wish::Stop("SIGTERM");

    /// Runs a life to its end, with the wishes that are sent to it; returns how it ended and after how long.
    async fn live(life: &Lifecycle, mut wishes: mpsc::Receiver<Wish>) -> (Result<(), LifecycleError>, Duration) {
        let begin = Instant::now();
        let next = async || match wishes.recv().await {
            Some(wish) => wish,
            None => std::future::pending().await,
        };
        let end = life.run(next, || {}, None, || {}).await;
        (end, begin.elapsed())
    }

    fn wishes(wishes: &[Wish]) -> mpsc::Receiver<Wish> {
        let (sender, receiver) = mpsc::channel(8);
        for wish in wishes {
            sender.try_send(*wish).expect("room for a few");
        }
        receiver
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_stops_the_tasks_and_the_end_is_clean() {
        let life = Lifecycle::new(GRACE);
        let soft = life.soft().clone();
        life.spawn("obedient", async move { soft.cancelled().await });
        let (end, took) = live(&life, wishes(&[Wish::Reload, TERM])).await;
        end.expect("clean");
        assert!(took < GRACE && !life.hard().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_within_the_grace_is_told_to_drop_its_work() {
        let life = Lifecycle::new(GRACE);
        let hard = life.hard().clone();
        life.spawn("slow", async move { hard.cancelled().await });
        let (end, took) = live(&life, wishes(&[TERM])).await;
        end.expect("clean, though late");
        assert!(took >= GRACE && took < GRACE + LAST_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_ends_the_grace_at_once() {
        let life = Lifecycle::new(GRACE);
        let hard = life.hard().clone();
        life.spawn("slow", async move { hard.cancelled().await });
        let (end, took) = live(&life, wishes(&[TERM, TERM])).await;
        end.expect("clean");
        assert!(took < GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_never_ends_is_named_and_left_behind() {
        let life = Lifecycle::new(GRACE);
        life.spawn("stubborn", std::future::pending());
        let (end, took) = live(&life, wishes(&[TERM])).await;
        assert_eq!(end.expect_err("stuck").to_string(), "tasks did not stop in time: stubborn");
        assert!(took >= GRACE + LAST_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn the_unexpected_end_of_a_task_stops_the_others_and_is_an_error() {
        let life = Lifecycle::new(GRACE);
        let soft = life.soft().clone();
        life.spawn("obedient", async move { soft.cancelled().await });
        life.spawn("short", async {});
        let (end, _) = live(&life, wishes(&[])).await;
        assert_eq!(end.expect_err("a task ended").to_string(), "task short ended unexpectedly");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_of_a_task_is_an_error_even_during_the_stop() {
        let life = Lifecycle::new(GRACE);
        let soft = life.soft().clone();
        life.spawn("clumsy", async move {
            soft.cancelled().await;
            panic!("dropped a plate");
        });
        let (end, _) = live(&life, wishes(&[TERM])).await;
        assert_eq!(end.expect_err("a panic").to_string(), "task clumsy panicked: dropped a plate");
    }

    /// With threads to spare: a watchdog that one of them fed would go on, and hide that the loop is blocked.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_main_loop_that_is_blocked_does_not_feed_the_watchdog() {
        let life = Lifecycle::new(GRACE);
        let (beats, blocked) = (AtomicU64::new(0), Mutex::new(None));
        let count = || beats.load(Ordering::SeqCst);
        let block = || {
            let before = count();
            std::thread::sleep(Duration::from_millis(500));
            *blocked.lock().expect("no panic") = Some((before, count()));
        };
        // Asked anew after each beat, as the loop does with signals.
        let next = async || {
            let seen = *blocked.lock().expect("no panic");
            let enough = seen.map_or(0, |(_, after)| after) + 2;
            while count() < enough {
                sleep(Duration::from_millis(1)).await;
            }
            if seen.is_none() { Wish::Reload } else { TERM }
        };
        let feed = || {
            beats.fetch_add(1, Ordering::SeqCst);
        };
        let allowed = Some(Duration::from_millis(20));
        tokio::time::timeout(Duration::from_secs(30), life.run(next, block, allowed, feed))
            .await
            .expect("fed before and after")
            .expect("clean");
        let (before, after) = blocked.lock().expect("no panic").expect("it was blocked");
        assert_eq!(before, after, "fed while the loop was blocked");
    }

    #[tokio::test(start_paused = true)]
    async fn the_stop_waits_for_tracked_work() {
        let life = Lifecycle::new(GRACE);
        life.tracker().spawn(sleep(Duration::from_secs(3)));
        let (end, took) = live(&life, wishes(&[TERM])).await;
        end.expect("clean");
        assert_eq!(took, Duration::from_secs(3));
    }
}
