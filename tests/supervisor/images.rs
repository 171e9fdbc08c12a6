//! Images that were pulled for jobs go when no job has used one for long; others stay.

use std::time::Duration;

use uwsd::domain::{Caller, JobId, Phase, Variable, Work};
use uwsd::ports::{Images, PulledImage, Store};

use crate::bed::{Bed, Daemon, eventually, work};

const AGE: Duration = days(30);
const DAY: Duration = days(1);
/// That of the service.
const OWN: &str = "docker.io/library/debian:stable-slim";

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.config.backend.docker.image_age = AGE;
    bed.config.services.get_mut("ocps").expect("there").execution_duration = None;
    bed
}

fn full(tag: &str) -> String {
    format!("docker.io/library/debian:{tag}")
}

fn with_tag(tag: &str, command: &str) -> Work {
    Work { environment: vec![Variable::new("UWS_JOB_IMAGE_TAG", tag).expect("fine")], ..work(command) }
}

async fn submit(daemon: &Daemon, tag: &str, command: &str) -> JobId {
    daemon.submit_work(with_tag(tag, command)).await.expect("accepted").id
}

async fn run(daemon: &Daemon, tag: &str) -> JobId {
    let id = submit(daemon, tag, "print 1").await;
    daemon.ends(id).await;
    id
}

/// All that are known, whenever they were used.
async fn known(daemon: &Daemon) -> Vec<PulledImage> {
    daemon.store.unused_since(uwsd::domain::Timestamp::from_millis(i64::MAX)).await.expect("read")
}

async fn knows(daemon: &Daemon, tag: &str) -> bool {
    known(daemon).await.iter().any(|image| image.name == full(tag))
}

/// Starts the daemon again after so long; it looks at the images at once, those first that were used first: once one has gone
/// whose time has come, all that were used before it have been looked at.
async fn later(bed: &Bed, daemon: Daemon, by: Duration) -> Daemon {
    drop(daemon);
    bed.clock.advance(by);
    bed.start().await
}

async fn is_gone(bed: &Bed, daemon: &Daemon, tag: &str) {
    eventually(&format!("{tag} to go"), || async { (!bed.engine.images.names().contains(&full(tag))).then_some(()) })
        .await;
    eventually(&format!("{tag} to be forgotten"), || async { (!knows(daemon, tag).await).then_some(()) }).await;
}

#[tokio::test]
async fn an_image_that_no_job_has_used_for_its_age_goes_and_a_later_job_pulls_it_again() {
    let bed = bed();
    let daemon = bed.start().await;
    run(&daemon, "11").await;
    bed.clock.advance(DAY);
    run(&daemon, "12").await;
    assert_eq!(known(&daemon).await.len(), 2);
    // A use a day before its time keeps it.
    bed.clock.advance(days(28));
    run(&daemon, "12").await;
    let daemon = later(&bed, daemon, DAY).await;
    is_gone(&bed, &daemon, "11").await;
    assert_eq!(bed.engine.images.names(), [full("12")]);
    let daemon = later(&bed, daemon, days(28)).await;
    let id = run(&daemon, "11").await;
    assert_eq!(daemon.job(id).await.facts.image_digest.as_deref(), Some("sha256:fake"));
    assert_eq!(bed.engine.images.names(), [full("11"), full("12")]);
    let daemon = later(&bed, daemon, DAY).await;
    is_gone(&bed, &daemon, "12").await;
    assert_eq!(bed.engine.images.names(), [full("11")]);
}

