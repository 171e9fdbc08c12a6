//! One job, several jobs, from submission to their end.

use std::time::Duration;

use uwsd::domain::{Caller, JobFilter, Page, Phase, Reason, Source, Stage, SummaryKind, Work};
use uwsd::ports::Store;
use uwsd::supervisor::{Denied, Readiness};

use crate::bed::{Bed, eventually, work};

#[tokio::test]
async fn a_job_runs_to_its_results_and_every_step_is_an_event() {
    let bed = Bed::new();
    let daemon = bed.start().await;
    let id = daemon.submit("print hello; write b.txt 22; write a/x 1; exit 0").await;
    let job = daemon.ends(id).await;
    let outcome = job.outcome.clone().expect("ended");
    assert_eq!((job.phase, outcome.reason, outcome.exit_code), (Phase::Completed, Reason::Ok, Some(0)));
    assert_eq!(outcome.summary, None);
    let results: Vec<_> = job.results.iter().map(|result| (result.path.as_str(), result.size)).collect();
    assert_eq!(results, [("a/x", 1), ("b.txt", 2)]);
    assert!(job.started_at >= Some(job.created_at) && job.ended_at >= job.started_at);
    assert_eq!(job.facts.image_digest.as_deref(), Some("sha256:fake"));
    let events: Vec<_> = daemon.store.events(0, 10).await.expect("read").iter().map(|e| (e.from, e.to)).collect();
    let expected =
        [(None, Phase::Queued), (Some(Phase::Queued), Phase::Executing), (Some(Phase::Executing), Phase::Completed)];
    assert_eq!(events, expected);
    eventually("the run to be removed", || async { bed.engine.is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn each_way_to_end_has_its_reason() {
    let bed = Bed::new();
    let daemon = bed.start().await;
    for (command, phase, reason) in [
        ("exit 3", Phase::Error, Reason::Nonzero),
        ("signal 11", Phase::Error, Reason::Signal),
        ("oom", Phase::Error, Reason::Oom),
        ("vanish", Phase::Error, Reason::Lost),
    ] {
        let id = daemon.submit(command).await;
        let job = daemon.ends(id).await;
        let outcome = job.outcome.expect("ended");
        assert_eq!((job.phase, outcome.reason), (phase, reason), "{command}");
        assert!(!outcome.summary.expect("a sentence").message.is_empty(), "{command}");
    }
}

#[tokio::test]
async fn a_source_that_cannot_be_had_never_runs_the_command() {
    let bed = Bed::new();
    let daemon = bed.start().await;
    for (url, kind) in [("git://no", SummaryKind::Fatal), ("git://gone", SummaryKind::Transient)] {
        let source = Some(Source { url: url.to_owned(), commit_ref: "main".to_owned() });
        let id = daemon.submit_work(Work { source, ..work("exit 0") }).await.expect("accepted").id;
        let outcome = daemon.reaches(id, Phase::Error).await.outcome.expect("ended");
        assert_eq!((outcome.reason, outcome.summary.expect("one").kind), (Reason::CloneFailed, kind));
    }
    assert_eq!(bed.engine.starts(), (0, 0));
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing_half_done() {
    let mut bed = Bed::new();
    bed.config.queue.max_running = 0;
    bed.config.queue.max_queued = 30;
    let daemon = bed.start().await;
    for _ in 0..20 {
        // Polled once: the write is on its way when its future is dropped.
        let submitted = daemon.submit_work(work("exit 0"));
        assert!(futures_util::FutureExt::now_or_never(submitted).is_none());
    }
    eventually("all to be stored", || async {
        (daemon.store.totals().await.expect("read").waiting == 20).then_some(())
    })
    .await;
    let all = daemon.store.jobs(&JobFilter::default(), Page { after: None, limit: 100 }).await.expect("read");
    for job in &all {
        let deleted = daemon.handle.delete(&Caller::Anonymous, job.id);
        assert!(futures_util::FutureExt::now_or_never(deleted).is_none());
        // The first await of a deletion reads the job; go on until the wish itself is under way.
        let again = daemon.handle.delete(&Caller::Anonymous, job.id);
        drop(tokio::time::timeout(Duration::from_millis(1), again).await);
    }
    for job in &all {
        drop(daemon.handle.delete(&Caller::Anonymous, job.id).await);
    }
    eventually("all to be ended", || async { (daemon.store.totals().await.expect("read").waiting == 0).then_some(()) })
        .await;
    // Every place is free again, and not one more.
    for _ in 0..30 {
        daemon.submit("exit 0").await;
    }
    assert!(matches!(daemon.submit_work(work("exit 0")).await, Err(Denied::QueueFull { waiting: 30, .. })));
}

#[tokio::test]
async fn an_engine_that_was_restarted_under_a_job_makes_no_success_of_it() {
    let bed = Bed::new();
    let daemon = bed.start().await;
    let id = daemon.submit("hang").await;
    daemon.reaches(id, Phase::Executing).await;
    eventually("the start", || async { (bed.engine.starts().0 > 0).then_some(()) }).await;
    // The engine comes back and says that the run ended with 0.
    bed.engine.reboot("boot-2");
    let outcome = daemon.reaches(id, Phase::Error).await.outcome.expect("ended");
    assert_eq!((outcome.reason, outcome.exit_code), (Reason::HostRestart, None));
    // What is launched afterwards is not blamed for it.
    let next = daemon.submit("exit 0").await;
    assert_eq!(daemon.ends(next).await.phase, Phase::Completed);
}

#[tokio::test]
async fn advisory_limits_are_told_from_the_launch_on() {
    let bed = Bed::new();
    bed.engine.make_limits_advisory();
    let daemon = bed.start().await;
    let id = daemon.submit("hang").await;
    assert!(daemon.reaches(id, Phase::Executing).await.facts.is_advisory);
    // Also when the end says nothing of it.
    let ended = eventually("the end", || async {
        bed.engine.end_by_itself(0); // it may be EXECUTING and not started yet
        Some(daemon.job(id).await).filter(|job| job.phase.is_final())
    });
    assert!(ended.await.facts.is_advisory);
}

#[tokio::test]
async fn an_image_that_is_not_there_ends_the_job_with_pull_failed() {
    let mut bed = Bed::new();
    bed.config.services.get_mut("ocps").expect("there").image = "missing".to_owned();
    let daemon = bed.start().await;
    let id = daemon.submit("exit 0").await;
    assert_eq!(daemon.reaches(id, Phase::Error).await.outcome.expect("ended").reason, Reason::PullFailed);
}

#[tokio::test]
async fn what_cannot_be_accepted_leaves_nothing() {
    let mut bed = Bed::new();
    bed.config.queue.max_queued = 1;
    bed.config.queue.max_running = 0;
    let daemon = bed.start().await;
    let bad = Source { url: "ext::sh".to_owned(), commit_ref: String::new() };
    assert!(matches!(
        daemon.submit_work(Work { source: Some(bad), ..work("exit 0") }).await,
        Err(Denied::Unacceptable { field, .. }) if field == "url"
    ));
    for replicas in [0, 5] {
        let denied = daemon.submit_work(Work { replicas, ..work("exit 0") }).await;
        assert!(matches!(denied, Err(Denied::Unacceptable { field, .. }) if field == "replicas"), "{replicas}");
    }
    daemon.submit("exit 0").await;
    assert!(matches!(daemon.submit_work(work("exit 0")).await, Err(Denied::QueueFull { waiting: 1, .. })));
    assert_eq!(daemon.store.totals().await.expect("read").waiting, 1);
}

#[tokio::test]
async fn a_place_in_the_queue_is_free_again_once_a_job_starts() {
    let mut bed = Bed::new();
    bed.config.queue.max_queued = 1;
    let daemon = bed.start().await;
    for _ in 0..5 {
        let id = daemon.submit("exit 0").await;
        daemon.ends(id).await;
    }
}

#[tokio::test]
async fn no_more_than_max_running_execute_and_the_order_is_kept() {
    let bed = Bed::new();
    let daemon = bed.start().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(daemon.submit("hang").await);
    }
    daemon.reaches(ids[0], Phase::Executing).await;
    daemon.reaches(ids[1], Phase::Executing).await;
    assert_eq!(daemon.job(ids[2]).await.phase, Phase::Queued);
    assert_eq!(daemon.handle.standing(ids[2]), None);
    daemon.handle.abort(&Caller::Anonymous, ids[0]).await.expect("aborted");
    daemon.reaches(ids[2], Phase::Executing).await;
    assert_eq!(daemon.job(ids[3]).await.phase, Phase::Queued);
}

#[tokio::test]
async fn a_job_that_fetches_is_queued_and_says_what_it_does() {
    let bed = Bed::new();
    let daemon = bed.start().await;
    let source = Some(Source { url: "git://slow".to_owned(), commit_ref: String::new() });
    let id = daemon.submit_work(Work { source, ..work("exit 0") }).await.expect("accepted").id;
    eventually("the fetch", || async {
        (daemon.handle.standing(id).is_some_and(|standing| standing.stage == Stage::Cloning)).then_some(())
    })
    .await;
    assert_eq!(daemon.job(id).await.phase, Phase::Queued);
    daemon.handle.abort(&Caller::Anonymous, id).await.expect("aborted");
    assert_eq!(daemon.reaches(id, Phase::Aborted).await.outcome.expect("ended").reason, Reason::Aborted);
    assert_eq!(bed.engine.starts(), (0, 0));
}

#[tokio::test]
async fn a_job_that_is_being_prepared_when_the_daemon_is_drained_goes_back_into_the_queue() {
    let bed = Bed::new();
    let daemon = bed.start().await;
    let source = Some(Source { url: "git://slow".to_owned(), commit_ref: String::new() });
    let id = daemon.submit_work(Work { source, ..work("exit 0") }).await.expect("accepted").id;
    let fetches = || async {
        (daemon.handle.standing(id).is_some_and(|standing| standing.stage == Stage::Cloning)).then_some(())
    };
    eventually("the fetch", fetches).await;
    assert_eq!(daemon.handle.status().await.expect("told").running_total, 0);
    daemon.handle.drain().await.expect("drained");
    eventually("its place to be free", || async {
        (daemon.handle.status().await.expect("told").running_total == 0).then_some(())
    })
    .await;
    assert_eq!(daemon.handle.figures().taken.jobs, 0);
    assert_eq!(daemon.job(id).await.phase, Phase::Queued);
    assert_eq!(bed.engine.starts(), (0, 0));
    daemon.handle.undrain().await.expect("undrained");
    eventually("the fetch", fetches).await;
}

#[tokio::test]
async fn an_engine_that_is_started_anew_while_a_job_is_prepared_takes_nothing_from_it() {
    let bed = Bed::new();
    let daemon = bed.start().await;
    let gate = bed.config.server.state_dir.join("gate");
    let source = Some(Source { url: format!("git://after{}", gate.display()), commit_ref: String::new() });
    let id = daemon.submit_work(Work { source, ..work("exit 0") }).await.expect("accepted").id;
    eventually("the fetch", || async {
        (daemon.handle.standing(id).is_some_and(|standing| standing.stage == Stage::Cloning)).then_some(())
    })
    .await;
    bed.engine.reboot("boot-2");
    std::fs::write(&gate, "").expect("opened");
    assert_eq!(daemon.ends(id).await.outcome.expect("ended").reason, Reason::Ok);
}

#[tokio::test]
async fn the_limit_stops_even_a_stubborn_job() {
    let mut bed = Bed::new();
    let service = bed.config.services.get_mut("ocps").expect("there");
    service.execution_duration = Some(Duration::from_millis(50));
    service.kill_grace = Duration::from_millis(50);
    let daemon = bed.start().await;
    for command in ["hang", "stubborn"] {
        let id = daemon.submit(command).await;
        let outcome = daemon.reaches(id, Phase::Aborted).await.outcome.expect("ended");
        assert_eq!(outcome.reason, Reason::Timeout);
        assert_eq!(outcome.summary.expect("one").message, "the execution limit of 0.05 s was reached");
    }
}

#[tokio::test]
async fn abort_twice_is_success_and_of_a_finished_job_it_is_refused() {
    let bed = Bed::new();
    let daemon = bed.start().await;
    let id = daemon.submit("hang").await;
    daemon.reaches(id, Phase::Executing).await;
    daemon.handle.abort(&Caller::Anonymous, id).await.expect("aborted");
    daemon.reaches(id, Phase::Aborted).await;
    let again = daemon.handle.abort(&Caller::Anonymous, id).await.expect("still so");
    assert_eq!(again.phase, Phase::Aborted);
    let done = daemon.submit("exit 0").await;
    daemon.ends(done).await;
    assert!(matches!(daemon.handle.abort(&Caller::Anonymous, done).await, Err(Denied::AlreadyFinal { .. })));
}

#[tokio::test]
async fn a_waiting_job_is_aborted_at_once() {
    let mut bed = Bed::new();
    bed.config.queue.max_running = 0;
    let daemon = bed.start().await;
    let id = daemon.submit("exit 0").await;
    let job = daemon.handle.abort(&Caller::Anonymous, id).await.expect("aborted");
    assert_eq!(job.phase, Phase::Aborted);
    assert!(job.ended_at.is_some() && job.started_at.is_none());
}

#[tokio::test]
async fn replicas_end_together_and_the_first_failure_decides() {
    let bed = Bed::new();
    let daemon = bed.start().await;
    let id = daemon.submit_work(Work { replicas: 3, ..work("exit 4") }).await.expect("accepted").id;
    let outcome = daemon.ends(id).await.outcome.expect("ended");
    assert_eq!((outcome.reason, outcome.exit_code), (Reason::Nonzero, Some(4)));
    assert!(outcome.summary.expect("one").message.contains("of replica "));
    let good = daemon.submit_work(Work { replicas: 3, ..work("print x; exit 0") }).await.expect("accepted").id;
    assert_eq!(daemon.ends(good).await.phase, Phase::Completed);
    let logs = bed.config.server.jobs_dir.join(good.to_string()).join("log");
    for replica in 0..3 {
        assert_eq!(std::fs::read_to_string(logs.join(replica.to_string()).join("stdout")).expect("there"), "x\n");
    }
}

#[tokio::test]
async fn an_engine_that_does_not_answer_keeps_jobs_queued_and_they_run_once_it_does() {
    let bed = Bed::new();
    bed.engine.set_silent(true);
    let daemon = bed.start().await;
    let id = daemon.submit("exit 0").await;
    eventually("the complaint", || async {
        matches!(daemon.handle.readiness(), Readiness::Unreachable(_)).then_some(())
    })
    .await;
    assert_eq!(daemon.job(id).await.phase, Phase::Queued);
    bed.engine.set_silent(false);
    assert_eq!(daemon.ends(id).await.phase, Phase::Completed);
}

#[tokio::test]
async fn an_engine_that_falls_silent_is_told_of_as_soon_as_a_job_needs_it_and_the_job_says_what_it_waits_for() {
    let bed = Bed::new();
    let daemon = bed.start().await;
    eventually("the engine", || async { matches!(daemon.handle.readiness(), Readiness::Ready { .. }).then_some(()) })
        .await;
    bed.engine.set_silent(true);
    let source = Some(Source { url: "git://slow".to_owned(), commit_ref: String::new() });
    let id = daemon.submit_work(Work { source, ..work("exit 0") }).await.expect("accepted").id;
    let complaint = eventually("the complaint", || async {
        matches!(daemon.handle.readiness(), Readiness::Unreachable(_)).then_some(())
    });
    tokio::time::timeout(Duration::from_secs(3), complaint).await.expect("long before the next look");
    eventually("the job's word", || async {
        let standing = daemon.handle.standing(id)?;
        let says_why = standing.detail == "fake cannot be reached while looking for it: it is silent; trying again";
        (standing.stage == Stage::Preparing && says_why).then_some(())
    })
    .await;
    bed.engine.set_silent(false);
    eventually("the fetch, of which there is nothing to tell", || async {
        let standing = daemon.handle.standing(id)?;
        (standing.stage == Stage::Cloning && standing.detail.is_empty()).then_some(())
    })
    .await;
}
