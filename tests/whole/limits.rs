//! The execution limit, told as what it is whatever the command makes of being stopped.

use crate::bed::{Bed, Engine};

/// Takes being asked to stop for a reason to succeed.
const OBLIGING: &str = "trap 'exit 0' TERM; while :; do sleep 0.05; done";

async fn what_the_limit_stopped_is_a_timeout_however_it_obliges(engine: &Engine) {
    let bed = Bed::new(engine, "execution_duration = \"1s\"");
    let _daemon = bed.start(None).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(bed.submit(OBLIGING).await);
    }
    for id in &ids {
        let job = bed.ends(id).await;
        assert_eq!(
            (job["phase"].as_str(), job["jobInfo"]["reason"].as_str()),
            (Some("aborted"), Some("timeout")),
            "{job}"
        );
        let took = job["executionDuration"].as_f64().expect("a number");
        assert!(took >= 0.9, "the limit counts from the start of the command: {job}");
    }
    bed.leaves_no_run(&ids).await;
}

async fn what_a_daemon_stopped_at_the_limit_before_it_died_is_a_timeout(engine: &Engine) {
    let bed = Bed::new(engine, "execution_duration = \"1s\"");
    let mut daemon = bed.start(Some("stopped")).await;
    let id = bed.submit(OBLIGING).await;
    assert_eq!(daemon.dies().await, None, "it died by a signal");
    let _daemon = bed.start(None).await;
    let job = bed.ends(&id).await;
    assert_eq!((job["phase"].as_str(), job["jobInfo"]["reason"].as_str()), (Some("aborted"), Some("timeout")), "{job}");
    bed.leaves_no_run(&[id]).await;
}

async fn what_ended_in_time_while_no_daemon_looked_keeps_its_own_end(engine: &Engine) {
    let bed = Bed::new(engine, "execution_duration = \"2s\"");
    let daemon = bed.start(None).await;
    let id = bed.submit("echo x >> /count/$JOB_ID; sleep 0.5; exit 7").await;
    bed.until("the start", async || bed.times_run(&id) == 1).await;
    daemon.kill();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let _daemon = bed.start(None).await;
    let job = bed.ends(&id).await;
    assert_eq!((&job["jobInfo"]["reason"], &job["jobInfo"]["exitCode"]), (&"nonzero".into(), &7.into()), "{job}");
    bed.leaves_no_run(&[id]).await;
}

async fn files_that_take_too_much_end_the_job_and_an_end_does_not_hide_them(engine: &Engine) {
    let bed = Bed::new(engine, "max_output = \"1MiB\"");
    let _daemon = bed.start(None).await;
    let write = "head -c 3000000 /dev/zero > $JOB_OUTPUT_DIR/big";
    // It goes on; it asks for more than it is looked at; it makes an end of its own of being stopped.
    let commands =
        [format!("{write}; sleep 1000"), write.to_owned(), format!("trap 'exit 0' TERM; {write}; sleep 1000 & wait")];
    for command in commands {
        let id = bed.submit(&command).await;
        let job = bed.ends(&id).await;
        let told = (job["phase"].as_str(), job["jobInfo"]["reason"].as_str());
        assert_eq!(told, (Some("aborted"), Some("output-too-large")), "{command}: {job}");
        bed.leaves_no_run(&[id]).await;
    }
}

async fn what_a_daemon_stopped_for_its_files_before_it_died_is_told_so(engine: &Engine) {
    let bed = Bed::new(engine, "max_output = \"1MiB\"");
    let mut daemon = bed.start(Some("stopped")).await;
    let id = bed.submit("trap 'exit 0' TERM; head -c 3000000 /dev/zero > $JOB_OUTPUT_DIR/big; sleep 1000 & wait").await;
    assert_eq!(daemon.dies().await, None, "it died by a signal");
    let _daemon = bed.start(None).await;
    let job = bed.ends(&id).await;
    assert_eq!(job["jobInfo"]["reason"], "output-too-large", "{job}");
    bed.leaves_no_run(&[id]).await;
}

async fn of_replicas_the_first_that_failed_is_told_also_by_a_later_daemon(engine: &Engine) {
    let bed = Bed::new(engine, "");
    let mut daemon = bed.start(Some("stopped")).await;
    let command = "if [ $JOB_REPLICA = 1 ]; then sleep 0.5; exit 7; fi; sleep 1000";
    let answer = bed.put(&serde_json::json!({ "command": command, "url": null, "replicas": 2 })).await;
    let id = answer.json()["jobId"].as_str().expect("an id").to_owned();
    assert_eq!(daemon.dies().await, None, "it died by a signal");
    let _daemon = bed.start(None).await;
    let job = bed.ends(&id).await;
    assert_eq!((&job["jobInfo"]["reason"], &job["jobInfo"]["exitCode"]), (&"nonzero".into(), &7.into()), "{job}");
    bed.leaves_no_run(&[id]).await;
}

crate::bed::everywhere! {
    files_that_take_too_much_end_the_job_and_an_end_does_not_hide_them,
    what_a_daemon_stopped_for_its_files_before_it_died_is_told_so,
    of_replicas_the_first_that_failed_is_told_also_by_a_later_daemon,
    what_the_limit_stopped_is_a_timeout_however_it_obliges,
    what_a_daemon_stopped_at_the_limit_before_it_died_is_a_timeout,
    what_ended_in_time_while_no_daemon_looked_keeps_its_own_end,
}
