//! A job that needs longer to end than its service gives, and asks for it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bed::{Bed, Engine};

/// Needs four seconds to clean up after it was asked to stop: twice what the service gives.
const TIDY: &str =
    "trap 'echo heard; sleep 4; echo tidy; exit 0' TERM; echo x >> /count/$JOB_ID; while :; do sleep 0.05; done";

/// Asks again and again until the answer says that the job is aborted: at that moment nothing of it runs any more.
async fn is_gone_once_aborted(bed: &Bed, id: &str, path: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let told = bed.get(path).await.text();
        if told.to_lowercase().contains("aborted") {
            assert_eq!(bed.runs_of(id).await, Vec::<String>::new(), "{path} says {told}");
            return;
        }
        assert!(Instant::now() < deadline, "{path} says {told}");
        // Without it the processors have no time for what is being stopped.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Aborts such a job once it runs; returns its last document, what it printed, and how long its end took.
async fn aborted(bed: &Bed, more: &Value) -> (Value, String, Duration) {
    let mut request = json!({ "command": TIDY, "url": null });
    request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let id = bed.put(&request).await.json()["jobId"].as_str().expect("an id").to_owned();
    bed.until("the start", async || bed.times_run(&id) == 1).await;
    assert_ne!(bed.runs_of(&id).await, Vec::<String>::new());
    let asked = Instant::now();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    bed.request("POST", &format!("/api/ocps/async/{id}/phase"), &form, "PHASE=ABORT").await;
    let places = [
        format!("/api/ocps/async/{id}?WAIT=30&PHASE=EXECUTING"),
        format!("/api/ocps/async/{id}/phase"),
        format!("/api/v1/job/{id}/phase"),
    ];
    let [waiting, uws, json] = places.each_ref().map(|path| is_gone_once_aborted(bed, &id, path));
    tokio::join!(waiting, uws, json);
    let job = bed.ends(&id).await;
    let took = asked.elapsed();
    assert_eq!((&job["phase"], &job["jobInfo"]["reason"]), (&json!("aborted"), &json!("aborted")), "{job}");
    let printed = bed.get(&format!("/api/v1/job/{id}/stdout")).await.text();
    bed.leaves_no_run(&[id]).await;
    (job, printed, took)
}

async fn a_job_that_asks_for_the_time_that_it_needs_ends_tidily_and_else_is_killed(engine: &Engine) {
    let bed = Bed::new(engine, "max_kill_grace = \"20s\"");
    let _daemon = bed.start(None).await;
    let (job, printed, took) = aborted(&bed, &json!({})).await;
    assert_eq!((printed.as_str(), &job["jobInfo"]["killGrace"]), ("heard\n", &Value::Null), "{job}");
    assert!((Duration::from_millis(1900)..Duration::from_secs(4)).contains(&took), "{took:?}");
    let (job, printed, took) = aborted(&bed, &json!({ "kill_grace": 10 })).await;
    assert_eq!((printed.as_str(), &job["jobInfo"]["killGrace"]), ("heard\ntidy\n", &json!(10.0)), "{job}");
    assert!(took >= Duration::from_secs(4) && took < Duration::from_secs(10), "{took:?}");
}

crate::bed::everywhere! {
    a_job_that_asks_for_the_time_that_it_needs_ends_tidily_and_else_is_killed,
}
