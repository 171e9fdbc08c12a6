//! Files to which only a helper of their job's image gets: it is fetched again where it was removed.

use std::time::Duration;

use uwsd::domain::{Caller, JobId, Phase, Reason, SummaryKind, Timestamp};
use uwsd::ports::{Images, Pull};

use crate::bed::{Bed, Daemon, eventually};

const IMAGE: &str = "docker.io/library/debian:stable-slim";

fn bed(pull: Pull) -> Bed {
    let mut bed = Bed::new();
    bed.config.services.get_mut("ocps").expect("there").pull = pull;
    bed.engine.images.put(IMAGE, "sha256:fake");
    bed.engine.give_files_away();
    bed
}

/// A job that ended, was deleted, and whose image is gone.
async fn deleted(bed: &Bed, daemon: &Daemon) -> JobId {
    let id = daemon.submit("write a 1").await;
    daemon.ends(id).await;
    bed.engine.images.take(IMAGE);
    daemon.handle.delete(&Caller::Anonymous, id).await.expect("deleted");
    id
}

fn files_are_there(bed: &Bed, id: JobId) -> bool {
    bed.config.server.jobs_dir.join(id.to_string()).exists()
}

async fn files_go(bed: &Bed, id: JobId) {
    eventually("its files to go", || async { (!files_are_there(bed, id)).then_some(()) }).await;
}

#[tokio::test]
async fn files_are_removed_once_the_image_is_fetched_again() {
    let bed = bed(Pull::Missing);
    let daemon = bed.start().await;
    let id = deleted(&bed, &daemon).await;
    files_go(&bed, id).await;
    assert_eq!(bed.engine.images.names(), [IMAGE]);
}

#[tokio::test]
async fn of_a_service_that_never_pulls_they_wait_until_somebody_does() {
    let bed = bed(Pull::Never);
    let daemon = bed.start().await;
    let id = deleted(&bed, &daemon).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(files_are_there(&bed, id) && bed.engine.images.names().is_empty());
    bed.engine.images.put(IMAGE, "sha256:fake");
    files_go(&bed, id).await;
}

#[tokio::test]
async fn what_an_earlier_attempt_left_goes_by_the_image_that_the_job_fetches() {
    let bed = bed(Pull::Missing);
    let daemon = bed.start().await;
    let id = daemon.submit_pending("print 1").await;
    let left = bed.config.server.jobs_dir.join(id.to_string()).join("out/left");
    std::fs::create_dir_all(left.parent().expect("one")).expect("made");
    std::fs::write(&left, "over").expect("written");
    bed.engine.images.take(IMAGE);
    daemon.handle.run(&Caller::Anonymous, id).await.expect("queued");
    let outcome = daemon.ends(id).await.outcome.expect("ended");
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
    assert!(!left.exists());
}

#[tokio::test]
async fn output_is_brought_home_by_the_image_fetched_again_and_what_cannot_be_is_no_failed_pull() {
    for (pull, phase, reason) in
        [(Pull::Missing, Phase::Completed, Reason::Ok), (Pull::Never, Phase::Error, Reason::EngineError)]
    {
        let bed = bed(pull);
        let daemon = bed.start().await;
        let id = daemon.submit("hang").await;
        daemon.reaches(id, Phase::Executing).await;
        eventually("it to run", || async { (bed.engine.running() == 1).then_some(()) }).await;
        bed.engine.images.take(IMAGE);
        bed.engine.end_by_itself(0);
        let job = daemon.ends(id).await;
        let outcome = job.outcome.expect("ended");
        assert_eq!((job.phase, outcome.reason, outcome.exit_code), (phase, reason, Some(0)), "{pull:?}");
        if let Some(summary) = outcome.summary {
            assert_eq!(summary.kind, SummaryKind::Transient);
            assert!(summary.message.starts_with("its output could not be brought home: image "), "{}", summary.message);
        }
    }
}

#[tokio::test]
async fn whoever_wants_the_job_to_end_waits_for_no_image_by_which_its_output_would_come() {
    for is_deleted in [false, true] {
        let bed = bed(Pull::Missing);
        let daemon = bed.start().await;
        let id = daemon.submit("hang").await;
        daemon.reaches(id, Phase::Executing).await;
        eventually("it to run", || async { (bed.engine.running() == 1).then_some(()) }).await;
        bed.engine.images.take(IMAGE);
        bed.engine.images.get_stuck();
        bed.engine.end_by_itself(0);
        eventually("its image to be fetched", || async {
            let begun = daemon.store.unused_since(Timestamp::from_millis(0)).await.expect("read");
            (!begun.is_empty()).then_some(())
        })
        .await;
        if is_deleted {
            daemon.handle.delete(&Caller::Anonymous, id).await.expect("deleted");
        } else {
            daemon.handle.abort(&Caller::Anonymous, id).await.expect("heard");
        }
        let outcome = daemon.ends(id).await.outcome.expect("ended");
        assert_eq!((outcome.reason, outcome.exit_code), (Reason::EngineError, Some(0)), "{outcome:?}");
    }
}
