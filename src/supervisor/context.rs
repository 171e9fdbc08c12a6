//! What the supervisor's tasks share, and how they are started.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::task::TaskTracker;

use crate::config::Live;
use crate::domain::{Job, JobId, OwnerId};
use crate::ports::{Backend, Clock, EngineFacts, Images, JobDirs, Quotas, RunRef, Sources, Store, StoreError};

use super::disk::{self, DiskWatch};
use super::figures::Noted;
use super::file_image::Refetches;
use super::gate::Gate;
use super::handle::{Handle, Readiness, Shared};
use super::health::Health;
use super::message::Message;
use super::queue_loop::QueueLoop;
use super::quote::Experience;
use super::retention::Retention;
use super::store_watch::StoreWatch;
use super::unused_images::{Claims, UnusedImages};
use super::uploads::Uploads;

/// How many wishes may wait for the supervisor.
const INBOX: usize = 256;

/// What the supervisor is made of.
pub struct Parts {
    /// Where jobs are kept.
    pub store: Arc<dyn Store>,
    /// What is kept of the images that were pulled for them.
    pub images: Arc<dyn Images>,
    /// Where they run.
    pub backend: Arc<dyn Backend>,
    /// What keeps their files to the room that they may take; `None`: nothing does, and it is measured.
    pub quotas: Option<Arc<dyn Quotas>>,
    /// Where their sources come from.
    pub sources: Arc<dyn Sources>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The configuration.
    pub config: Live,
    /// The name of this host, for the jobs' records.
    pub host: String,
    /// Whose tasks the stop waits for: what was begun for a request.
    pub deeds: TaskTracker,
}

/// The supervisor's door and its six tasks; the caller runs them until the daemon goes down.
pub struct Started {
    /// What request handlers use.
    pub handle: Handle,
    /// Starts jobs and hears wishes.
    pub queue: QueueLoop,
    /// Destroys jobs in time and removes what deleted ones left.
    pub retention: Retention,
    /// Looks whether the backend answers.
    pub health: Health,
    /// Looks whether the store can be written.
    pub store: StoreWatch,
    /// Removes images that no job has used for long.
    pub images: UnusedImages,
    /// Looks whether there is room.
    pub disk: DiskWatch,
}

/// What drivers, recovery and retention need.
pub(super) struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) quotas: Option<Arc<dyn Quotas>>,
    pub(super) images: Arc<dyn Images>,
    pub(super) claims: Claims,
    pub(super) refetches: Refetches,
    pub(super) inbox: mpsc::Sender<Message>,
    pub(super) engine: Mutex<Option<EngineFacts>>,
    pub(super) jobs_dir: PathBuf,
    pub(super) host: String,
}

impl Context {
    pub(super) fn dirs(&self, job: JobId) -> JobDirs {
        JobDirs { root: self.jobs_dir.join(job.to_string()) }
    }

    /// What the log entries of a job's run have in common.
    pub(super) fn span(&self, job: &Job) -> tracing::Span {
        run_span(job, self.backend.kind())
    }

    /// How long after its end a job that was deleted while active still reads `aborted`.
    pub(super) fn visible_for(&self) -> Duration {
        self.shared.config.get().json.deletion_visible
    }

