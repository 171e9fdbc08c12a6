//! What is left when every job has ended: nothing of ours, and everything that is not ours.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bollard::models::{ContainerCreateBody, ContainerSummary};
use bollard::query_parameters::{CreateContainerOptionsBuilder, ListContainersOptionsBuilder, ListVolumesOptions};
use nix::sys::signal::Signal;

use crate::bed::Bed;
use crate::engine::{Engine, IMAGE};
use crate::job::Job;
use crate::processes;

/// How long tidying up may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// The label of what is not the daemon's.
const FOREIGN: &str = "torture.foreign";

/// Containers that are not the daemon's: somebody else's, and one of another daemon on this engine.
pub struct Foreign(Vec<String>);

impl Foreign {
    pub async fn make(bed: &Bed) -> Self {
        let Some(docker) = bed.engine.as_ref().map(Engine::client) else { return Self(Vec::new()) };
        let of_another = [
            ("org.uwsd.instance", "another"),
            ("org.uwsd.job", "0192e4f1c7a87d2f8f1b0c5d7e9a1b3c"),
            ("org.uwsd.replica", "0"),
            ("org.uwsd.replicas", "1"),
            ("org.uwsd.attempt", "1"),
        ];
        let mut names = Vec::new();
        for (name, labels) in [("somebody-elses", &[][..]), ("another-daemons", &of_another[..])] {
            let labels =
                labels.iter().chain(&[(FOREIGN, "yes")]).map(|(key, value)| (key.to_string(), value.to_string()));
            let body = ContainerCreateBody {
                image: Some(IMAGE.to_owned()),
                cmd: Some(vec!["sleep".to_owned(), "1".to_owned()]),
                labels: Some(labels.collect()),
                ..ContainerCreateBody::default()
            };
            let options = CreateContainerOptionsBuilder::default().name(name).build();
            docker.create_container(Some(options), body).await.expect("made");
            names.push(format!("/{name}"));
        }
        Self(names)
    }
}

pub fn is_foreign(container: &ContainerSummary) -> bool {
    container.labels.as_ref().is_some_and(|labels| labels.contains_key(FOREIGN))
}

/// Waits until nothing is left over; returns what is all the same. Stops the daemon.
pub async fn look(bed: &Bed, foreign: &Foreign, jobs: &[Job]) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut left = loop {
        let mut left = containers(bed, foreign).await;
        left.extend(processes::left(bed));
        left.extend(directories(bed, jobs));
        if left.is_empty() || Instant::now() > deadline {
            break left;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    left.extend(unknown_jobs(bed, jobs).await);
    bed.end_daemon(Signal::SIGTERM);
    left.extend(database(bed));
    left
}

async fn containers(bed: &Bed, foreign: &Foreign) -> Vec<String> {
    let Some(docker) = bed.engine.as_ref().map(Engine::client) else { return Vec::new() };
    let all = ListContainersOptionsBuilder::default().all(true).build();
    let found = docker.list_containers(Some(all)).await.expect("listed");
    let (theirs, ours): (Vec<_>, Vec<_>) = found.into_iter().partition(is_foreign);
    let mut left: Vec<String> = ours.into_iter().map(|found| format!("container {:?}", found.names)).collect();
    let theirs: HashSet<String> = theirs.into_iter().flat_map(|found| found.names.unwrap_or_default()).collect();
    left.extend(foreign.0.iter().filter(|name| !theirs.contains(*name)).map(|name| format!("no container {name}")));
    let volumes = docker.list_volumes(None::<ListVolumesOptions>).await.expect("listed").volumes;
    left.extend(volumes.into_iter().flatten().map(|volume| format!("volume {}", volume.name)));
    left
}

/// Directories of jobs that were deleted or never accepted.
fn directories(bed: &Bed, jobs: &[Job]) -> Vec<String> {
    let kept: HashSet<&str> = jobs.iter().filter(|job| !job.is_deleted).map(|job| job.id.as_str()).collect();
    let entries = std::fs::read_dir(bed.path("disk/state/jobs")).expect("the daemon's");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| !kept.contains(name.as_str())).map(|name| format!("directory jobs/{name}")).collect()
}

/// Jobs in the daemon's list that no client knows, and those that it does not list.
async fn unknown_jobs(bed: &Bed, jobs: &[Job]) -> Vec<String> {
    let listed = bed.http.insist("GET", "/api/v1/job", &[], "").await.json().unwrap_or_default();
    let listed: HashMap<String, String> = listed
        .as_array()
        .into_iter()
        .flatten()
        .map(|job| (job["jobId"].as_str().unwrap_or_default().to_owned(), job.to_string()))
        .collect();
    let kept: HashSet<&str> = jobs.iter().filter(|job| !job.is_deleted).map(|job| job.id.as_str()).collect();
    let unknown = listed.iter().filter(|(id, _)| !kept.contains(id.as_str()));
    let missing = kept.iter().filter(|id| !listed.contains_key(**id));
    unknown
        .map(|(_, job)| format!("a job that nobody submitted: {job}"))
        .chain(missing.map(|id| format!("job {id} is not listed")))
        .collect()
}

/// What is wrong with the database.
fn database(bed: &Bed) -> Option<String> {
    let database = rusqlite::Connection::open(bed.path("disk/state/uwsd.db")).expect("opened");
    let told: String =
        database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap_or_else(|error| error.to_string());
    (told != "ok").then(|| format!("damage in the database: {told}"))
}
