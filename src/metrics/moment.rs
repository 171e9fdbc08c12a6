//! What is read at a scrape and not counted before.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::process::Process;
use crate::domain::{DiskRoom, Phase, Timestamp};
use crate::ports::JobCount;

/// How the daemon is at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moment {
    /// `server.instance`.
    pub instance: String,
    /// The services that are configured.
    pub services: Vec<String>,
    /// Whether `/readyz` says so.
    pub is_ready: bool,
    /// Whether new jobs are accepted.
    pub accepts_jobs: bool,
    /// Whether the backend answered the last time it was asked.
    pub backend_answers: bool,
    /// Jobs by service and phase; `None` if the database does not tell.
    pub jobs: Option<Vec<JobCount>>,
    /// The queue.
    pub queue: QueueState,
    /// The disks that the daemon and its jobs write to.
    pub disks: Vec<DiskRoom>,
    /// With less than this free on one of them, in bytes, new jobs are refused.
    pub disk_refuse_below: u64,
    /// The database.
    pub database: DatabaseState,
    /// How many connections may be open.
    pub max_connections: u64,
    /// How many requests may wait for a change.
    pub max_waiting_requests: u64,
    /// The process.
    pub process: Process,
}

/// The job database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatabaseState {
    /// Whether it could be written the last time that was tried.
    pub is_writable: bool,
    /// The size of its file (`db`) and of its write-ahead log (`wal`), in bytes.
    pub files: Vec<(&'static str, u64)>,
}

