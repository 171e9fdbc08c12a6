//! The list of jobs.

use std::sync::atomic::Ordering;

use serde_json::Value;
use uwsd::domain::JobId;
use uwsd::ports::{Change, Clock, Store};

use crate::bed::{Bed, Daemon};
use crate::odd_store::odd;

async fn ids(daemon: &Daemon, query: &str) -> Vec<String> {
    let answer = daemon.client().get(&format!("/api/v1/job{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let list = answer.json();
    list.as_array().expect("a list").iter().map(|job| job["jobId"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn an_empty_list_is_an_empty_array() {
    let daemon = Bed::new().start().await;
    for path in ["/api/v1/job", "/api/v1/job/", "/api/v1/job?phase=", "/api/v1/job?phase=executing"] {
        let answer = daemon.client().get(path).await;
        assert_eq!((answer.status, answer.text(), answer.header("content-type")), (200, "[]", "application/json"));
    }
}

#[tokio::test]
async fn a_long_list_is_streamed_whole_newest_first() {
    let daemon = Bed::without_runs().start().await;
    let expected = daemon.fill(2500).await;
    let answer = daemon.client().get("/api/v1/job").await;
    assert_eq!(answer.header("transfer-encoding"), "chunked");
    let list: Vec<Value> = serde_json::from_slice(&answer.body).expect("a list");
    let listed: Vec<&str> = list.iter().map(|job| job["jobId"].as_str().expect("an id")).collect();
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn a_list_of_large_jobs_is_whole_and_made_in_small_pages() {
    let (daemon, store) = odd(Bed::without_runs()).await;
    let expected = daemon.fill_with(40, &"x".repeat(1 << 20)).await;
    assert_eq!(ids(&daemon, "").await, expected);
    let largest = store.largest.load(Ordering::SeqCst);
    assert!((1 << 20..3 << 20).contains(&largest), "a page held {largest} bytes");
}

#[tokio::test]
async fn a_list_of_whole_pages_ends_as_well() {
    for jobs in [99, 100, 101, 200] {
        let daemon = Bed::without_runs().start().await;
        assert_eq!(daemon.fill(jobs).await, ids(&daemon, "").await);
    }
}

#[tokio::test]
async fn a_phase_filters_and_includes_what_reads_the_same() {
    let daemon = Bed::without_runs().start().await;
    let waiting = daemon.submit("print 1").await;
    let held = daemon.submit("print 2").await;
    let id: JobId = held.parse().expect("an id");
    daemon.store.change(id, Change::Hold, daemon.clock.now()).await.expect("held");
    assert_eq!(daemon.job(&held).await["phase"], "queued");
    let both = vec![held.clone(), waiting.clone()];
    for query in ["", "?phase=queued", "?phase=QUEUED", "?phase=queued,completed", "?phase=error&phase=queued"] {
        assert_eq!(ids(&daemon, query).await, both, "{query}");
    }
    assert_eq!(ids(&daemon, "?phase=held").await, vec![held]);
    for query in ["?phase=executing", "?phase=completed", "?phase=error", "?phase=unknown", "?phase=aborted"] {
        assert!(ids(&daemon, query).await.is_empty(), "{query}");
    }
}
