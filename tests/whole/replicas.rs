//! Jobs of several replicas: one end for all, and what is known of each.

use std::process::Command;

use serde_json::{Value, json};

use crate::bed::{Bed, Engine, UWSD};
use crate::engine::OwnEngine;

async fn three(bed: &Bed, command: &str) -> String {
    let answer = bed.put(&json!({ "command": command, "url": null, "replicas": 3 })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["jobId"].as_str().expect("an id").to_owned()
}

fn codes(job: &Value) -> Vec<(Option<i64>, Option<i64>)> {
    let replicas = job["jobInfo"]["replicas"].as_array().unwrap_or_else(|| panic!("no replicas: {job}"));
    replicas.iter().map(|replica| (replica["exitCode"].as_i64(), replica["signal"].as_i64())).collect()
}

async fn the_first_failure_ends_all_and_what_each_came_to_is_told(engine: &Engine) {
    let bed = Bed::new(engine, "");
    let _daemon = bed.start(None).await;
    // One is done, one fails, and one goes on until it is stopped, which it takes with a code of its own.
    let id = three(
        &bed,
        "echo \"I am $JOB_REPLICA of $JOB_REPLICAS\"; case $JOB_REPLICA in \
         0) exit 0 ;; 1) sleep 1; echo oops >&2; exit 7 ;; \
         2) trap 'echo stopped; exit 21' TERM; while :; do sleep 0.1; done ;; esac",
    )
    .await;
    let job = bed.ends(&id).await;
    let info = &job["jobInfo"];
    assert_eq!((&job["phase"], &info["reason"], &info["exitCode"]), (&json!("error"), &json!("nonzero"), &json!(7)));
    assert_eq!(job["errorSummary"]["message"], "the command of replica 1 exited with code 7");
    assert_eq!(codes(&job), [(Some(0), None), (Some(7), None), (Some(21), None)], "{job}");
    let written: Vec<_> =
        info["replicas"].as_array().expect("a list").iter().map(|r| r["stdoutBytes"].clone()).collect();
    assert_eq!(written, [12, 12, 20].map(Value::from), "{job}");
    for (replica, log) in [(0, "I am 0 of 3\n"), (1, "I am 1 of 3\n"), (2, "I am 2 of 3\nstopped\n")] {
        assert_eq!(bed.get(&format!("/api/v1/job/{id}/stdout?replica={replica}")).await.text(), log);
    }
    let document = bed.get(&format!("/api/ocps/async/{id}")).await.text();
    assert!(document.contains("<replica number=\"1\" exitCode=\"7\" "), "{document}");
    bed.leaves_no_run(&[id]).await;
}

async fn of_a_set_that_goes_well_every_peak_and_log_is_told(engine: &Engine) {
    let bed = Bed::new(engine, "");
    let daemon = bed.start(None).await;
    let id = three(&bed, "echo x >> /count/$JOB_ID; x=$(head -c 20000000 /dev/zero | tr '\\0' x); sleep 1.5").await;
    bed.until("the start of all", async || bed.times_run(&id) == 3).await;
    // Adopted by the next.
    daemon.kill();
    let _daemon = bed.start(None).await;
    let job = bed.ends(&id).await;
    assert_eq!(job["jobInfo"]["reason"], "ok", "{job}");
    assert_eq!(codes(&job), [(Some(0), None); 3], "{job}");
    let peaks: Vec<u64> = job["jobInfo"]["replicas"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|replica| replica["peakMemory"].as_u64())
        .collect();
    let count = if engine.has_groups() { 3 } else { 0 };
    assert!(peaks.len() == count && peaks.iter().all(|peak| *peak > 20_000_000), "{job}");
    assert_eq!(job["jobInfo"]["peakMemory"].as_u64(), peaks.iter().max().copied(), "{job}");
    assert_eq!(bed.times_run(&id), 3);
    bed.leaves_no_run(&[id]).await;
}

async fn an_abort_while_they_are_being_started_starts_no_more_of_them(engine: &Engine) {
    let bed = Bed::new(engine, "");
    let _daemon = bed.start(None).await;
    let many = json!({ "command": "echo x >> /count/$JOB_ID; sleep 1000", "url": null, "replicas": 12 });
    let id = bed.put(&many).await.json()["jobId"].as_str().expect("an id").to_owned();
    bed.until("the first to run", async || bed.times_run(&id) > 0).await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let asked = bed.request("POST", &format!("/api/ocps/async/{id}/phase"), &form, "PHASE=ABORT").await;
    assert_eq!(asked.status, 303, "{}", asked.text());
    let began = bed.times_run(&id);
    let job = bed.ends(&id).await;
    assert_eq!((&job["phase"], &job["jobInfo"]["reason"]), (&json!("aborted"), &json!("aborted")), "{job}");
    // One was perhaps on its way, and one that began may not have said so yet.
    assert!(bed.times_run(&id) <= began + 2, "{began} had begun, {} did: {job}", bed.times_run(&id));
    assert!(began < 9, "the test came too late");
    assert_eq!(job["jobInfo"]["replicas"].as_array().expect("a list").len(), 12, "{job}");
    bed.leaves_no_run(&[id]).await;
}

crate::bed::everywhere! {
    an_abort_while_they_are_being_started_starts_no_more_of_them,
    the_first_failure_ends_all_and_what_each_came_to_is_told,
    of_a_set_that_goes_well_every_peak_and_log_is_told,
}

#[tokio::test]
async fn of_replicas_on_another_host_the_files_of_each_come_home() {
    let Some(engine) = Engine::docker() else { return };
    let bed = Bed::new(&engine, "max_output = \"1MiB\"");
    let mut command = Command::new(UWSD);
    command.env("UWSD_BACKEND_DOCKER_SHARED_STATE", "false");
    let _daemon = bed.start_by(command, None).await;
    let id = three(&bed, "echo \"of $JOB_REPLICA\" > \"$JOB_OUTPUT_DIR/$JOB_REPLICA\"").await;
    let job = bed.ends(&id).await;
    assert_eq!(job["jobInfo"]["reason"], "ok", "{job}");
    let results = job["results"].as_array().expect("a list").len();
    assert_eq!(results, 3, "{job}");
    for replica in 0..3 {
        let answer = bed.get(&format!("/api/ocps/async/{id}/results/{replica}")).await;
        assert_eq!(answer.text(), format!("of {replica}\n"));
    }
    // What it wrote is only seen once it is here.
    let id = three(&bed, "head -c 500000 /dev/zero > \"$JOB_OUTPUT_DIR/$JOB_REPLICA\"").await;
    let job = bed.ends(&id).await;
    assert_eq!((&job["phase"], &job["jobInfo"]["reason"]), (&json!("aborted"), &json!("output-too-large")), "{job}");
    assert_eq!(job["results"].as_array().expect("a list").len(), 3, "{job}");
}

#[tokio::test]
async fn one_of_many_that_somebody_removes_or_kills_ends_all() {
    let Some(own) = OwnEngine::start(false).await else { return };
    let bed = Bed::new(&own.engine(), "");
    let _daemon = bed.start(None).await;
    for (method, path, reason) in [("DELETE", "?force=true", "lost"), ("POST", "/kill", "signal")] {
        let id = three(&bed, "echo x >> /count/$JOB_ID; while :; do sleep 0.1; done").await;
        bed.until("the start of all", async || bed.times_run(&id) == 3).await;
        own.ask(method, &format!("/containers/uwsd-{id}-1{path}"));
        let job = bed.ends(&id).await;
        assert_eq!(job["jobInfo"]["reason"], reason, "{job}");
        let told = job["errorSummary"]["message"].as_str().unwrap_or_default();
        assert!(told.contains("replica 1"), "{told}");
        let of_one = if reason == "lost" { (None, None) } else { (Some(137), Some(9)) };
        let codes = codes(&job);
        assert_eq!(codes[1], of_one, "{job}");
        assert!(codes[0].1.is_some() && codes[2].1.is_some(), "the others were stopped: {job}");
        assert_eq!(bed.times_run(&id), 3, "none was started again");
        bed.leaves_no_run(&[id]).await;
    }
}
