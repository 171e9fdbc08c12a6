//! DELETE, and what a poller sees of a job that somebody else deleted (contract §7).

use std::time::Duration;

use serde_json::json;
use uwsd::domain::NewJob;
use uwsd::ports::{Clock, Store};

use crate::bed::{Bed, Daemon, eventually, new_job};
use crate::client::Answer;

async fn delete(daemon: &Daemon, id: &str) -> Answer {
    daemon.client().send("DELETE", &format!("/api/v1/job/{id}"), &[], "").await
}

async fn status(daemon: &Daemon, id: &str) -> u16 {
    daemon.client().get(&format!("/api/v1/job/{id}")).await.status
}

#[tokio::test]
async fn a_running_job_reads_executing_until_it_is_gone_and_aborted_after() {
    let daemon = Bed::new().start().await;
    let id = daemon.submit("stubborn").await;
    daemon.reaches(&id, "executing").await;
    let answer = delete(&daemon, &id).await;
    let expected = json!({ "status": "ok", "message": "", "code": 200, "jobId": id, "phase": "executing" });
    assert_eq!((answer.status, answer.json()), (200, expected));
    assert_eq!(daemon.job(&id).await["phase"], "executing");
    assert_eq!(daemon.listed().await, 0);
    let job = daemon.reaches(&id, "aborted").await;
    assert_eq!((&job["jobInfo"]["reason"], &job["errorSummary"]["message"]), (&json!("aborted"), &json!("")));
    let again = delete(&daemon, &id).await;
    assert_eq!((again.status, &again.json()["phase"]), (200, &json!("aborted")));
    for file in ["stdout", "stderr"] {
        assert_eq!(daemon.client().get(&format!("/api/v1/job/{id}/{file}")).await.status, 404);
    }
    daemon.clock.advance(Duration::from_secs(61));
    assert_eq!(status(&daemon, &id).await, 404);
    assert_eq!(delete(&daemon, &id).await.status, 404);
}

#[tokio::test]
async fn a_waiting_job_is_aborted_at_once() {
    let daemon = Bed::without_runs().start().await;
    let id = daemon.submit("print 1").await;
    let answer = delete(&daemon, &id).await;
    assert_eq!((answer.status, &answer.json()["phase"]), (200, &json!("aborted")));
    assert_eq!(daemon.job(&id).await["phase"], "aborted");
    assert_eq!(daemon.listed().await, 0);
}

#[tokio::test]
async fn a_job_that_has_ended_is_gone_at_once() {
    let daemon = Bed::new().start().await;
    let id = daemon.submit("print 1").await;
    daemon.reaches(&id, "completed").await;
    let answer = delete(&daemon, &id).await;
    assert_eq!((answer.status, &answer.json()["phase"]), (200, &json!("completed")));
    assert_eq!(status(&daemon, &id).await, 404);
    assert_eq!(delete(&daemon, &id).await.status, 404);
}

#[tokio::test]
async fn without_a_visible_time_a_deleted_job_is_gone_at_once() {
    let mut bed = Bed::new();
    bed.config.json.deletion_visible = Duration::ZERO;
    let daemon = bed.start().await;
    let id = daemon.submit("hang").await;
    daemon.reaches(&id, "executing").await;
    assert_eq!(delete(&daemon, &id).await.status, 200);
    assert_eq!(status(&daemon, &id).await, 404);
    assert_eq!(delete(&daemon, &id).await.status, 404);
    eventually("the run to be removed", || async { daemon.engine.is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn a_job_of_another_service_is_not_there_and_stays() {
    let daemon = Bed::without_runs().start().await;
    let now = daemon.clock.now();
    let other = NewJob { service: "other".to_owned(), ..new_job("print 1", now) };
    let job = daemon.store.submit(other).await.expect("kept").job;
    let answer = delete(&daemon, &job.id.to_string()).await;
    assert_eq!((answer.status, answer.text()), (404, "\"\""));
    let job = daemon.store.job(job.id).await.expect("read").expect("there");
    assert_eq!((job.deletion, job.abort_requested), (None, false));
}
