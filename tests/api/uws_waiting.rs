//! The blocking GET (UWS 1.1 §2.2.1.2): every line of its decision table.

use std::time::{Duration, Instant};

use uwsd::domain::JobId;
use uwsd::ports::{Change, Store, Update};

use crate::bed::{Bed, Daemon};
use crate::client::{Answer, Client};
use crate::operator::{order, with_socket};
use crate::uws::{Element, LIST, create, ended, is_valid, post, posted, reaches, status};

/// Long enough to tell a wait from an answer at once.
const SOON: Duration = Duration::from_millis(900);

fn timed(daemon: &Daemon, below: &str) -> impl Future<Output = (Answer, Duration)> + use<> {
    let (client, path): (Client, String) = (daemon.client(), format!("{LIST}{below}"));
    async move {
        let began = Instant::now();
        (client.get(&path).await, began.elapsed())
    }
}

fn phase(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    Element::parse(answer.text()).value("uws:phase").to_owned()
}

/// Does `deed` while a request waits; what the request was answered, and how long after the deed.
async fn during(daemon: &Daemon, below: &str, deed: impl Future<Output = ()>) -> (Answer, Duration) {
    let waiting = timed(daemon, below);
    let acting = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        deed.await;
        Instant::now()
    };
    let (((answer, took), answered), done) = tokio::join!(async { (waiting.await, Instant::now()) }, acting);
    assert!(took >= Duration::from_millis(150), "it did not wait: {took:?}");
    (answer, answered.saturating_duration_since(done))
}

#[tokio::test]
async fn without_a_wait_or_with_0_the_answer_comes_at_once() {
    let daemon = Bed::without_runs().start().await;
    let id = create(&daemon, "COMMAND=print+1").await;
    for query in ["", "?WAIT=0", "?wait=-0", "?PHASE=PENDING", "?PHASE=JUMP", "?other=1"] {
        let (answer, took) = timed(&daemon, &format!("/{id}{query}")).await;
        assert_eq!(phase(&answer), "PENDING");
        assert!(took < SOON, "{query}: {took:?}");
    }
}

#[tokio::test]
async fn an_active_job_is_waited_for_as_long_as_asked() {
    let daemon = Bed::without_runs().start().await;
    let pending = create(&daemon, "COMMAND=print+1").await;
    let queued = create(&daemon, "COMMAND=print+1&PHASE=RUN").await;
    let waits = [
        timed(&daemon, &format!("/{pending}?WAIT=1")),
        timed(&daemon, &format!("/{pending}?WAIT=1&PHASE=PENDING")),
        timed(&daemon, &format!("/{queued}?phase=QUEUED&wait=1")),
    ];
    for (answer, took) in futures_util::future::join_all(waits).await {
        is_valid(&daemon, answer.text());
        assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(3), "{took:?}");
    }
}

#[tokio::test]
async fn another_phase_than_the_one_named_is_answered_at_once() {
    let daemon = Bed::without_runs().start().await;
    let id = create(&daemon, "COMMAND=print+1").await;
    for query in ["?WAIT=30&PHASE=QUEUED", "?WAIT=-1&PHASE=COMPLETED"] {
        let (answer, took) = timed(&daemon, &format!("/{id}{query}")).await;
        assert_eq!(phase(&answer), "PENDING");
        assert!(took < SOON, "{query}: {took:?}");
    }
}

#[tokio::test]
async fn a_job_that_is_not_active_is_answered_at_once() {
    let daemon = Bed::new().start().await;
    for (command, expected) in [("print 1", "COMPLETED"), ("exit 1", "ERROR")] {
        let (id, _) = ended(&daemon, command, expected).await;
        for query in ["?WAIT=30".to_owned(), "?WAIT=-1".to_owned(), format!("?WAIT=30&PHASE={expected}")] {
            let (answer, took) = timed(&daemon, &format!("/{id}{query}")).await;
            assert_eq!(phase(&answer), expected);
            assert!(took < SOON, "{query}: {took:?}");
        }
    }
    let held = create(&daemon, "COMMAND=print+1").await;
    let id: JobId = held.parse().expect("an id");
    daemon.store.change(id, Change::Hold, daemon.now()).await.expect("held");
    let (answer, took) = timed(&daemon, &format!("/{held}?WAIT=30")).await;
    assert_eq!(phase(&answer), "HELD");
    assert!(took < SOON, "{took:?}");
    // An operator holds it: its client cannot run it before it is let go.
    let refused = post(&daemon, &format!("/{held}/phase"), "PHASE=RUN").await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.text(), format!("job {held} is HELD: an operator holds it, and has to release it first"));
    daemon.store.update(id, vec![Update::LetGo]).await.expect("let go");
    posted(&daemon, &format!("/{held}/phase"), "PHASE=RUN").await;
}

