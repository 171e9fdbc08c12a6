//! `kill -9` of the daemon at each step of a job's life: nothing is lost, nothing runs twice, nothing is left over.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::bed::{Bed, Engine};
use crate::git_server::GitServer;

/// Every step of a job's life at which the daemon can be made to die (`crash::point` in the sources).
const STEPS: [&str; 9] =
    ["directories", "fetched", "cloned", "created", "launched", "started", "ended", "harvested", "committed"];

const COUNTED: &str = "echo x >> /count/$JOB_ID; echo begin; sleep 0.3; echo end; echo r > $JOB_OUTPUT_DIR/r";

async fn a_kill_at_any_step_neither_loses_nor_doubles_a_job(engine: &Engine) {
    let git = GitServer::start().await;
    let bed = Bed::new(engine, "");
    let mut ids = Vec::new();
    for step in STEPS {
        let mut daemon = bed.start(Some(step)).await;
        let body = json!({ "command": COUNTED, "url": git.url(), "commit_ref": "main" });
        let answer = bed.put(&body).await;
        assert_eq!(answer.status, StatusCode::OK, "{step}: {}", answer.text());
        let id = answer.json()["jobId"].as_str().expect("an id").to_owned();
        assert_eq!(daemon.dies().await, None, "{step}: it died by a signal");
        let daemon = bed.start(None).await;
        let job = bed.ends(&id).await;
        assert_eq!((&job["phase"], &job["jobInfo"]["exitCode"]), (&json!("completed"), &json!(0)), "{step}: {job}");
        assert_eq!(bed.times_run(&id), 1, "{step}: {job}");
        let log = bed.get(&format!("/api/v1/job/{id}/stdout")).await.text();
        assert_eq!(log, "begin\nend\n", "{step}: the log is complete");
        assert_eq!(bed.get(&format!("/api/v1/job/result/{id}/0")).await.text(), "r\n", "{step}");
        ids.push(id);
        bed.leaves_no_run(&ids).await;
        daemon.kill();
    }
}

async fn kills_at_random_moments_neither_lose_nor_double_a_job(engine: &Engine) {
    let bed = Bed::new(engine, "");
    let seed = std::process::id();
    eprintln!("seed {seed}");
    let mut random = u64::from(seed);
    let mut ids = Vec::new();
    for round in 0..15 {
        let daemon = bed.start(None).await;
        for _ in 0..2 {
            let id = bed.submit(if round % 3 == 0 { "echo x >> /count/$JOB_ID; exit 9" } else { COUNTED }).await;
            ids.push((id, round % 3 == 0));
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(Duration::from_millis((random >> 33) % 900)).await;
        daemon.kill();
    }
    let _daemon = bed.start(None).await;
    for (id, fails) in &ids {
        let job = bed.ends(id).await;
        let expected = if *fails { (json!("error"), json!(9)) } else { (json!("completed"), json!(0)) };
        assert_eq!((&job["phase"], &job["jobInfo"]["exitCode"]), (&expected.0, &expected.1), "seed {seed}: {job}");
        assert_eq!(bed.times_run(id), 1, "seed {seed}: {job}");
        if !fails {
            let log = bed.get(&format!("/api/v1/job/{id}/stdout")).await.text();
            assert_eq!(log, "begin\nend\n", "seed {seed}: {id}");
        }
    }
    let ids: Vec<String> = ids.into_iter().map(|(id, _)| id).collect();
    bed.leaves_no_run(&ids).await;
}

async fn a_stop_by_sigterm_leaves_running_jobs_alone(engine: &Engine) {
    let bed = Bed::new(engine, "");
    let daemon = bed.start(None).await;
    let id = bed.submit("echo x >> /count/$JOB_ID; echo begin; sleep 2; echo end").await;
    while bed.times_run(&id) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
    // While nobody listens the job goes on, and says something.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let _daemon = bed.start(None).await;
    let job = bed.ends(&id).await;
    assert_eq!(job["phase"], "completed", "{job}");
    assert_eq!(bed.times_run(&id), 1);
    assert_eq!(bed.get(&format!("/api/v1/job/{id}/stdout")).await.text(), "begin\nend\n");
    bed.leaves_no_run(&[id]).await;
}

async fn a_kill_between_a_deletion_and_its_deed_still_ends_the_job(engine: &Engine) {
    let bed = Bed::new(engine, "");
    for step in ["wish", "stopped", "ended", "harvested", "committed", "files-removed"] {
        let mut daemon = bed.start(Some(step)).await;
        let id = bed.submit("echo x >> /count/$JOB_ID; while :; do sleep 0.1; done").await;
        while bed.times_run(&id) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The daemon may die before it can answer.
        drop(bed.try_request("DELETE", &format!("/api/v1/job/{id}"), &[], "").await);
        assert_eq!(daemon.dies().await, None, "{step}: it died by a signal");
        let daemon = bed.start(None).await;
        let job = bed.ends(&id).await;
        assert_eq!((&job["phase"], &job["jobInfo"]["reason"]), (&json!("aborted"), &json!("aborted")), "{step}: {job}");
        assert_eq!(bed.times_run(&id), 1, "{step}");
        bed.leaves_no_run(std::slice::from_ref(&id)).await;
        let root = bed.path().join("state/jobs").join(&id);
        for _ in 0..200 {
            if !root.exists() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert!(!root.exists(), "{step}: the files are still there");
        daemon.kill();
    }
}

async fn a_kill_between_the_starts_of_two_replicas_starts_each_once(engine: &Engine) {
    let bed = Bed::new(engine, "");
    let mut daemon = bed.start(Some("started-one")).await;
    let command = "echo x >> /count/$JOB_ID; sleep 0.3; echo r > $JOB_OUTPUT_DIR/$JOB_REPLICA";
    let answer = bed.put(&json!({ "command": command, "url": null, "replicas": 2 })).await;
    let id = answer.json()["jobId"].as_str().expect("an id").to_owned();
    assert_eq!(daemon.dies().await, None, "it died by a signal");
    let _daemon = bed.start(None).await;
    let job = bed.ends(&id).await;
    assert_eq!(job["phase"], "completed", "{job}");
    assert_eq!(bed.times_run(&id), 2);
    assert_eq!(job["results"].as_array().map(Vec::len), Some(2));
    bed.leaves_no_run(&[id]).await;
}

async fn the_time_between_a_kill_and_the_late_start_counts_for_no_limit(engine: &Engine) {
    let bed = Bed::new(engine, "execution_duration = \"2s\"");
    let mut daemon = bed.start(Some("launched")).await;
    let id = bed.submit(COUNTED).await;
    assert_eq!(daemon.dies().await, None, "it died by a signal");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let _daemon = bed.start(None).await;
    let job = bed.ends(&id).await;
    assert_eq!(job["jobInfo"]["reason"], "ok", "{job}");
    assert_eq!(bed.times_run(&id), 1);
    bed.leaves_no_run(&[id]).await;
}

crate::bed::everywhere! {
    a_kill_at_any_step_neither_loses_nor_doubles_a_job,
    kills_at_random_moments_neither_lose_nor_double_a_job,
    a_stop_by_sigterm_leaves_running_jobs_alone,
    a_kill_between_a_deletion_and_its_deed_still_ends_the_job,
    a_kill_between_the_starts_of_two_replicas_starts_each_once,
    the_time_between_a_kill_and_the_late_start_counts_for_no_limit,
}
