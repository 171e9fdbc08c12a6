//! What goes wrong, when, and for whom.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::bed::{Bed, Mode};
use crate::processes;

/// A sequence of numbers that a seed gives (`SplitMix64`).
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the daemon.
    DaemonKilled,
    /// The daemon is stopped by SIGTERM.
    DaemonStopped,
    /// `kill -9` of the engine.
    EngineKilled,
    /// The engine is stopped by SIGTERM, and its containers with it.
    EngineStopped,
    /// The engine does not answer for longer than its clients wait.
    EngineHangs,
    /// Everything ends at once; the host has another boot id afterwards.
    PowerLost,
    /// Almost no room on the disk.
    DiskLow,
    /// No room at all.
    DiskFull,
    /// The container of a job is removed; without an engine, what looks after its process is killed.
    RunRemoved,
    /// The container of a job is killed; without an engine, its command.
    RunKilled,
}

impl Fault {
    const ALL: [Self; 10] = [
        Self::DaemonKilled,
        Self::DaemonStopped,
        Self::EngineKilled,
        Self::EngineStopped,
        Self::EngineHangs,
        Self::PowerLost,
        Self::DiskLow,
        Self::DiskFull,
        Self::RunRemoved,
        Self::RunKilled,
    ];

    const fn is_of_engine(self) -> bool {
        matches!(self, Self::EngineKilled | Self::EngineStopped | Self::EngineHangs)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::DaemonKilled => "daemon killed",
            Self::DaemonStopped => "daemon stopped",
            Self::EngineKilled => "engine killed",
            Self::EngineStopped => "engine stopped",
            Self::EngineHangs => "engine hangs",
            Self::PowerLost => "power lost",
            Self::DiskLow => "disk low",
            Self::DiskFull => "disk full",
            Self::RunRemoved => "run removed",
            Self::RunKilled => "run killed",
        }
    }
}

/// A fault that happened.
#[derive(Debug, Clone)]
pub struct Done {
    pub fault: Fault,
    pub from: Instant,
    pub to: Instant,
    /// The job whose container it was.
    pub job: Option<String>,
}

pub struct Faults {
    bed: Arc<Bed>,
    random: Mutex<Random>,
    done: Mutex<Vec<Done>>,
}

impl Faults {
    pub fn new(bed: Arc<Bed>, seed: u64) -> Self {
        Self { bed, random: Mutex::new(Random::new(seed)), done: Mutex::new(Vec::new()) }
    }

    fn random(&self, below: u64) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).next() % below
    }

    fn choose(&self, of: usize) -> usize {
        usize::try_from(self.random(of as u64)).expect("small")
    }

    /// Has something go wrong again and again until `end`; everything is whole when this returns.
    pub async fn until(&self, end: Instant) {
        let mut boots = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(500 + self.random(4000))).await;
            if Instant::now() >= end {
                return;
            }
            let fault = Fault::ALL[self.choose(Fault::ALL.len())];
            if fault.is_of_engine() && self.bed.engine.is_none() {
                continue;
            }
            let from = Instant::now();
            let job = self.provoke(fault, &mut boots).await;
            let is_none = matches!(fault, Fault::RunRemoved | Fault::RunKilled) && job.is_none();
            if !is_none {
                let done = Done { fault, from, to: Instant::now(), job };
                self.done.lock().unwrap_or_else(PoisonError::into_inner).push(done);
            }
        }
    }

    async fn provoke(&self, fault: Fault, boots: &mut u32) -> Option<String> {
        let bed = &self.bed;
        match fault {
            Fault::DaemonKilled => {
                bed.end_daemon(Signal::SIGKILL);
                self.pause(2000).await;
                bed.start_daemon().await;
            }
            Fault::DaemonStopped => {
                bed.end_daemon(Signal::SIGTERM);
                self.pause(2000).await;
                bed.start_daemon().await;
            }
            Fault::EngineKilled => {
                self.engine("--crash").await;
                self.pause(3000).await;
                self.engine("--again").await;
            }
            Fault::EngineStopped if bed.mode == Mode::LiveRestore => {
                self.signal_engine(Signal::SIGTERM);
                self.pause(3000).await;
                self.engine("--crash").await;
                self.engine("--again").await;
            }
            Fault::EngineStopped => {
                self.engine("--stop").await;
                self.pause(3000).await;
                self.start_engine().await;
            }
            Fault::EngineHangs => {
                self.signal_engine(Signal::SIGSTOP);
                self.pause(8000).await;
                self.signal_engine(Signal::SIGCONT);
            }
            Fault::PowerLost => {
                bed.end_daemon(Signal::SIGKILL);
                self.engine("--power-off").await;
                processes::end_all(bed);
                *boots += 1;
                bed.set_boot_id(*boots);
                self.start_engine().await;
                bed.start_daemon().await;
            }
            Fault::DiskLow | Fault::DiskFull => {
                bed.fill_disk(if fault == Fault::DiskLow { 50 } else { 0 });
                // Now and then it is started when there is no room.
                if self.random(4) == 0 {
                    bed.end_daemon(Signal::SIGKILL);
                    bed.start_daemon().await;
                }
                tokio::time::sleep(Duration::from_millis(2000 + self.random(4000))).await;
                bed.free_disk();
            }
            Fault::RunRemoved | Fault::RunKilled => {
                let is_removal = fault == Fault::RunRemoved;
                return match &bed.engine {
                    Some(engine) => engine.hit(is_removal, |of| self.choose(of)).await,
                    None => processes::hit(bed, is_removal, |of| self.choose(of)),
                };
            }
        }
        None
    }

    async fn pause(&self, most: u64) {
        tokio::time::sleep(Duration::from_millis(self.random(most))).await;
    }

    fn signal_engine(&self, signal: Signal) {
        if let Some(engine) = &self.bed.engine {
            engine.signal(signal);
        }
    }

    async fn start_engine(&self) {
        self.engine("").await;
    }

    /// Has the engine's script do something; nothing: it starts it.
    async fn engine(&self, deed: &'static str) {
        if let Some(engine) = self.bed.engine.clone() {
            tokio::task::spawn_blocking(move || {
                engine.deed(if deed.is_empty() { &[] } else { std::slice::from_ref(&deed) });
            })
            .await
            .expect("done");
        }
    }

    pub fn done(&self) -> Vec<Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn counts(&self) -> BTreeMap<&'static str, u32> {
        let mut counts = BTreeMap::new();
        for done in self.done() {
            *counts.entry(done.fault.name()).or_default() += 1;
        }
        counts
    }
}
