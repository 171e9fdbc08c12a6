//! What goes wrong, when, and for whom.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bollard::query_parameters::{
    KillContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bed::Bed;

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
    /// The container of a job is removed.
    ContainerRemoved,
    /// The container of a job is killed.
    ContainerKilled,
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
        Self::ContainerRemoved,
        Self::ContainerKilled,
    ];

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
            Self::ContainerRemoved => "container removed",
            Self::ContainerKilled => "container killed",
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

    /// Has something go wrong again and again until `end`; everything is whole when this returns.
    pub async fn until(&self, end: Instant) {
        let mut boots = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(500 + self.random(4000))).await;
            if Instant::now() >= end {
                return;
            }
            let fault = Fault::ALL[usize::try_from(self.random(Fault::ALL.len() as u64)).expect("small")];
            let from = Instant::now();
            let job = self.provoke(fault, &mut boots).await;
            let is_none = matches!(fault, Fault::ContainerRemoved | Fault::ContainerKilled) && job.is_none();
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
            Fault::EngineStopped if bed.is_live_restore => {
                kill(Pid::from_raw(bed.engine_pid()), Signal::SIGTERM).expect("sent");
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
                let engine = Pid::from_raw(bed.engine_pid());
                kill(engine, Signal::SIGSTOP).expect("sent");
                self.pause(8000).await;
                kill(engine, Signal::SIGCONT).expect("sent");
            }
            Fault::PowerLost => {
                bed.end_daemon(Signal::SIGKILL);
                self.engine("--power-off").await;
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
            Fault::ContainerRemoved | Fault::ContainerKilled => return self.hit(fault).await,
        }
        None
    }

    async fn pause(&self, most: u64) {
        tokio::time::sleep(Duration::from_millis(self.random(most))).await;
    }

    async fn engine(&self, deed: &'static str) {
        let bed = Arc::clone(&self.bed);
        tokio::task::spawn_blocking(move || bed.engine(&[deed])).await.expect("done");
    }

    async fn start_engine(&self) {
        let bed = Arc::clone(&self.bed);
        tokio::task::spawn_blocking(move || bed.engine(&[])).await.expect("done");
    }

    /// Removes or kills the container of some job; returns which.
    async fn hit(&self, fault: Fault) -> Option<String> {
        let docker = self.bed.docker();
        let labels = std::collections::HashMap::from([("label", vec!["org.uwsd.replica"])]);
        let list = ListContainersOptionsBuilder::default().filters(&labels).build();
        let running = docker.list_containers(Some(list)).await.ok()?;
        let mut ours: Vec<_> = running.into_iter().filter(|found| !crate::left::is_foreign(found)).collect();
        if ours.is_empty() {
            return None;
        }
        let found = ours.swap_remove(usize::try_from(self.random(ours.len() as u64)).expect("small"));
        let (id, job) = (found.id?, found.labels?.remove("org.uwsd.job")?);
        let hit = if fault == Fault::ContainerRemoved {
            let options = RemoveContainerOptionsBuilder::default().force(true).build();
            docker.remove_container(&id, Some(options)).await
        } else {
            docker.kill_container(&id, Some(KillContainerOptionsBuilder::default().signal("SIGKILL").build())).await
        };
        hit.is_ok().then_some(job)
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