#[tokio::test]
async fn a_change_of_phase_ends_the_wait() {
    let daemon = Bed::without_runs().start().await;
    let id = create(&daemon, "COMMAND=print+1").await;
    let path = format!("/{id}/phase");
    let (answer, after) =
        during(&daemon, &format!("/{id}?WAIT=-1"), async { drop(posted(&daemon, &path, "PHASE=RUN").await) }).await;
    assert_eq!(phase(&answer), "QUEUED");
    assert!(after < SOON, "{after:?}");
    let (answer, after) = during(&daemon, &format!("/{id}?WAIT=30&PHASE=QUEUED"), async {
        drop(posted(&daemon, &path, "PHASE=ABORT").await);
    })
    .await;
    assert_eq!(phase(&answer), "ABORTED");
    assert!(after < SOON, "{after:?}");
}

#[tokio::test]
async fn the_start_and_the_end_of_a_command_end_the_wait() {
    let daemon = Bed::new().start().await;
    let id = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    let mut seen = "QUEUED".to_owned();
    while seen == "QUEUED" {
        let (answer, _) = timed(&daemon, &format!("/{id}?WAIT=30&PHASE=QUEUED")).await;
        seen = phase(&answer);
    }
    assert_eq!(seen, "EXECUTING");
    let (answer, after) =
        during(&daemon, &format!("/{id}?WAIT=-1&PHASE=EXECUTING"), async { daemon.engine.end_by_itself(0) }).await;
    assert_eq!(phase(&answer), "COMPLETED");
    assert!(after < Duration::from_secs(3), "{after:?}");
}

