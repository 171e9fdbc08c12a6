//! `Idempotency-Key`: a request that is sent again makes no second job, in either API.

use crate::bed::{Bed, eventually};
use crate::uws::{FORM, LIST};
use crate::uws_uploads::{BOUNDARY, kept, multipart};
use crate::uws_urls::{web, with_urls};

#[tokio::test]
async fn a_request_sent_again_with_its_key_makes_no_second_job() {
    let daemon = Bed::without_runs().start().await;
    let key = ("idempotency-key", "\"night-17\"");
    let make = async |form: &str| daemon.client().send("POST", LIST, &[FORM, key], form).await;
    let first = make("COMMAND=print+1&PHASE=RUN").await;
    let again = make("COMMAND=print+1&PHASE=RUN").await;
    assert_eq!((first.status, again.status), (303, 303));
    assert_eq!(first.header("location"), again.header("location"));
    let other = make("COMMAND=print+2&PHASE=RUN").await;
    assert_eq!(other.status, 422);
    assert!(other.text().starts_with("the Idempotency-Key was used for another request"), "{}", other.text());
    assert_eq!(daemon.listed().await, 1);

    let json = ("content-type", "application/json");
    let put = async |key: &str, body: &str| {
        daemon.client().send("PUT", "/api/v1/job", &[json, ("idempotency-key", key)], body).await
    };
    let body = r#"{"command": "print 1"}"#;
    let [one, two] = [put("k", body).await, put("k", body).await];
    assert_eq!(one.json()["jobId"], two.json()["jobId"]);
    assert_eq!(daemon.listed().await, 2);
    // Many at once are one, too.
    let many = futures_util::future::join_all((0..16).map(|_| put("many", body))).await;
    assert!(many.iter().all(|answer| answer.status == 200 && answer.json()["jobId"] == many[0].json()["jobId"]));
    assert_eq!(daemon.listed().await, 3);
    let bad = put(&"x".repeat(256), body).await;
    assert_eq!(bad.status, 400, "{}", bad.text());
}

#[tokio::test]
async fn a_request_sent_again_is_answered_also_when_nothing_more_is_accepted() {
    let mut bed = Bed::without_runs();
    bed.config.queue.max_queued = 1;
    let daemon = bed.start().await;
    let make = async |key| {
        daemon.client().send("POST", LIST, &[FORM, ("idempotency-key", key)], "COMMAND=print+1&PHASE=RUN").await
    };
    let first = make("a").await;
    assert_eq!(make("b").await.status, 503, "the queue is full");
    let again = make("a").await;
    assert_eq!((again.status, again.header("location")), (303, first.header("location")));
}

#[tokio::test]
async fn files_count_by_name_and_content_and_are_not_kept_twice() {
    let daemon = Bed::without_runs().start().await;
    let make = async |content| {
        let parts = [("COMMAND", None, "x"), ("UPLOAD", None, "t,param:f"), ("f", Some("f"), content)];
        daemon.client().send("POST", LIST, &[BOUNDARY, ("idempotency-key", "k")], multipart(&parts)).await
    };
    let [first, again] = [make("12").await, make("12").await];
    assert_eq!((again.status, again.header("location")), (303, first.header("location")));
    for other in ["123", "13"] {
        assert_eq!(make(other).await.status, 422, "{other}");
    }
    eventually("the files of the others to go", || async { (kept(&daemon).len() == 1).then_some(()) }).await;
}

#[tokio::test]
async fn what_was_fetched_once_is_not_fetched_again() {
    let (port, server) = web("a,b\n").await;
    let daemon = with_urls(&["127.0.0.0/8"]).start().await;
    let form = format!("CAT=http://127.0.0.1:{port}/file");
    let make =
        async || daemon.client().send("POST", "/api/typed/async", &[FORM, ("idempotency-key", "k")], &form).await;
    let first = make().await;
    assert_eq!(first.status, 303, "{}", first.text());
    drop(server);
    let again = make().await;
    assert_eq!((again.status, again.header("location")), (303, first.header("location")), "{}", again.text());
}
