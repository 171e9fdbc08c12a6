//! What the OCPS client does, over a real socket, with a real engine and a real git server.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};

use crate::bed::{Bed, Engine};
use crate::git_server::GitServer;

/// The body of the client's PUT, as the control system sends it.
fn execute(url: &str, commit_ref: &str) -> Value {
    json!({
        "run_id": "17",
        "command": "cd $JOB_SOURCE_DIR && bash bin/pipetask.sh",
        "url": url,
        "commit_ref": commit_ref,
        "environment": [
            { "name": "IMAGE_TAG", "value": "" },
            { "name": "PIPELINE_URL", "value": "${CP_PIPE_DIR}/pipelines/LATISS/cpBias.yaml" },
            { "name": "DATA_QUERY", "value": "instrument='LATISS' AND detector IN (0) AND exposure IN (1, 2)" },
            { "name": "GREETING", "value": "say \"hi\" to $(HOME) `x` \\ \n: ü" },
        ],
    })
}

async fn the_main_job_from_one_put_to_its_results_and_its_deletion(engine: &Engine) {
    let git = GitServer::start().await;
    let bed = Bed::new(engine, "");
    let _daemon = bed.start(None).await;

    let begin = Instant::now();
    let put = bed.put(&execute(&git.url(), "main")).await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.text());
    assert!(begin.elapsed() < Duration::from_secs(1), "a PUT is instant");
    let job = put.json();
    let id = job["jobId"].as_str().expect("an id").to_owned();
    assert_eq!(job["runId"], "17");
    assert_eq!(job["phase"], "queued");
    assert_eq!(id.len(), 32);

    // It is found by its phase while it is on its way.
    let mut seen = Vec::new();
    let ended = loop {
        let now = bed.get(&format!("/api/v1/job/{id}")).await.json();
        assert_eq!(now["jobId"], json!(id));
        assert_eq!(now["runId"], "17");
        let phase = now["phase"].as_str().expect("a phase").to_owned();
        let listed = bed.get(&format!("/api/v1/job?phase={phase}")).await.json();
        let is_listed = listed.as_array().expect("a list").iter().any(|job| job["jobId"] == json!(id));
        let after = bed.get(&format!("/api/v1/job/{id}/phase")).await.json();
        assert!(is_listed || after != json!(phase), "{phase}: {listed}");
        if seen.last() != Some(&phase) {
            seen.push(phase.clone());
        }
        if ["completed", "error", "aborted"].contains(&phase.as_str()) {
            break now;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{now}\n{}", bed.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(seen.last().map(String::as_str), Some("completed"), "{ended}");
    assert!(seen.iter().all(|phase| ["queued", "executing", "completed"].contains(&phase.as_str())), "{seen:?}");
    assert_eq!(ended["errorSummary"]["message"], "");
    assert_eq!(ended["jobInfo"]["reason"], "ok");
    assert_eq!(ended["jobInfo"]["exitCode"], 0);
    assert_eq!(ended["jobInfo"]["commit"], json!(git.head()));
    // The image is told where there is one.
    let image = match engine {
        Engine::Docker { image, .. } => json!(image),
        Engine::Process => json!(null),
    };
    assert_eq!(ended["jobInfo"]["image"], image);
    for key in ["creationTime", "startTime", "endTime"] {
        let time = ended[key].as_str().expect("a time");
        assert!(time.len() == 25 && time.ends_with("+00:00") && time.as_bytes()[10] == b' ', "{time}");
    }

    // Its results, by number, with the paths that the job saw.
    let results = bed.get(&format!("/api/v1/job/{id}/results")).await.json();
    let expected = json!([
        { "id": 0, "uri": format!("/uws/jobs/{id}/out/greeting.txt") },
        { "id": 1, "uri": format!("/uws/jobs/{id}/out/ocps.log") },
    ]);
    assert_eq!(results, expected);
    let greeting = bed.get(&format!("/api/v1/job/result/{id}/0")).await;
    assert_eq!(greeting.text(), "say \"hi\" to $(HOME) `x` \\ \n: ü", "the environment arrives byte for byte");
    assert_eq!(greeting.headers["content-length"], greeting.body.len().to_string());
    assert_eq!(bed.get(&format!("/api/v1/job/result/{id}/1")).await.text(), "done\n");
    assert_eq!(bed.get(&format!("/api/v1/job/result/{id}/2")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bed.get(&format!("/api/v1/job/{id}/stdout")).await.text(), format!("at /uws/jobs/{id}/src\n"));
    assert_eq!(bed.get(&format!("/api/v1/job/{id}/stderr")).await.text(), "oops\n");

    // Deleted, it is gone with its files.
    let deleted = bed.request("DELETE", &format!("/api/v1/job/{id}"), &[], "").await;
    assert_eq!(deleted.status, StatusCode::OK);
    assert_eq!((deleted.json()["jobId"].clone(), deleted.json()["phase"].clone()), (json!(id), json!("completed")));
    let gone = bed.get(&format!("/api/v1/job/{id}")).await;
    let told = gone.json();
    let told = told.as_str().expect("a text, as the original's is an empty one");
    assert!(gone.status == StatusCode::NOT_FOUND && told.starts_with("this job was destroyed at 2"), "{told}");
    bed.leaves_no_run(std::slice::from_ref(&id)).await;
    let root = bed.path().join("state/jobs").join(&id);
    let deadline = Instant::now() + Duration::from_secs(5);
    while root.exists() {
        assert!(Instant::now() < deadline, "the files are still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_mistyped_ref_never_runs_the_wrong_code(engine: &Engine) {
    let git = GitServer::start().await;
    let bed = Bed::new(engine, "");
    let _daemon = bed.start(None).await;
    for (url, commit_ref, word) in [
        (git.url(), "mian", "mian"),
        (git.url().replace("job.git", "jbo.git"), "main", "checked out"),
        ("http://user:s3cret@127.0.0.1:1/x.git".to_owned(), "main", "checked out"),
    ] {
        let id = bed.put(&execute(&url, commit_ref)).await.json()["jobId"].as_str().expect("an id").to_owned();
        let job = bed.ends(&id).await;
        assert_eq!((&job["phase"], &job["jobInfo"]["reason"]), (&json!("error"), &json!("clone-failed")), "{job}");
        let message = job["errorSummary"]["message"].as_str().expect("a sentence");
        assert!(message.contains(word), "{message}");
        assert!(!job.to_string().contains("s3cret"), "{job}");
        assert_eq!(job["startTime"], Value::Null);
    }
    assert!(!bed.log().contains("s3cret"), "credentials are in the log");
}

async fn deleting_a_running_job_tells_the_truth_to_a_poller(engine: &Engine) {
    let bed = Bed::new(engine, "");
    let _daemon = bed.start(None).await;
    // A trap: the job takes its time to stop, and the poller must not be told of an end before that.
    let id = bed.submit("trap 'sleep 1; echo stopped; exit 0' TERM; echo up; while :; do sleep 0.1; done").await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !bed.get(&format!("/api/v1/job/{id}/stdout")).await.text().contains("up") {
        assert!(Instant::now() < deadline, "the job does not start:\n{}", bed.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let deleted = bed.request("DELETE", &format!("/api/v1/job/{id}"), &[], "").await.json();
    assert_eq!((&deleted["jobId"], &deleted["phase"]), (&json!(id), &json!("executing")));
    assert_eq!(bed.get("/api/v1/job").await.json(), json!([]), "it is in no list");
    let now = bed.get(&format!("/api/v1/job/{id}")).await.json();
    assert_eq!(now["phase"], "executing");
    let ended = bed.ends(&id).await;
    assert_eq!(ended["phase"], "aborted");
    assert_eq!(ended["jobInfo"]["reason"], "aborted");
    let again = bed.request("DELETE", &format!("/api/v1/job/{id}"), &[], "").await;
    assert_eq!((again.status, &again.json()["phase"]), (StatusCode::OK, &json!("aborted")));
    bed.leaves_no_run(&[id]).await;
}

async fn every_way_to_end_is_told_as_it_was(engine: &Engine) {
    let bed = Bed::new(engine, "execution_duration = \"8s\"");
    let _daemon = bed.start(None).await;
    let hog = "head -c 600M /dev/zero | tail -c 600M";
    let cases = [
        ("exit 0", "completed", "ok", json!(0)),
        ("exit 3", "error", "nonzero", json!(3)),
        ("kill -SEGV $$", "error", "signal", Value::Null),
        (hog, "error", "oom", json!(137)),
        ("trap '' TERM; while :; do sleep 1; done", "aborted", "timeout", Value::Null),
    ];
    let mut ids = Vec::new();
    for (command, ..) in &cases {
        ids.push(bed.submit(command).await);
    }
    for (id, (command, phase, reason, code)) in ids.iter().zip(&cases) {
        let job = bed.ends(id).await;
        if *reason == "oom" && !engine.has_groups() {
            // An allocation of the command's fails then, and it is told that its limits are advisory.
            assert_eq!(
                (&job["phase"], &job["jobInfo"]["limits"]),
                (&json!("error"), &json!("advisory")),
                "{command}: {job}"
            );
            continue;
        }
        assert_eq!((&job["phase"], &job["jobInfo"]["reason"]), (&json!(phase), &json!(reason)), "{command}: {job}");
        if !code.is_null() {
            assert_eq!(&job["jobInfo"]["exitCode"], code, "{command}: {job}");
        }
    }
    bed.leaves_no_run(&ids).await;
}

async fn replicas_know_their_number(engine: &Engine) {
    let bed = Bed::new(engine, "");
    let _daemon = bed.start(None).await;
    let body = json!({
        "command": "echo $JOB_REPLICA/$JOB_REPLICAS; echo x > $JOB_OUTPUT_DIR/$JOB_REPLICA", "url": null, "replicas": 3
    });
    let id = bed.put(&body).await.json()["jobId"].as_str().expect("an id").to_owned();
    let job = bed.ends(&id).await;
    assert_eq!(job["phase"], "completed", "{job}");
    assert_eq!(job["results"].as_array().map(Vec::len), Some(3));
    for n in 0..3 {
        let log = bed.get(&format!("/api/v1/job/{id}/stdout?replica={n}")).await.text();
        assert_eq!(log, format!("{n}/3\n"));
    }
    bed.leaves_no_run(&[id]).await;
}

async fn a_job_sees_the_callers_variables_and_the_sites_win(engine: &Engine) {
    let git = GitServer::start().await;
    let bed = Bed::new(engine, "env = { SITE = \"site\", BOTH = \"site\" }");
    let _daemon = bed.start(None).await;
    let environment = json!([
        { "name": "MINE", "value": "first" },
        { "name": "BOTH", "value": "caller" },
        { "name": "MINE", "value": "last" },
    ]);
    let job = json!({ "command": "env", "url": git.url(), "commit_ref": "main", "environment": environment });
    let id = bed.put(&job).await.json()["jobId"].as_str().expect("an id").to_owned();
    assert_eq!(bed.ends(&id).await["phase"], "completed");
    let printed = bed.get(&format!("/api/v1/job/{id}/stdout")).await.text();
    let values = |name: &str| -> Vec<&str> {
        printed
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(of, _)| *of == name)
            .map(|(_, value)| value)
            .collect()
    };
    let inside = |what: &str| format!("/uws/jobs/{id}/{what}");
    for (name, value) in [
        ("JOB_ID", id.clone()),
        ("JOB_OUTPUT_DIR", inside("out")),
        ("JOB_SOURCE_DIR", inside("src")),
        ("SRC_GIT_URL", git.url()),
        ("GIT_COMMIT_REF", "main".to_owned()),
        ("MINE", "last".to_owned()),
        ("BOTH", "site".to_owned()),
        ("SITE", "site".to_owned()),
    ] {
        assert_eq!(values(name), [value], "{name} of {printed}");
    }
    bed.leaves_no_run(&[id]).await;
}

crate::bed::everywhere! {
    a_job_sees_the_callers_variables_and_the_sites_win,
    the_main_job_from_one_put_to_its_results_and_its_deletion,
    a_mistyped_ref_never_runs_the_wrong_code,
    deleting_a_running_job_tells_the_truth_to_a_poller,
    every_way_to_end_is_told_as_it_was,
    replicas_know_their_number,
}
