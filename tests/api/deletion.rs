//! DELETE, and what a poller sees of a job that somebody else deleted (contract §7).

use std::time::Duration;

use serde_json::json;
use uwsd::domain::{JobId, NewJob, Outcome, OwnerId, Phase, Reason};
use uwsd::ports::{Change, Clock, End, Store};

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
async fn who_asks_for_a_job_that_was_destroyed_is_told_when() {
    let daemon = Bed::new().start().await;
    let id = daemon.submit("write a 1").await;
    daemon.reaches(&id, "completed").await;
    let waiting = || NewJob { phase: Phase::Pending, ..new_job("print 1", daemon.clock.now()) };
    let other = NewJob { service: "other".to_owned(), ..waiting() };
    let owned = NewJob { owner: Some(OwnerId::new("ada".to_owned())), ..waiting() };
    let others =
        [daemon.store.submit(other).await, daemon.store.submit(owned).await].map(|new| new.expect("kept").job.id);
    let before = daemon.clock.now();
    for other in others {
        let end = End {
            outcome: Outcome::new(Reason::Aborted, ""),
            started_at: None,
            ended_at: before,
            ran: None,
            results: Vec::new(),
            facts: None,
            visible_for: Duration::ZERO,
        };
        daemon.store.change(other, Change::End(Box::new(end)), before).await.expect("ended");
        daemon.store.request_deletion(other, before).await.expect("noted");
    }
    // This wakes whoever forgets them.
    assert_eq!(delete(&daemon, &id).await.status, 200);
    let (json, uws) = (format!("/api/v1/job/{id}"), format!("/api/ocps/async/{id}"));
    let told = daemon.client().get(&uws).await.text().to_owned();
    let at = told.strip_prefix("this job was destroyed at ").expect("it says so");
    assert!(at.ends_with('Z') && (before.to_iso()..=daemon.clock.now().to_iso()).contains(&at.to_owned()), "{told}");
    let forgotten = async |id: JobId| daemon.store.job(id).await.expect("read").is_none().then_some(());
    for is_forgotten in [false, true] {
        if is_forgotten {
            for id in others.into_iter().chain([id.parse().expect("an id")]) {
                eventually("the record to go", || forgotten(id)).await;
            }
        }
        for path in [uws.clone(), format!("{uws}/results/a"), format!("{uws}/phase")] {
            let answer = daemon.client().get(&path).await;
            assert_eq!((answer.status, answer.text()), (404, told.as_str()), "{path}, {is_forgotten}");
        }
        let result = daemon.client().get(&format!("/api/v1/job/result/{id}/0")).await;
        assert_eq!((result.status, result.text()), (404, told.as_str()));
        for path in [json.clone(), format!("{json}/phase"), format!("{json}/stdout")] {
            let answer = daemon.client().get(&path).await;
            assert_eq!((answer.status, answer.json()), (404, json!(told)), "{path}, {is_forgotten}");
        }
        // Whoever could not have looked at it is told nothing.
        for other in others {
            let answer = daemon.client().get(&format!("/api/v1/job/{other}")).await;
            assert_eq!((answer.status, answer.text()), (404, "\"\""));
        }
    }
}

#[tokio::test]
async fn a_job_that_has_to_be_stopped_is_destroyed_at_its_end_and_until_then_the_reason_is_told() {
    let mut bed = Bed::new();
    bed.config.services.get_mut("ocps").expect("the service").kill_grace = Duration::from_secs(3);
    let daemon = bed.start().await;
    let [deleted, expires] = [daemon.submit("stubborn").await, daemon.submit("stubborn").await];
    let told = async |id: &str| {
        let answer = daemon.client().get(&format!("/api/ocps/async/{id}")).await;
        assert_eq!(answer.status, 404, "{}", answer.text());
        answer.text().to_owned()
    };
    for id in [&deleted, &expires] {
        daemon.reaches(id, "executing").await;
    }
    let set = async |id: &str, at: &str| {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let path = format!("/api/ocps/async/{id}/destruction");
        let answer = daemon.client().send("POST", &path, &form, format!("DESTRUCTION={at}")).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
    };
    set(&expires, "2000-01-01").await;
    daemon.clock.advance(Duration::from_secs(20));
    // This has somebody look what is due.
    set(&deleted, "2100-01-01").await;
    let path = format!("/api/ocps/async/{expires}");
    let is_due = || async { (daemon.client().get(&path).await.status == 404).then_some(()) };
    eventually("its time to come", is_due).await;
    let text = told(&expires).await;
    assert!(
        text.starts_with("the destruction time of this job has come: since ") && text.ends_with(" it is being stopped"),
        "{text}"
    );
    assert_eq!(delete(&daemon, &deleted).await.status, 200);
    let text = told(&deleted).await;
    let (at, rest) = text.strip_prefix("this job was deleted at ").expect("it says so").split_once(' ').expect("more");
    assert_eq!(rest, "and is being stopped");
    daemon.clock.advance(Duration::from_secs(7));
    for (id, reason) in [(&deleted, "aborted"), (&expires, "expired")] {
        let job = daemon.reaches(id, "aborted").await;
        assert_eq!(job["jobInfo"]["reason"], reason);
        let job = daemon.store.job(id.parse().expect("an id")).await.expect("read").expect("there");
        let ended_at = job.ended_at.expect("it has ended").to_iso();
        assert!(ended_at.as_str() > at, "{ended_at}, {at}");
        assert_eq!(told(id).await, format!("this job was destroyed at {ended_at}"));
    }
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