    pub(super) fn engine(&self) -> Option<EngineFacts> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The span of a job's run on a backend of this kind; `owner` is in it where the job has one. In the journal they are fields.
fn run_span(job: &Job, kind: &'static str) -> tracing::Span {
    let owner = job.owner.as_ref().map(OwnerId::as_str);
    tracing::info_span!("run", job.id = %job.id, service = job.service, owner, run.backend = kind)
}

/// The runs of a job, one a replica.
pub(super) fn runs(job: &Job) -> impl Iterator<Item = RunRef> + use<> {
    let (id, replicas) = (job.id, job.work.replicas);
    (0..replicas).map(move |replica| RunRef { job: id, replica, replicas })
}

/// Makes the supervisor. Nothing runs before the caller runs its tasks; the handle accepts jobs at once.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub async fn start(parts: Parts) -> Result<Started, StoreError> {
    let Parts { store, images, backend, quotas, sources, clock, config: live, host, deeds } = parts;
    let config = live.get();
    let totals = store.totals().await?;
    let drained = store.drained().await?;
    let (inbox, wishes) = mpsc::channel(INBOX);
    let (readiness, _) = watch::channel(Readiness::Starting(format!("looking for the {} backend", backend.kind())));
    let shared = Arc::new(Shared {
        store,
        sources,
        clock,
        config: live,
        waiting: AtomicU64::new(totals.waiting),
        wake: Notify::new(),
        swept: Notify::new(),
        doubt: Notify::new(),
        standings: Mutex::new(HashMap::new()),
        readiness,
        disk: watch::Sender::default(),
        drained: watch::Sender::new(drained),
        unwritable: watch::Sender::default(),
        waiters: Arc::default(),
        is_reconciled: AtomicBool::new(false),
        deeds,
        fetches: TaskTracker::new(),
        experience: Experience::default(),
        uploads: Uploads::new(config.server.state_dir.join("uploads")),
        gate: Gate::default(),
        negotiation: tokio::sync::Mutex::new(()),
        noted: Noted::default(),
    });
    let mut places = vec![("state", config.server.state_dir.clone()), (disk::JOBS, config.server.jobs_dir.clone())];
    places.extend(config.store.path.parent().map(|dir| ("database", dir.to_owned())));
    shared.uploads.sweep(&*shared.store).await?;
    let context = Arc::new(Context {
        shared: Arc::clone(&shared),
        backend,
        quotas,
        images,
        claims: Claims::default(),
        refetches: Refetches::default(),
        inbox: inbox.clone(),
        engine: Mutex::new(None),
        jobs_dir: config.server.jobs_dir.clone(),
        host,
    });
    Ok(Started {
        handle: Handle::new(Arc::clone(&context), inbox),
        queue: QueueLoop::new(Arc::clone(&context), wishes),
        retention: Retention::new(Arc::clone(&context)),
        health: Health::new(Arc::clone(&context)),
        images: UnusedImages::new(Arc::clone(&context)),
        store: StoreWatch::new(Arc::clone(&shared)),
        disk: DiskWatch::new(context, places),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id};
    use tracing_subscriber::layer::{Context as Around, Layer, SubscriberExt};

    use super::*;
    use crate::domain::Phase;

    type Fields = BTreeMap<&'static str, String>;

    /// Keeps the fields of every span.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Fields>>>);

    struct Noting(Fields);

    impl Visit for Noting {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
        }
    }

    impl<S: tracing::Subscriber> Layer<S> for Kept {
        fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Around<'_, S>) {
            let mut noting = Noting(Fields::new());
            attributes.record(&mut noting);
            self.0.lock().expect("no panic").push(noting.0);
        }
    }

    fn fields(job: &Job) -> Fields {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::registry().with(kept.clone());
        tracing::subscriber::with_default(subscriber, || drop(run_span(job, "docker")));
        kept.0.lock().expect("no panic").pop().expect("a span")
    }

    #[test]
    fn the_entries_of_a_run_tell_its_job_and_its_owner() {
        let nobodys = Job { owner: None, ..Job::example(Phase::Executing) };
        let expected = [
            ("job.id", nobodys.id.to_string()),
            ("run.backend", "docker".into()),
            ("service", nobodys.service.clone()),
        ];
        assert_eq!(fields(&nobodys), Fields::from(expected.clone()));
        let owned = Job { owner: Some(OwnerId::new("ada")), ..nobodys };
        let mut expected = Fields::from(expected);
        expected.insert("owner", "ada".to_owned());
        assert_eq!(fields(&owned), expected);
    }
}