#[tokio::test]
async fn what_was_there_before_what_a_service_names_and_what_a_container_needs_stays() {
    let bed = bed();
    // Put there by hand; also another one in the place of one that was pulled.
    bed.engine.images.put("debian:before", "sha256:other");
    let daemon = bed.start().await;
    let default = daemon.submit("print 1").await;
    daemon.ends(default).await;
    for tag in ["before", "replaced", "taken", "busy", "mark"] {
        run(&daemon, tag).await;
    }
    assert!(!knows(&daemon, "before").await && knows(&daemon, "stable-slim").await);
    bed.engine.images.put("debian:replaced", "sha256:other");
    bed.engine.images.take("debian:taken");
    bed.engine.images.set_in_use("debian:busy", true);
    let daemon = later(&bed, daemon, AGE).await;
    is_gone(&bed, &daemon, "mark").await;
    is_gone(&bed, &daemon, "taken").await;
    eventually("the other one to be left alone", || async { (!knows(&daemon, "replaced").await).then_some(()) }).await;
    assert_eq!(bed.engine.images.names(), [full("before"), full("busy"), full("replaced"), OWN.to_owned()]);
    // Its container is gone: now it goes. Of one that stays because a service names it the use is known on.
    bed.engine.images.set_in_use("debian:busy", false);
    let daemon = later(&bed, daemon, DAY).await;
    is_gone(&bed, &daemon, "busy").await;
    assert_eq!(bed.engine.images.names(), [full("before"), full("replaced"), OWN.to_owned()]);
    assert!(knows(&daemon, "stable-slim").await);
}

#[tokio::test]
async fn what_a_job_on_its_way_wants_stays() {
    let mut bed = bed();
    bed.config.queue.max_running = 1;
    let daemon = bed.start().await;
    for tag in ["queued", "held", "mark"] {
        run(&daemon, tag).await;
    }
    let running = submit(&daemon, "running", "hang").await;
    daemon.reaches(running, Phase::Executing).await;
    let held = submit(&daemon, "held", "print 1").await;
    daemon.handle.hold(&Caller::Operator, held).await.expect("held");
    submit(&daemon, "queued", "print 1").await;
    let daemon = later(&bed, daemon, AGE).await;
    is_gone(&bed, &daemon, "mark").await;
    let expected = [full("held"), full("queued"), full("running")];
    assert_eq!(bed.engine.images.names(), expected);
    // That of a running job counts as used as long as it runs.
    let running = known(&daemon).await.into_iter().find(|image| image.name == full("running")).expect("known");
    let now = uwsd::ports::Clock::now(&*bed.clock);
    assert!(now.since(running.last_used) < DAY, "{running:?}");
}

#[tokio::test]
async fn a_pull_whose_end_a_crash_hid_is_ours_if_its_image_is_there_and_else_forgotten() {
    let bed = bed();
    let daemon = bed.start().await;
    let names = vec![full("came"), full("never")];
    daemon.store.pulling(names, uwsd::ports::Clock::now(&*bed.clock)).await.expect("noted");
    bed.engine.images.put("debian:came", "sha256:fake");
    let daemon = later(&bed, daemon, DAY).await;
    eventually("what is not there to be forgotten", || async { (!knows(&daemon, "never").await).then_some(()) }).await;
    eventually("the other to be found", || async {
        known(&daemon).await.iter().any(|image| image.id.as_deref() == Some("sha256:fake")).then_some(())
    })
    .await;
    let daemon = later(&bed, daemon, AGE).await;
    is_gone(&bed, &daemon, "came").await;
}

#[tokio::test]
async fn with_an_age_of_nothing_all_stay_and_while_the_engine_is_silent_too() {
    let mut bed = bed();
    bed.config.backend.docker.image_age = Duration::ZERO;
    let daemon = bed.start().await;
    run(&daemon, "12").await;
    let daemon = later(&bed, daemon, AGE * 100).await;
    // A pull that came to nothing shows that the images were looked at.
    daemon.store.pulling(vec![full("mark")], uwsd::ports::Clock::now(&*bed.clock)).await.expect("noted");
    let daemon = later(&bed, daemon, DAY).await;
    is_gone(&bed, &daemon, "mark").await;
    assert_eq!(bed.engine.images.names(), [full("12")]);
    drop(daemon);
    bed.config.backend.docker.image_age = AGE;
    bed.engine.set_silent(true);
    let daemon = bed.start().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(knows(&daemon, "12").await);
    drop(daemon);
    bed.engine.set_silent(false);
    let daemon = bed.start().await;
    is_gone(&bed, &daemon, "12").await;
    assert!(daemon.store.totals().await.expect("read").waiting == 0);
}
