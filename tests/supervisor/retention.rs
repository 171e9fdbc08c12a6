//! Deletion and destruction.

use std::time::Duration;

use uwsd::domain::{Caller, JobFilter, Page, Phase, Reason};
use uwsd::ports::Store;
use uwsd::supervisor::Denied;

use crate::bed::{Bed, Daemon, eventually};

async fn is_forgotten(daemon: &Daemon, id: uwsd::domain::JobId) {
    eventually("the job to be forgotten", || async {
        daemon.store.job(id).await.expect("read").is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deleted_job_that_had_ended_is_forgotten_with_its_files() {
    let bed = Bed::new();
    let daemon = bed.start().await;
    let id = daemon.submit("write a 1").await;
    daemon.ends(id).await;
    let root = bed.config.server.jobs_dir.join(id.to_string());
    assert!(root.exists());
    let deleted = daemon.handle.delete(&Caller::Anonymous, id).await.expect("deleted");
    assert_eq!(deleted.job.phase, Phase::Completed);
    is_forgotten(&daemon, id).await;
    assert!(!root.exists());
    assert!(matches!(daemon.handle.delete(&Caller::Anonymous, id).await, Err(Denied::NoSuchJob(_))));
}

#[tokio::test]
async fn a_deleted_job_that_executes_is_told_of_until_a_minute_after_its_end_also_over_a_restart() {
    let bed = Bed::new();
    let daemon = bed.start().await;
    let id = daemon.submit("hang").await;
    daemon.reaches(id, Phase::Executing).await;
    daemon.handle.delete(&Caller::Anonymous, id).await.expect("deleted");
    let job = daemon.reaches(id, Phase::Aborted).await;
    assert_eq!(job.outcome.expect("ended").reason, Reason::Aborted);
    let listed = daemon.store.jobs(&JobFilter::default(), Page { after: None, limit: 10 }).await.expect("read");
    assert!(listed.is_empty());
    drop(daemon);
    let daemon = bed.start().await;
    assert!(daemon.job(id).await.deletion.expect("deleted").visible_until.is_some());
    // Deleting it again changes nothing.
    let again = daemon.handle.delete(&Caller::Anonymous, id).await.expect("the same answer");
    assert_eq!(again.job.phase, Phase::Aborted);
    bed.clock.advance(Duration::from_secs(61));
    daemon.handle.delete(&Caller::Anonymous, id).await.ok();
    drop(daemon);
    let daemon = bed.start().await;
    is_forgotten(&daemon, id).await;
}

#[tokio::test]
async fn the_destruction_time_ends_what_runs_and_removes_what_has_ended() {
    let mut bed = Bed::new();
    bed.config.services.get_mut("ocps").expect("there").execution_duration = None;
    let daemon = bed.start().await;
    let ended = daemon.submit("write a 1").await;
    daemon.ends(ended).await;
    let running = daemon.submit("hang").await;
    daemon.reaches(running, Phase::Executing).await;
    drop(daemon);
    bed.clock.advance(Duration::from_secs(8 * 86_400));
    let daemon = bed.start().await;
    is_forgotten(&daemon, ended).await;
    let job = daemon.reaches(running, Phase::Aborted).await;
    assert_eq!(job.outcome.expect("ended").reason, Reason::Expired);
    bed.clock.advance(Duration::from_secs(61));
    drop(daemon);
    let daemon = bed.start().await;
    is_forgotten(&daemon, running).await;
    assert!(!bed.config.server.jobs_dir.join(running.to_string()).exists());
}
