//! How long a job has between TERM and KILL, where it asks for that itself.

use serde_json::json;

use crate::bed::{Bed, Daemon};
use crate::uws::{create, job, post, posted, status};

/// The `killGrace` that a job shows, if it does; no parameter of that name stands beside it.
async fn shown(daemon: &Daemon, id: &str) -> Option<String> {
    let job = job(daemon, id).await;
    let parameters = &job.child("uws:parameters").children;
    assert!(parameters.iter().all(|one| one.attribute("id").is_none_or(|id| !id.eq_ignore_ascii_case("kill_grace"))));
    let info = job.children.iter().find(|one| one.name == "uws:jobInfo")?;
    info.children.iter().find(|one| one.name == "killGrace").map(|one| one.text.clone())
}

#[tokio::test]
async fn a_job_s_own_grace_is_a_control_lowered_to_the_service_s_and_shown() {
    let daemon = Bed::without_runs().start().await;
    for (asked, told) in [
        ("", None),
        ("&KILL_GRACE=10", Some("10")),
        ("&kill_grace=0.25", Some("0.25")),
        ("&Kill_Grace=+7+", Some("7")),
        ("&KILL_GRACE=0", Some("0")),
        ("&KILL_GRACE=3600", Some("60")),
        ("&KILL_GRACE=99999999999999999999999999", Some("60")),
    ] {
        let id = create(&daemon, &format!("COMMAND=print+1{asked}")).await;
        assert_eq!(shown(&daemon, &id).await.as_deref(), told, "{asked}");
    }
    let id = create(&daemon, "COMMAND=print+1&KILL_GRACE=5").await;
    // As the other controls it may be changed while the job is PENDING, and no other change touches it.
    posted(&daemon, &format!("/{id}/parameters"), "KILL_GRACE=6").await;
    assert_eq!(shown(&daemon, &id).await.as_deref(), Some("6"));
    posted(&daemon, &format!("/{id}/parameters"), "COMMAND=print+2").await;
    assert_eq!(shown(&daemon, &id).await.as_deref(), Some("6"));
    posted(&daemon, &format!("/{id}/parameters"), "KILL_GRACE=100").await;
    assert_eq!(shown(&daemon, &id).await.as_deref(), Some("60"));
    assert_eq!(status(&daemon, &format!("/{id}/parameters/KILL_GRACE")).await, 404);
}

#[tokio::test]
async fn a_grace_that_is_no_number_of_seconds_is_refused_and_makes_nothing() {
    let daemon = Bed::without_runs().start().await;
    for bad in ["", "-1", "10s", "1e3", "inf", ".5", "x"] {
        let answer = post(&daemon, "", &format!("COMMAND=print+1&KILL_GRACE={bad}")).await;
        let sentence = format!("KILL_GRACE is {bad:?}; give a number of seconds, 0 or more");
        assert_eq!((answer.status, answer.text().trim()), (400, sentence.as_str()));
    }
    let twice = post(&daemon, "", "COMMAND=print+1&KILL_GRACE=1&kill_grace=2").await;
    assert_eq!((twice.status, twice.text().trim()), (400, "KILL_GRACE is given 2 times; give it once"));
    for (bad, is) in [(json!("4"), "a string"), (json!(-0.5), "the number -0.5"), (json!([4]), "a list")] {
        let answer = daemon.put(&json!({ "command": "print 1", "kill_grace": bad })).await;
        let sentence = format!("kill_grace is {is}; give a number of seconds, 0 or more");
        assert_eq!((answer.status, answer.text().trim()), (400, sentence.as_str()));
    }
    assert_eq!(daemon.listed().await, 0);
}

#[tokio::test]
async fn the_json_api_takes_and_shows_a_grace() {
    let daemon = Bed::without_runs().start().await;
    for (asked, told) in
        [(json!(4), Some(4.0)), (json!(0.5), Some(0.5)), (json!(1e300), Some(60.0)), (json!(null), None)]
    {
        let answer = daemon.put(&json!({ "command": "print 1", "kill_grace": asked })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let id = answer.json()["jobId"].as_str().expect("an id").to_owned();
        assert_eq!(daemon.job(&id).await["jobInfo"].get("killGrace").and_then(serde_json::Value::as_f64), told);
    }
}

#[tokio::test]
async fn the_same_key_with_another_grace_is_another_request() {
    let daemon = Bed::without_runs().start().await;
    let put = async |grace: u32| {
        let body = json!({ "command": "print 1", "kill_grace": grace }).to_string();
        let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
        daemon.client().send("PUT", "/api/v1/job", &headers, &body).await.status
    };
    assert_eq!((put(4).await, put(4).await, put(5).await), (200, 200, 422));
    assert_eq!(daemon.listed().await, 1);
}
