//! The job list and its filters (UWS 1.1 §2.2.2.1).

use std::time::Duration;

use crate::bed::Bed;
use crate::uws::{LIST, ROOT, create, document, is_valid, listed, location, post, posted, status};

#[tokio::test]
async fn an_empty_list_is_a_valid_document_with_the_version() {
    let daemon = Bed::without_runs().start().await;
    for path in ["", "/"] {
        let list = document(&daemon, path).await;
        assert_eq!((list.name.as_str(), list.attribute("version")), ("uws:jobs", Some("1.1")));
        assert!(list.children.is_empty());
    }
}

#[tokio::test]
async fn a_job_is_listed_with_its_link_phase_run_id_owner_and_creation_time() {
    let daemon = Bed::without_runs().start().await;
    let first = create(&daemon, "COMMAND=print+1").await;
    let second = create(&daemon, "COMMAND=print+1&RUNID=%3Cr%3E&PHASE=RUN").await;
    let list = document(&daemon, "").await;
    let [newest, oldest] = &list.children[..] else { panic!("two jobs: {list:?}") };
    assert_eq!(newest.attribute("id"), Some(second.as_str()), "newest first");
    assert_eq!(newest.attribute("xlink:type"), Some("simple"));
    assert_eq!(newest.attribute("xlink:href"), Some(format!("{ROOT}/{second}").as_str()));
    assert_eq!(newest.names(), ["uws:phase", "uws:runId", "uws:ownerId", "uws:creationTime"]);
    assert_eq!((newest.value("uws:phase"), newest.value("uws:runId")), ("QUEUED", "<r>"));
    assert!(newest.is_nil("uws:ownerId"));
    assert_eq!(oldest.attribute("id"), Some(first.as_str()));
    assert_eq!(oldest.names(), ["uws:phase", "uws:ownerId", "uws:creationTime"]);
}

#[tokio::test]
async fn phases_are_ored_and_filters_are_anded_and_last_cuts_at_the_end() {
    let daemon = Bed::without_runs().start().await;
    let pending = create(&daemon, "COMMAND=print+1").await;
    let queued = create(&daemon, "COMMAND=print+1&PHASE=RUN").await;
    let aborted = create(&daemon, "COMMAND=print+1").await;
    posted(&daemon, &format!("/{aborted}/phase"), "PHASE=ABORT").await;
    daemon.clock.advance(Duration::from_secs(10));
    let late = create(&daemon, "COMMAND=print+1").await;
    let created = document(&daemon, &format!("/{aborted}")).await.value("uws:creationTime").to_owned();
    let late_created = document(&daemon, &format!("/{late}")).await.value("uws:creationTime").to_owned();
    let ids = |ids: &[&String]| ids.iter().map(|id| (*id).clone()).collect::<Vec<_>>();
    for (query, expected) in [
        ("", ids(&[&late, &aborted, &queued, &pending])),
        ("?PHASE=PENDING", ids(&[&late, &pending])),
        ("?PHASE=PENDING&PHASE=ABORTED", ids(&[&late, &aborted, &pending])),
        ("?phase=QUEUED&unknown=1", ids(&[&queued])),
        ("?PHASE=ARCHIVED", ids(&[])),
        ("?LAST=1", ids(&[&late])),
        ("?LAST=3", ids(&[&late, &aborted, &queued])),
        ("?LAST=1000000000000000000000", ids(&[&late, &aborted, &queued, &pending])),
        ("?PHASE=PENDING&LAST=1", ids(&[&late])),
        ("?PHASE=ABORTED&PHASE=QUEUED&LAST=1", ids(&[&aborted])),
        (&format!("?AFTER={created}"), ids(&[&late])),
        (&format!("?AFTER={late_created}"), ids(&[])),
        ("?AFTER=2000-01-01&LAST=2", ids(&[&late, &aborted])),
        (&format!("?AFTER={created}&PHASE=QUEUED"), ids(&[])),
    ] {
        assert_eq!(listed(&daemon, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn a_malformed_filter_is_400() {
    let daemon = Bed::without_runs().start().await;
    for query in [
        "?PHASE=DONE",
        "?PHASE=PENDING&PHASE=",
        "?LAST=0",
        "?LAST=-1",
        "?LAST=many",
        "?LAST=1&LAST=2",
        "?AFTER=yesterday",
        "?AFTER=2031-01-01T00:00:00%2B01:00",
        "?AFTER=2031&AFTER=2031",
        "?PHASE=%ff",
    ] {
        assert_eq!(status(&daemon, query).await, 400, "{query}");
    }
}

#[tokio::test]
async fn a_long_list_is_whole_in_every_form_and_a_deletion_leads_to_a_short_one() {
    let daemon = Bed::without_runs().start().await;
    // More than one page, and more than two.
    let mut ids = daemon.fill(500).await;
    assert_eq!(listed(&daemon, "").await, ids);
    daemon.clock.advance(Duration::from_secs(1));
    ids = [daemon.fill(501).await, ids].concat();
    assert_eq!(listed(&daemon, "").await, ids);
    for last in [101, 499, 500, 501, 1000] {
        assert_eq!(listed(&daemon, &format!("?LAST={last}")).await, ids[..last], "{last}");
    }
    let client = daemon.client();
    let json = client.send("GET", LIST, &[("accept", "application/json")], "").await.json();
    let in_json: Vec<&str> =
        json["jobs"].as_array().expect("a list").iter().map(|job| job["id"].as_str().expect("an id")).collect();
    assert_eq!(in_json, ids);
    let answer = client.send("DELETE", &format!("{LIST}/{}", ids[0]), &[], "").await;
    assert_eq!(location(&answer, "DELETE"), format!("{ROOT}?LAST=100"));
    let few = Bed::without_runs().start().await;
    let id = create(&few, "COMMAND=print+1").await;
    let answer = post(&few, &format!("/{id}"), "action=delete").await;
    assert_eq!(location(&answer, "ACTION=DELETE"), ROOT);
    assert_eq!(status(&few, &format!("/{id}")).await, 404);
    assert!(listed(&few, "").await.is_empty());
}

#[tokio::test]
async fn jobs_of_another_service_are_not_there() {
    let mut bed = Bed::without_runs();
    bed.config.services.insert("other".to_owned(), bed.config.services["ocps"].clone());
    let daemon = bed.start().await;
    let id = create(&daemon, "COMMAND=print+1").await;
    let client = daemon.client();
    let list = client.get("/api/other/async").await;
    is_valid(&daemon, list.text());
    assert!(!list.text().contains(&id));
    for (method, path) in [("GET", ""), ("DELETE", ""), ("GET", "/phase"), ("POST", "/phase"), ("PUT", "")] {
        let answer = client.send(method, &format!("/api/other/async/{id}{path}"), &[], "").await;
        assert_eq!(answer.status, 404, "{method} {path}");
    }
    assert_eq!(client.get("/api/nobody/async").await.status, 404);
    assert_eq!(listed(&daemon, "").await, [id]);
}