/// The queue and what it gives out.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct QueueState {
    /// Whether an operator drains it.
    pub is_drained: bool,
    /// Jobs that are PENDING, QUEUED or HELD.
    pub waiting: u64,
    /// How many may be.
    pub max_waiting: u64,
    /// Jobs that have a place: they are prepared, run or are brought to an end.
    pub running: u64,
    /// How many may.
    pub max_running: u64,
    /// CPUs reserved by them.
    pub reserved_cpus: f64,
    /// CPUs given out in all.
    pub cpus: f64,
    /// Memory reserved by them, in bytes.
    pub reserved_memory: u64,
    /// Memory given out in all, in bytes.
    pub memory: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPhase {
    service: String,
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPlace {
    place: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFile {
    file: &'static str,
}

type Bytes = Gauge<u64, AtomicU64>;

impl Moment {
    /// A registry of this moment alone. Of each service each phase is told, also one that no job is in.
    pub(super) fn registry(&self, backend: &'static str, started: Timestamp) -> Registry {
        let mut registry = Registry::default();
        // Not `instance`: a scraper gives that name to the address which it scrapes.
        let what = Info::new([("instance_name", self.instance.clone()), ("backend", backend.to_owned())]);
        registry.register("uwsd", "The configured name of the daemon and the kind of its backend", what);
        self.state(&mut registry);
        self.jobs(&mut registry);
        self.queue(&mut registry);
        self.disks(&mut registry);
        self.limits(&mut registry);
        self.process(&mut registry, started);
        registry
    }

    fn state(&self, registry: &mut Registry) {
        let mut flag = |name, help, is_so| registry.register(name, help, ConstGauge::new(u64::from(is_so)));
        flag("uwsd_ready", "Whether jobs are accepted and can run, as /readyz says", self.is_ready);
        let help = "Whether operator, room and database allow new jobs";
        flag("uwsd_accepting_jobs", help, self.accepts_jobs);
        flag("uwsd_backend_up", "Whether the backend answered when it was last asked", self.backend_answers);
        let help = "Whether the job database could be written when that was last tried";
        flag("uwsd_database_writable", help, self.database.is_writable);
    }

    fn jobs(&self, registry: &mut Registry) {
        let Some(jobs) = &self.jobs else { return };
        let family = Family::<OfPhase, Gauge<u64, AtomicU64>>::default();
        for service in &self.services {
            for phase in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Unknown) {
                drop(family.get_or_create(&OfPhase { service: service.clone(), phase: phase.as_str() }));
            }
        }
        for JobCount { service, phase, jobs } in jobs {
            family.get_or_create(&OfPhase { service: service.clone(), phase: phase.as_str() }).set(*jobs);
        }
        registry.register("uwsd_jobs", "Jobs by phase", family);
    }

    fn queue(&self, registry: &mut Registry) {
        let queue = &self.queue;
        let mut number = |name, help, value: u64| registry.register(name, help, ConstGauge::new(value));
        number("uwsd_drained", "Whether an operator drains the daemon", u64::from(queue.is_drained));
        number("uwsd_queue_waiting", "Jobs that are PENDING, QUEUED or HELD", queue.waiting);
        number("uwsd_queue_waiting_limit", "How many jobs may be PENDING, QUEUED or HELD", queue.max_waiting);
        number("uwsd_queue_running", "Jobs that are prepared, run or are brought to an end", queue.running);
        number("uwsd_queue_running_limit", "How many jobs may be running", queue.max_running);
        let cpus = ConstGauge::new(queue.reserved_cpus);
        registry.register("uwsd_queue_reserved_cpus", "CPUs that running jobs reserve", cpus);
        registry.register("uwsd_queue_cpus", "CPUs that are given out in all", ConstGauge::new(queue.cpus));
        let help = "Memory that running jobs reserve";
        of_bytes(registry, "uwsd_queue_reserved_memory", help, ConstGauge::new(queue.reserved_memory));
        let help = "Memory that is given out in all";
        of_bytes(registry, "uwsd_queue_memory", help, ConstGauge::new(queue.memory));
    }

    fn disks(&self, registry: &mut Registry) {
        let (free, size) = (Family::<OfPlace, Bytes>::default(), Family::<OfPlace, Bytes>::default());
        for room in &self.disks {
            let labels = OfPlace { place: room.place };
            free.get_or_create(&labels).set(room.free);
            size.get_or_create(&labels).set(room.size);
        }
        of_bytes(registry, "uwsd_disk_free", "Free room on the disk of a place", free);
        of_bytes(registry, "uwsd_disk_size", "The size of the disk of a place", size);
        let help = "With less room on a disk new jobs are refused";
        of_bytes(registry, "uwsd_disk_refuse_below", help, ConstGauge::new(self.disk_refuse_below));
        let files = Family::<OfFile, Bytes>::default();
        for (file, bytes) in &self.database.files {
            files.get_or_create(&OfFile { file }).set(*bytes);
        }
        of_bytes(registry, "uwsd_database_size", "The size of the job database and of its write-ahead log", files);
    }

    fn limits(&self, registry: &mut Registry) {
        let mut number = |name, help, value: u64| registry.register(name, help, ConstGauge::new(value));
        number("uwsd_http_connections_limit", "How many connections may be open", self.max_connections);
        let help = "How many requests may wait for a change of a job's phase";
        number("uwsd_http_waiting_requests_limit", help, self.max_waiting_requests);
    }

    /// Under the names that every client library gives them.
    fn process(&self, registry: &mut Registry, started: Timestamp) {
        let Process { cpu_seconds, resident_bytes, virtual_bytes, threads, open_fds, max_fds } = self.process;
        if let Some(seconds) = cpu_seconds {
            let help = "CPU time used by the daemon, without its jobs";
            registry.register_with_unit("process_cpu", help, Unit::Seconds, ConstCounter::new(seconds));
        }
        if let Some(bytes) = resident_bytes {
            of_bytes(
                registry,
                "process_resident_memory",
                "Memory of the daemon that is in RAM",
                ConstGauge::new(bytes),
            );
        }
        if let Some(bytes) = virtual_bytes {
            of_bytes(registry, "process_virtual_memory", "Address space of the daemon", ConstGauge::new(bytes));
        }
        let mut number = |name, help, value: Option<u64>| {
            if let Some(value) = value {
                registry.register(name, help, ConstGauge::new(value));
            }
        };
        number("process_threads", "Threads of the daemon", threads);
        number("process_open_fds", "File descriptors that the daemon has open", open_fds);
        number("process_max_fds", "How many file descriptors the daemon may have open", max_fds);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds are whole in an f64 for 285,000 years")]
        let started = ConstGauge::new(started.millis() as f64 / 1e3);
        let help = "When the daemon was started, since the Unix epoch";
        registry.register_with_unit("process_start_time", help, Unit::Seconds, started);
    }
}

fn of_bytes(registry: &mut Registry, name: &'static str, help: &'static str, metric: impl Metric) {
    registry.register_with_unit(name, help, Unit::Bytes, metric);
}
