//! The limits of a job: of its run, told as what they are whatever the command makes of being stopped, and of the time to fetch
//! what it needs.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bed::{Bed, Engine};
use crate::silent::Silent;

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

#[tokio::test]
async fn what_a_job_writes_elsewhere_in_its_container_counts_as_its_files() {
    let Some(engine) = Engine::docker() else { return };
    let bed = Bed::new(&engine, "max_output = \"4MiB\"");
    let _daemon = bed.start(None).await;
    let write = |what: &str| format!("head -c 3000000 /dev/zero > {what}");
    let (beside, inside) = (write("/var/tmp/big"), write("$JOB_OUTPUT_DIR/big"));
    let few = bed.submit(&beside).await;
    assert_eq!(bed.ends(&few).await["jobInfo"]["reason"], "ok");
    let ids = [
        bed.submit(&format!("{beside}; {}; sleep 1000", write("/tmp/big"))).await,
        bed.submit(&format!("{beside}; {inside}; sleep 1000")).await,
        bed.submit(&format!("{beside}; {inside}")).await,
    ];
    for id in &ids {
        let job = bed.ends(id).await;
        let told = (job["phase"].as_str(), job["jobInfo"]["reason"].as_str());
        assert_eq!(told, (Some("aborted"), Some("output-too-large")), "{job}");
        assert!(job["executionDuration"].as_f64().is_none_or(|took| took < 30.0), "{job}");
    }
    let told = bed.get(&format!("/api/ocps/async/{}", ids[0])).await.text();
    assert!(told.contains("its files took 5.7 MiB and may take 4.0 MiB"), "{told}");
    bed.leaves_no_run(&ids).await;
}

async fn what_a_daemon_stopped_for_its_files_before_it_died_is_told_so(engine: &Engine) {
    // Also where it tidies up before it obliges: then nothing is to be seen of the files any more.
    for tidies in ["", "rm $JOB_OUTPUT_DIR/big; "] {
        let bed = Bed::new(engine, "max_output = \"1MiB\"");
        let mut daemon = bed.start(Some("stopped")).await;
        let command =
            format!("trap '{tidies}exit 0' TERM; head -c 3000000 /dev/zero > $JOB_OUTPUT_DIR/big; sleep 1000 & wait");
        let id = bed.submit(&command).await;
        assert_eq!(daemon.dies().await, None, "it died by a signal");
        let _daemon = bed.start(None).await;
        let job = bed.ends(&id).await;
        assert_eq!(
            (&job["phase"], &job["jobInfo"]["reason"]),
            (&json!("aborted"), &json!("output-too-large")),
            "{job}"
        );
        let sentence = job["errorSummary"]["message"].as_str().expect("one");
        assert!(sentence.ends_with(" and may take 1.0 MiB"), "{sentence}");
        bed.leaves_no_run(&[id]).await;
    }
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

/// That a job for which one waits in vain at a silent server ends for `reason`, as one that may do better another time, soon
/// after its second is over, and that nobody goes on waiting for it.
async fn is_given_up(bed: &Bed, silent: &Silent, job: &serde_json::Value, reason: &str) {
    let begun = Instant::now();
    let answer = bed.put(job).await;
    let id = answer.json()["jobId"].as_str().expect("an id").to_owned();
    let job = bed.ends(&id).await;
    assert_eq!((&job["phase"], &job["jobInfo"]["reason"]), (&json!("error"), &json!(reason)), "{job}");
    assert!((Duration::from_secs(1)..Duration::from_secs(15)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let told = bed.get(&format!("/api/ocps/async/{id}")).await.text();
    assert!(told.contains(">ERROR<") && told.contains("<uws:errorSummary type=\"transient\""), "{told}");
    bed.until("the server to be left alone", async || silent.is_left_alone()).await;
    bed.leaves_no_run(&[id]).await;
}

async fn a_source_that_is_not_had_in_time_is_a_clone_timeout(engine: &Engine) {
    let bed = Bed::new(engine, "").reworded("[sources]\n", "[sources]\nclone_timeout = \"1s\"\n");
    let _daemon = bed.start(None).await;
    for protocol in ["git", "http"] {
        let silent = Silent::here();
        let url = format!("{protocol}://127.0.0.1:{}/job.git", silent.port);
        let job = json!({ "command": "echo x >> /count/ran", "url": url });
        is_given_up(&bed, &silent, &job, "clone-timeout").await;
        assert_eq!(bed.times_run("ran"), 0);
    }
    let left = || std::fs::read_dir(bed.path().join("state/git/mirrors")).expect("the daemon's").count();
    bed.until("no half of a mirror to be left", async || left() == 0).await;
    let id = bed.submit("exit 4").await;
    assert_eq!(bed.ends(&id).await["jobInfo"]["exitCode"], 4, "others go on");
}

#[tokio::test]
async fn an_image_that_is_not_had_in_time_is_a_pull_timeout() {
    let Some(Engine::Docker { host, .. }) = Engine::docker() else { return };
    let Some(silent) = Silent::beside(&host) else { return };
    let image = format!("127.0.0.1:{}/job:latest", silent.port);
    let bed = Bed::new(&Engine::Docker { host, image }, "")
        .reworded("pull = \"never\"", "pull = \"missing\"")
        .reworded("[backend.docker]\n", "[backend.docker]\npull_timeout = \"1s\"\n");
    let _daemon = bed.start(None).await;
    is_given_up(&bed, &silent, &json!({ "command": "true", "url": null }), "pull-timeout").await;
}

crate::bed::everywhere! {
    a_source_that_is_not_had_in_time_is_a_clone_timeout,
    files_that_take_too_much_end_the_job_and_an_end_does_not_hide_them,
    what_a_daemon_stopped_for_its_files_before_it_died_is_told_so,
    of_replicas_the_first_that_failed_is_told_also_by_a_later_daemon,
    what_the_limit_stopped_is_a_timeout_however_it_obliges,
    what_a_daemon_stopped_at_the_limit_before_it_died_is_a_timeout,
    what_ended_in_time_while_no_daemon_looked_keeps_its_own_end,
}
