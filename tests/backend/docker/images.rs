//! Images that were pulled are told from others, and removed with nothing left over and nothing taken that others need.

use std::sync::Mutex;

use async_trait::async_trait;
use uwsd::ports::{Arrival, Backend, Fetching, ImageFacts, ImageRemoval, Pull, RunSpec};

use super::registry::{NOTHING, Registry, with};
use super::{DockerBed, ask, own};
use crate::suite::{Bed, clean, prepare};

/// Hears which names a pull may bring.
#[derive(Default)]
struct Ear(Mutex<Vec<String>>);

#[async_trait]
impl Fetching for Ear {
    fn tell(&self, _: String) {}

    async fn will_bring(&self, names: Vec<String>) {
        self.0.lock().expect("alone").extend(names);
    }
}

/// What is told of the image, and what was announced before.
async fn fetch(backend: &dyn Backend, spec: &RunSpec) -> (ImageFacts, Vec<String>) {
    let ear = Ear::default();
    let facts = backend.fetch_image(&spec.image, spec.pull, &ear).await.expect("it is to be had");
    (facts, ear.0.into_inner().expect("alone"))
}

/// Every tag that the engine has of an image; `None` if it has no such image.
fn tags(bed: &DockerBed, image: &str) -> Option<Vec<String>> {
    let all: serde_json::Value = serde_json::from_str(&ask(&bed.socket(), "images/json")).expect("JSON");
    let all = all.as_array().expect("a list");
    let tags = all.iter().map(|one| (one["Id"].as_str().expect("an id"), one["RepoTags"].as_array()));
    let mut found = tags.filter(|(id, _)| id.trim_start_matches("sha256:") == image.trim_start_matches("sha256:"));
    let tags = found.next()?.1.into_iter().flatten().filter_map(|tag| tag.as_str().map(str::to_owned));
    Some(tags.filter(|tag| !tag.starts_with("<none>")).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_pulled_is_told_from_what_was_there() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let Some(registry) = Registry::beside(&bed).await else { return };
    let backend = bed.backend();
    let made = registry.image_of("pulled or there");
    let there = RunSpec { image: made.clone(), pull: Pull::Missing, ..bed.spec("true") };
    let (facts, announced) = fetch(&*backend, &there).await;
    assert_eq!((facts.arrival, announced.len()), (Arrival::Found, 0));
    assert_eq!(backend.find_image(&made).await.expect("it answers"), facts.id);
    let (image, digest) = registry.push(&made, "arrives");
    registry.forget(&made);
    assert_eq!(backend.find_image(&made).await.expect("it answers"), None);
    let spec = |pull| RunSpec { image: image.clone(), pull, ..bed.spec("true") };
    let (facts, announced) = fetch(&*backend, &spec(Pull::Missing)).await;
    assert_eq!((facts.arrival, facts.digest, announced), (Arrival::Pulled, Some(digest), vec![image.clone()]));
    let (again, announced) = fetch(&*backend, &spec(Pull::Missing)).await;
    assert_eq!((again.arrival, again.id.as_ref(), announced.len()), (Arrival::Found, facts.id.as_ref(), 0));
    let (always, announced) = fetch(&*backend, &spec(Pull::Always)).await;
    assert_eq!((always.arrival, always.id.as_ref(), announced.len()), (Arrival::Replaced, facts.id.as_ref(), 0));
    // Nobody needs it: it goes, and with it the image.
    let id = facts.id.expect("it has one");
    assert_eq!(backend.remove_image(&image, &id).await.expect("it answers"), ImageRemoval::Removed);
    assert_eq!((backend.find_image(&image).await.expect("it answers"), tags(&bed, &id)), (None, None));
    assert_eq!(backend.remove_image(&image, &id).await.expect("it answers"), ImageRemoval::Gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lost_its_name_to_a_newer_image_goes_by_its_id() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let Some(registry) = Registry::beside(&bed).await else { return };
    let backend = bed.backend();
    let (image, _) = registry.push(&registry.image_of("the first"), "moves");
    let spec = RunSpec { image: image.clone(), pull: Pull::Always, ..bed.spec("true") };
    let id = fetch(&*backend, &spec).await.0.id.expect("it has one");
    registry.push(&registry.image_of("the second"), "moves");
    // The tag moves in the registry while the host has the older image under it.
    let name_it = |id: &str, tag: &str| {
        registry.engine("POST", &format!("images/{id}/tag?repo={}/job&tag={tag}", registry.address), None);
    };
    name_it(&id, "moves");
    let (newer, _) = fetch(&*backend, &spec).await;
    let newer_id = newer.id.expect("it has one");
    assert_eq!(newer.arrival, Arrival::Replaced);
    assert_eq!(tags(&bed, &id), Some(Vec::new()), "without a name it stays");
    let made = RunSpec { image: id.clone(), pull: Pull::Never, ..bed.spec("true") };
    prepare(&*backend, &made).await;
    assert_eq!(backend.remove_image(&id, &id).await.expect("it answers"), ImageRemoval::InUse);
    clean(&*backend, &made).await;
    name_it(&id, "theirs");
    assert_eq!(backend.remove_image(&id, &id).await.expect("it answers"), ImageRemoval::Gone, "somebody wants it");
    name_it(&newer_id, "theirs");
    assert_eq!(tags(&bed, &id), Some(Vec::new()));
    assert_eq!(backend.remove_image(&id, &id).await.expect("it answers"), ImageRemoval::Removed);
    assert_eq!(tags(&bed, &id), None);
    assert_eq!(backend.find_image(&image).await.expect("it answers"), Some(newer_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_a_container_uses_stays_and_of_several_names_only_ours_goes() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let Some(registry) = Registry::beside(&bed).await else { return };
    let backend = bed.backend();
    // Another image than the tests', on which containers of other tests are: one more layer.
    let spec = bed.spec("exit 3");
    prepare(&*backend, &spec).await;
    let (repository, name) = (format!("{}/job", registry.address), spec.run.name());
    registry.engine("POST", &format!("commit?container={name}&repo={repository}&tag=used"), NOTHING);
    clean(&*backend, &spec).await;
    let image = format!("{repository}:used");
    let id = backend.find_image(&image).await.expect("it answers").expect("it is there");
    // Made and not started, as between two steps of a job.
    let spec = RunSpec { image: image.clone(), ..bed.spec("true") };
    prepare(&*backend, &spec).await;
    assert_eq!(backend.remove_image(&image, &id).await.expect("it answers"), ImageRemoval::InUse);
    registry.engine("POST", &format!("images/{image}/tag?repo={repository}&tag=theirs"), None);
    assert_eq!(backend.remove_image(&image, &id).await.expect("it answers"), ImageRemoval::InUse);
    assert_eq!(tags(&bed, &id).expect("it is there").len(), 2);
    clean(&*backend, &spec).await;
    assert_eq!(backend.remove_image(&image, &id).await.expect("it answers"), ImageRemoval::Removed);
    assert_eq!(tags(&bed, &id), Some(vec![format!("{repository}:theirs")]));
    // Somebody gives our name to another image: it is not ours.
    let other = registry.image_of("another one");
    registry.engine("POST", &format!("images/{other}/tag?repo={repository}&tag=used"), None);
    assert_eq!(backend.remove_image(&image, &id).await.expect("it answers"), ImageRemoval::Gone);
    assert!(backend.find_image(&image).await.expect("it answers").is_some_and(|found| found != id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_from_a_mirror_leaves_the_name_that_was_asked_for_and_no_other() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let Some(registry) = Registry::beside(&bed).await else { return };
    let made = registry.image_of("mirrored");
    let (there, digest) = registry.push(&made, "mirrored");
    registry.forget(&made);
    let backend = with(&bed, |settings| settings.mirrors = vec![format!("nowhere.invalid={}", registry.address)]);
    let image = "nowhere.invalid/job:mirrored".to_owned();
    let spec = RunSpec { image: image.clone(), pull: Pull::Missing, ..bed.spec("true") };
    let (facts, announced) = fetch(&*backend, &spec).await;
    assert_eq!(announced, [image.clone(), there.clone()]);
    assert_eq!((facts.digest.as_deref(), facts.source.as_deref()), (Some(&*digest), Some(&*there)));
    let id = facts.id.expect("it has one");
    assert_eq!(tags(&bed, &id), Some(vec![image.clone()]));
    // Pulled again over itself, it is the same.
    let (again, announced) = fetch(&*backend, &RunSpec { pull: Pull::Always, ..spec.clone() }).await;
    assert_eq!((again.digest, announced), (Some(digest), vec![there.clone()]));
    assert_eq!(tags(&bed, &id), Some(vec![image.clone()]));
    assert_eq!(backend.remove_image(&image, &id).await.expect("it answers"), ImageRemoval::Removed);
    assert_eq!(tags(&bed, &id), None);
    // Somebody wants the mirror's name too: it stays.
    let theirs = RunSpec { image: there.clone(), ..spec.clone() };
    fetch(&*backend, &theirs).await;
    let (_, announced) = fetch(&*backend, &spec).await;
    assert_eq!(announced, std::slice::from_ref(&image));
    let mut both = tags(&bed, &id).expect("it is there");
    both.sort();
    assert_eq!(both, [there, image.clone()]);
    registry.forget(&image);
}
