//! What is left of a job's life when the daemon dies, and how the next one goes on.

use std::time::Duration;

use uwsd::domain::{Caller, Phase, Reason, SummaryKind, Work};
use uwsd::ports::Store;

use crate::bed::{Bed, eventually, work};

#[tokio::test]
async fn a_running_job_is_adopted_and_not_started_again() {
    let bed = Bed::new();
    let first = bed.start().await;
    let id = first.submit("hang").await;
    first.reaches(id, Phase::Executing).await;
    drop(first);
    let second = bed.start().await;
    second.handle.abort(&Caller::Anonymous, id).await.expect("aborted");
    let job = second.reaches(id, Phase::Aborted).await;
    assert_eq!(job.outcome.expect("ended").reason, Reason::Aborted);
    assert_eq!(bed.engine.starts().1.max(1), 1);
    eventually("the run to be removed", || async { bed.engine.is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn a_queued_job_is_run_after_the_restart() {
    let mut bed = Bed::new();
    bed.config.queue.max_running = 0;
    let first = bed.start().await;
    let id = first.submit("exit 0").await;
    drop(first);
    bed.config.queue.max_running = 1;
    let second = bed.start().await;
    assert_eq!(second.ends(id).await.phase, Phase::Completed);
}

#[tokio::test]
async fn a_run_that_is_gone_ends_as_lost() {
    let bed = Bed::new();
    let first = bed.start().await;
    let id = first.submit("hang").await;
    first.reaches(id, Phase::Executing).await;
    drop(first);
    let mut bed = bed;
    bed.engine = std::sync::Arc::default();
    bed.engine.reboot("boot-1");
    let second = bed.start().await;
    let job = second.reaches(id, Phase::Error).await;
    let outcome = job.outcome.expect("ended");
    assert_eq!(outcome.reason, Reason::Lost);
    assert_eq!(outcome.summary.expect("told").kind, SummaryKind::Transient);
    assert!(job.ended_at.is_some());
}

#[tokio::test]
async fn an_end_seen_only_after_a_reboot_is_never_a_success() {
    let bed = Bed::new();
    let first = bed.start().await;
    let id = first.submit("hang").await;
    first.reaches(id, Phase::Executing).await;
    drop(first);
    bed.engine.reboot("boot-2");
    let second = bed.start().await;
    let outcome = second.reaches(id, Phase::Error).await.outcome.expect("ended");
    assert_eq!(outcome.reason, Reason::HostRestart);
}

#[tokio::test]
async fn nothing_is_concluded_while_the_engine_is_silent() {
    let bed = Bed::new();
    let first = bed.start().await;
    let id = first.submit("hang").await;
    first.reaches(id, Phase::Executing).await;
    drop(first);
    bed.engine.set_silent(true);
    let second = bed.start().await;
    let queued = second.submit("exit 0").await;
    eventually("the complaint", || async {
        matches!(second.handle.readiness(), uwsd::supervisor::Readiness::Unreachable(_)).then_some(())
    })
    .await;
    // A wish in that time is kept and met later.
    second.handle.abort(&Caller::Anonymous, id).await.expect("noted");
    assert_eq!(second.job(id).await.phase, Phase::Executing);
    bed.engine.set_silent(false);
    second.reaches(id, Phase::Aborted).await;
    assert_eq!(second.ends(queued).await.phase, Phase::Completed);
}

#[tokio::test]
async fn the_longest_wait_is_kept_while_the_engine_has_never_answered() {
    let mut bed = Bed::new();
    bed.config.services.get_mut("ocps").expect("there").queue_timeout = Some(Duration::from_secs(600));
    bed.engine.set_silent(true);
    let daemon = bed.start().await;
    let id = daemon.submit("exit 0").await;
    bed.clock.advance(Duration::from_secs(601));
    assert_eq!(daemon.reaches(id, Phase::Error).await.outcome.expect("ended").reason, Reason::QueueTimeout);
}

#[tokio::test]
async fn a_job_whose_service_is_gone_is_not_held_to_the_room_of_another() {
    let mut bed = Bed::new();
    let first = bed.start().await;
    let id = first.submit(&format!("write a {}; hang", "x".repeat(20_000))).await;
    let file = bed.config.server.jobs_dir.join(id.to_string()).join("out/a");
    eventually("the file", || async { file.exists().then_some(()) }).await;
    drop(first);
    let mut other = bed.config.services.remove("ocps").expect("there");
    other.max_output = Some(10_000);
    bed.config.services.insert("other".to_owned(), other);
    let second = bed.start().await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(second.job(id).await.phase, Phase::Executing);
    bed.engine.end_by_itself(0);
    assert_eq!(second.reaches(id, Phase::Completed).await.outcome.expect("ended").reason, Reason::Ok);
}

#[tokio::test]
async fn the_output_of_an_adopted_job_comes_home_by_the_image_that_it_runs_in() {
    let mut bed = Bed::new();
    let first = bed.start().await;
    let id = first.submit("hang").await;
    first.reaches(id, Phase::Executing).await;
    drop(first);
    bed.config.services.get_mut("ocps").expect("there").image = "debian:newer".to_owned();
    let second = bed.start().await;
    eventually("the start", || async { (bed.engine.running() == 1).then_some(()) }).await;
    bed.engine.end_by_itself(0);
    assert_eq!(second.reaches(id, Phase::Completed).await.outcome.expect("ended").reason, Reason::Ok);
    // And no other one was fetched for it.
    assert_eq!(bed.engine.images.names(), ["docker.io/library/debian:stable-slim"]);
}

#[tokio::test]
async fn the_limit_goes_on_over_a_restart() {
    let mut bed = Bed::new();
    bed.config.services.get_mut("ocps").expect("there").execution_duration = Some(Duration::from_secs(3600));
    let first = bed.start().await;
    let id = first.submit("hang").await;
    first.reaches(id, Phase::Executing).await;
    drop(first);
    bed.clock.advance(Duration::from_secs(3601));
    let second = bed.start().await;
    assert_eq!(second.reaches(id, Phase::Aborted).await.outcome.expect("ended").reason, Reason::Timeout);
}

#[tokio::test]
async fn the_limit_of_a_job_that_is_started_late_counts_from_there_over_a_second_restart_too() {
    let mut bed = Bed::new();
    bed.config.services.get_mut("ocps").expect("there").execution_duration = Some(Duration::from_secs(3600));
    let first = bed.start().await;
    bed.engine.be_deaf_to("starting a run");
    let id = first.submit("hang").await;
    let launched = first.reaches(id, Phase::Executing).await.started_at.expect("it is stamped");
    drop(first);
    bed.clock.advance(Duration::from_secs(3000));
    bed.engine.be_deaf_to("");
    let second = bed.start().await;
    eventually("the start", || async { (bed.engine.running() == 1).then_some(()) }).await;
    let started = second.job(id).await.started_at.expect("it is stamped");
    assert!(started.since(launched) >= Duration::from_secs(3000), "{started:?} after {launched:?}");
    drop(second);
    bed.clock.advance(Duration::from_secs(1000));
    let third = bed.start().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(third.job(id).await.phase, Phase::Executing);
    drop(third);
    bed.clock.advance(Duration::from_secs(2601));
    let fourth = bed.start().await;
    let job = fourth.reaches(id, Phase::Aborted).await;
    assert_eq!(job.outcome.expect("ended").reason, Reason::Timeout);
    assert_eq!(bed.engine.starts().1.max(1), 1);
}

#[tokio::test]
async fn a_job_that_ended_in_time_while_nobody_looked_keeps_its_own_end() {
    let bed = Bed::new();
    let first = bed.start().await;
    let id = first.submit("hang").await;
    first.reaches(id, Phase::Executing).await;
    eventually("the start", || async { (bed.engine.starts().0 > 0).then_some(()) }).await;
    drop(first);
    // It ended by itself soon after its start; the daemon comes back long after the limit.
    bed.engine.end_by_itself(0);
    bed.clock.advance(Duration::from_secs(3601));
    let second = bed.start().await;
    assert_eq!(second.reaches(id, Phase::Completed).await.outcome.expect("ended").reason, Reason::Ok);
}

#[tokio::test]
async fn many_kills_lose_nothing_and_double_nothing() {
    let bed = Bed::new();
    let mut ids = Vec::new();
    for round in 0..20_u64 {
        let daemon = bed.start().await;
        for n in 0..3 {
            ids.push(daemon.submit(if n == 0 { "exit 1" } else { "exit 0" }).await);
        }
        // A different moment each time.
        tokio::time::sleep(Duration::from_millis(round * 2)).await;
        drop(daemon);
        assert!(bed.engine.starts().1 <= 1, "a run was started twice");
    }
    let daemon = bed.start().await;
    for (n, id) in ids.into_iter().enumerate() {
        let expected = if n % 3 == 0 { Phase::Error } else { Phase::Completed };
        assert_eq!(daemon.ends(id).await.phase, expected);
    }
    eventually("all runs to be removed", || async { bed.engine.is_empty().then_some(()) }).await;
    assert_eq!(daemon.store.totals().await.expect("read").waiting, 0);
}

#[tokio::test]
async fn a_halt_that_the_engine_does_not_answer_lets_nothing_go_on() {
    let bed = Bed::new();
    let first = bed.start().await;
    let id = first.submit_work(Work { replicas: 2, ..work("hang") }).await.expect("accepted").id;
    first.reaches(id, Phase::Executing).await;
    eventually("the start of both", || async { (bed.engine.running() == 2).then_some(()) }).await;
    first.handle.suspend(&Caller::Operator, id).await.expect("suspended");
    assert_eq!(bed.engine.paused(), 2);
    drop(first);
    bed.engine.be_deaf_to("pausing a run");
    // At its start it halts them again, and then every five seconds.
    let second = bed.start().await;
    for _ in 0..70 {
        assert_eq!(bed.engine.paused(), 2);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(second.job(id).await.phase, Phase::Suspended);
    assert!(bed.engine.unheard() >= 4, "both are to be halted at the start and once more");
}