#[tokio::test]
async fn a_change_that_is_none_of_the_phase_s_does_not_end_the_wait() {
    let daemon = Bed::without_runs().start().await;
    let id = create(&daemon, "COMMAND=print+1").await;
    let below = format!("/{id}/executionduration");
    let waiting = timed(&daemon, &format!("/{id}?WAIT=1"));
    let ((_, took), _) = tokio::join!(waiting, posted(&daemon, &below, "EXECUTIONDURATION=9"));
    assert!(took >= Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_deletion_while_waiting_is_404_at_once_from_either_side() {
    for api in [LIST, "/api/v1/job"] {
        let daemon = Bed::new().start().await;
        let id = create(&daemon, "COMMAND=stubborn&PHASE=RUN").await;
        crate::uws::reaches(&daemon, &id, "EXECUTING").await;
        let (answer, after) = during(&daemon, &format!("/{id}?WAIT=-1"), async {
            let answer = daemon.client().send("DELETE", &format!("{api}/{id}"), &[], "").await;
            assert!(answer.status < 400, "{}", answer.text());
        })
        .await;
        assert_eq!(answer.status, 404, "{api}");
        assert!(after < SOON, "{api}: {after:?}");
    }
}

#[tokio::test]
async fn the_shutdown_ends_every_wait_with_the_job_s_document() {
    let mut daemon = Bed::without_runs().start().await;
    let id = create(&daemon, "COMMAND=print+1").await;
    let stop = daemon.stop.clone();
    let (answer, after) = during(&daemon, &format!("/{id}?WAIT=-1"), async move { stop.cancel() }).await;
    assert_eq!(phase(&answer), "PENDING");
    assert!(after < SOON, "{after:?}");
    let served = tokio::time::timeout(Duration::from_secs(3), daemon.server.join_next()).await;
    served.expect("nothing holds the server up").expect("one").expect("no panic").expect("served");
}

#[tokio::test]
async fn a_malformed_wait_is_400_but_a_missing_job_is_404_first() {
    let daemon = Bed::without_runs().start().await;
    let id = create(&daemon, "COMMAND=print+1").await;
    for query in
        ["WAIT=", "WAIT=x", "WAIT=1.5", "WAIT=1&WAIT=1", "WAIT=1&PHASE=JUMP", "WAIT=1&PHASE=QUEUED&PHASE=QUEUED"]
    {
        assert_eq!(status(&daemon, &format!("/{id}?{query}")).await, 400, "{query}");
        assert_eq!(status(&daemon, &format!("/{}?{query}", "0".repeat(32))).await, 404, "{query}");
    }
}

#[tokio::test]
async fn only_the_job_itself_blocks() {
    let daemon = Bed::without_runs().start().await;
    let id = create(&daemon, "COMMAND=print+1").await;
    for below in [String::new(), format!("/{id}/phase"), format!("/{id}/results"), format!("/{id}/owner")] {
        let (answer, took) = timed(&daemon, &format!("{below}?WAIT=30")).await;
        assert_eq!(answer.status, 200);
        assert!(took < SOON, "{below}: {took:?}");
    }
}

#[tokio::test]
async fn one_that_is_aborted_suspended_or_archived_is_not_waited_for() {
    let mut bed = with_socket(Bed::new());
    bed.config.services.get_mut("ocps").expect("there").archive = Some(Duration::from_secs(1000));
    let daemon = bed.start().await;
    let at_once = async |id: &str, expected: &str| {
        for query in ["?WAIT=30", "?WAIT=-1"] {
            let (answer, took) = timed(&daemon, &format!("/{id}{query}")).await;
            assert_eq!(phase(&answer), expected);
            assert!(took < SOON, "{expected}: {took:?}");
        }
    };
    let id = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    reaches(&daemon, &id, "EXECUTING").await;
    assert_eq!(order(&daemon, &id, "suspend").await.status, 200);
    at_once(&id, "SUSPENDED").await;
    posted(&daemon, &format!("/{id}/phase"), "PHASE=ABORT").await;
    reaches(&daemon, &id, "ABORTED").await;
    at_once(&id, "ABORTED").await;
    posted(&daemon, &format!("/{id}/destruction"), "DESTRUCTION=2000-01-01").await;
    daemon.clock.advance(Duration::from_secs(20));
    let other = create(&daemon, "COMMAND=print+1").await;
    posted(&daemon, &format!("/{other}/destruction"), "DESTRUCTION=2100-01-01").await;
    reaches(&daemon, &id, "ARCHIVED").await;
    at_once(&id, "ARCHIVED").await;
}

#[tokio::test]
async fn nobody_waits_longer_than_is_configured() {
    let mut bed = Bed::without_runs();
    bed.config.uws.max_wait = Duration::from_millis(300);
    let daemon = bed.start().await;
    let id = create(&daemon, "COMMAND=print+1").await;
    for query in ["?WAIT=30", "?WAIT=-1", "?WAIT=99999999999999999999"] {
        let (answer, took) = timed(&daemon, &format!("/{id}{query}")).await;
        assert_eq!(phase(&answer), "PENDING");
        assert!(took >= Duration::from_millis(300) && took < SOON, "{query}: {took:?}");
    }
}

#[tokio::test]
async fn beyond_the_bound_of_waiters_the_next_is_answered_at_once() {
    let mut bed = Bed::without_runs();
    bed.config.uws.max_waiting = 1;
    let daemon = bed.start().await;
    let id = create(&daemon, "COMMAND=print+1").await;
    let first = timed(&daemon, &format!("/{id}?WAIT=1"));
    let next = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        timed(&daemon, &format!("/{id}?WAIT=30")).await
    };
    let ((one, long), (two, short)) = tokio::join!(first, next);
    assert_eq!((phase(&one), phase(&two)), ("PENDING".to_owned(), "PENDING".to_owned()));
    assert!(long >= Duration::from_secs(1) && short < Duration::from_millis(700), "{long:?} {short:?}");
    let (_, again) = timed(&daemon, &format!("/{id}?WAIT=1")).await;
    assert!(again >= Duration::from_secs(1), "its place was given back: {again:?}");
}
