//! When we err: a status, nothing of our insides, and the next request is answered.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::BodyExt;

use crate::bed::Bed;
use crate::client::request;
use crate::odd_store::odd;
use crate::uws::{LIST, create, post};

#[tokio::test]
async fn a_handler_that_panics_is_a_500_and_no_more() {
    let (daemon, store) = odd(Bed::without_runs()).await;
    let id = daemon.submit("print 1").await;
    let path = format!("/api/v1/job/{id}");
    let mut connection = daemon.client().connect().await;
    store.panics.store(true, Ordering::SeqCst);
    let broken = connection.send(request("GET", &path, &[], "")).await.expect("answered");
    assert_eq!(crate::client::whole(broken).await.status, 500);
    store.panics.store(false, Ordering::SeqCst);
    let fine = connection.send(request("GET", &path, &[], "")).await.expect("the connection goes on");
    assert_eq!(fine.status(), 200);
}

#[tokio::test]
async fn what_panics_on_behalf_of_a_request_is_a_500_and_no_shutdown() {
    let mut bed = Bed::without_runs();
    bed.is_odd_within = true;
    let (daemon, store) = odd(bed).await;
    let id = create(&daemon, "COMMAND=print+1").await;
    store.updates.close();
    let broken = post(&daemon, &format!("/{id}/destruction"), "DESTRUCTION=2100-01-01").await;
    assert_eq!(broken.status, 500, "{}", broken.text());
    assert!(!broken.text().contains("shutting down") && !broken.text().contains("panic"), "{}", broken.text());
    assert_eq!(daemon.client().get(&format!("{LIST}/{id}/phase")).await.text(), "PENDING");
}

#[tokio::test]
async fn a_failing_store_tells_nothing_of_our_insides() {
    let (daemon, store) = odd(Bed::without_runs()).await;
    let id = daemon.submit("print 1").await;
    store.fails.store(true, Ordering::SeqCst);
    for path in [format!("/api/v1/job/{id}"), format!("{LIST}/{id}"), format!("{LIST}/{id}/phase")] {
        let answer = daemon.client().get(&path).await;
        assert_eq!(answer.status, 500, "{path}");
        for inside in ["secret", "disk", "database", "reading"] {
            assert!(!answer.text().contains(inside), "{path}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_list_that_breaks_is_cut_and_not_ended() {
    let (daemon, store) = odd(Bed::without_runs()).await;
    daemon.fill(250).await;
    store.fails.store(true, Ordering::SeqCst);
    let mut connection = daemon.client().connect().await;
    // The cut may come before the head was sent.
    if let Ok(answer) = connection.send(request("GET", "/api/v1/job", &[], "")).await {
        assert!(answer.into_body().collect().await.is_err(), "the client sees that something is missing");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_makes_no_pages_pile_up() {
    let (daemon, store) = odd(Bed::without_runs()).await;
    // More than the sockets' buffers take: about 100 pages of 100 KiB.
    daemon.fill_with(10_000, &"x".repeat(1000)).await;
    let mut connection = daemon.client().connect().await;
    let answer = connection.send(request("GET", "/api/v1/job", &[], "")).await.expect("answered");
    let mut settled = store.pages.load(Ordering::SeqCst);
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = store.pages.load(Ordering::SeqCst);
        if now == settled {
            break;
        }
        settled = now;
    }
    assert!(settled < 90, "{settled} of 101 pages were read although nobody reads them");
    let whole = answer.into_body().collect().await.expect("the rest comes when it is wanted").to_bytes();
    let list: Vec<serde_json::Value> = serde_json::from_slice(&whole).expect("a list");
    assert_eq!((list.len(), store.pages.load(Ordering::SeqCst)), (10_000, 101));
}
