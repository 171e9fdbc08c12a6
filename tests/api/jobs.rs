//! A job from its PUT to its results.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::bed::{Bed, eventually};

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn the_original_clients_whole_story_works() {
    let daemon = Bed::new().start().await;
    let request = json!({
        "run_id": "7",
        "command": "write ocps.log all fine; print hello",
        "url": "https://github.com/lsst-dm/uws_scripts",
        "commit_ref": "main",
        "environment": [{ "name": "IMAGE_TAG", "value": "" }, { "name": "DATA_QUERY", "value": "x='1' AND y IN (0)" }],
    });
    let answer = daemon.put(&request).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let job = answer.json();
    let id = job["jobId"].as_str().expect("an id");
    assert!(id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
    assert_eq!((&job["runId"], &job["phase"], &job["ownerId"]), (&json!("7"), &json!("queued"), &json!("")));
    let ended = daemon.reaches(id, "completed").await;
    assert_eq!(ended["runId"], "7");
    assert_eq!(ended["results"], json!([{ "id": 0, "uri": format!("/uws/jobs/{id}/out/ocps.log") }]));
    assert_eq!(ended["errorSummary"], json!({ "message": "" }));
    assert_eq!((&ended["jobInfo"]["reason"], &ended["jobInfo"]["exitCode"]), (&json!("ok"), &json!(0)));
    assert_eq!((&ended["jobInfo"]["host"], &ended["jobInfo"]["commit"]), (&json!("testhost"), &json!("c0ffee")));
    let peak = (&ended["jobInfo"]["peakMemory"], &ended["jobInfo"]["peakMemorySampled"]);
    assert_eq!(peak, (&json!(1 << 20), &json!(false)));
    let written = (&ended["jobInfo"]["stdoutBytes"], &ended["jobInfo"]["stderrBytes"]);
    assert_eq!(written, (&json!(6), &json!(0)));
    let client = daemon.client();
    let listed = client.get("/api/v1/job?phase=completed").await.json();
    assert_eq!(listed[0]["jobId"], id);
    assert_eq!(client.get(&format!("/api/v1/job/result/{id}/0")).await.text(), "all fine");
    assert_eq!(client.get(&format!("/api/v1/job/{id}/stdout")).await.text(), "hello\n");
    let deleted = client.send("DELETE", &format!("/api/v1/job/{id}"), &[], "").await;
    assert_eq!(deleted.status, 200);
    let gone = client.get(&format!("/api/v1/job/{id}")).await;
    assert!(gone.status == 404 && gone.text().starts_with("\"this job was destroyed at 2"), "{}", gone.text());
}

#[tokio::test]
async fn a_job_object_has_the_keys_of_the_original() {
    let daemon = Bed::without_runs().start().await;
    let job = daemon.put(&json!({ "command": "print 1", "url": null })).await.json();
    let expected = [
        "creationTime",
        "destruction",
        "endTime",
        "errorSummary",
        "executionDuration",
        "jobId",
        "jobInfo",
        "ownerId",
        "parameters",
        "phase",
        "results",
        "runId",
        "startTime",
    ];
    assert_eq!(keys(&job), expected);
    let id = &job["jobId"];
    assert_eq!(&job["runId"], id, "without a run id it is the job's id");
    let created = job["creationTime"].as_str().expect("a time");
    assert!(created.len() == 25 && created.ends_with("+00:00") && &created[10..11] == " ", "{created}");
    assert!(job["destruction"].is_string());
    for key in ["startTime", "endTime", "executionDuration"] {
        assert!(job[key].is_null(), "{key}");
    }
    assert_eq!(job["jobInfo"], json!({ "stage": "waiting" }));
    let parameters = json!({
        "command": ["/bin/bash", "-c", "print 1"],
        "environment": [
            { "name": "JOB_OUTPUT_DIR", "value": format!("/uws/jobs/{}/out", id.as_str().expect("an id")) },
            { "name": "JOB_ID", "value": id },
        ],
        "url": null,
        "commit_ref": null,
        "replicas": 1,
    });
    assert_eq!(job["parameters"], parameters);
}

#[tokio::test]
async fn values_are_kept_byte_for_byte() {
    let daemon = Bed::without_runs().start().await;
    let hard = "a \"b\" 'c' $(d) ${e} `f` \\ \n\t: ü 🔭 {{x}} %";
    let request = json!({ "command": hard, "environment": [{ "name": "X", "value": hard }] });
    let job = daemon.put(&request).await.json();
    let job = daemon.job(job["jobId"].as_str().expect("an id")).await;
    assert_eq!(job["parameters"]["command"][2], hard);
    let environment = job["parameters"]["environment"].as_array().expect("a list");
    assert_eq!(environment.last().expect("one"), &json!({ "name": "X", "value": hard }));
}

#[tokio::test]
async fn credentials_in_the_url_are_in_no_answer() {
    let daemon = Bed::without_runs().start().await;
    let put = daemon.put(&json!({ "command": "x", "url": "https://user:hunter2@host/x.git" })).await;
    let id = put.json()["jobId"].as_str().expect("an id").to_owned();
    let client = daemon.client();
    for path in [format!("/api/v1/job/{id}"), format!("/api/v1/job/{id}/parameters"), "/api/v1/job".to_owned()] {
        let answer = client.get(&path).await;
        assert!(answer.text().contains("https://host/x.git"), "{path}");
        assert!(!answer.text().contains("hunter2") && !answer.text().contains("user"), "{path}");
    }
    assert!(!put.text().contains("hunter2"));
}

#[tokio::test]
async fn the_sites_variables_and_secrets_are_not_shown() {
    let mut bed = Bed::without_runs();
    let service = bed.config.services.get_mut("ocps").expect("there");
    service.env = vec![("SITE_TOKEN".to_owned(), "hunter2".to_owned())];
    let daemon = bed.start().await;
    let answer = daemon.put(&json!({ "command": "x" })).await;
    assert!(!answer.text().contains("SITE_TOKEN") && !answer.text().contains("hunter2"));
}

#[tokio::test]
async fn a_property_is_its_value() {
    let daemon = Bed::new().start().await;
    let id = daemon.submit("write b 2; write a 1").await;
    let job = daemon.reaches(&id, "completed").await;
    let client = daemon.client();
    for (property, key) in [("phase", "phase"), ("results", "results"), ("parameters", "parameters")] {
        let answer = client.get(&format!("/api/v1/job/{id}/{property}")).await;
        assert_eq!((answer.status, &answer.json()), (200, &job[key]), "{property}");
    }
    let other = client.get(&format!("/api/v1/job/{id}/quote")).await;
    assert_eq!(other.status, 400);
    assert!(other.json().as_str().expect("a string").contains("phase, results, parameters"));
}

#[tokio::test]
async fn a_failure_tells_why() {
    let daemon = Bed::new().start().await;
    let id = daemon.submit("complain it broke; exit 3").await;
    let job = daemon.reaches(&id, "error").await;
    assert_eq!((&job["jobInfo"]["reason"], &job["jobInfo"]["exitCode"]), (&json!("nonzero"), &json!(3)));
    assert_eq!((&job["errorSummary"]["type"], &job["errorSummary"]["hasDetail"]), (&json!("fatal"), &json!(true)));
    assert!(!job["errorSummary"]["message"].as_str().expect("text").is_empty());
    assert!(job["executionDuration"].is_f64() && job["startTime"].is_string() && job["endTime"].is_string());
}

#[tokio::test]
async fn how_long_a_job_runs_is_not_told_by_the_wall_clock() {
    let daemon = Bed::new().start().await;
    let id = daemon.submit("hang").await;
    daemon.reaches(&id, "executing").await;
    let seconds = |job: &Value| job["executionDuration"].as_f64().expect("a number");
    eventually("a second to pass", || async { (seconds(&daemon.job(&id).await) > 1.0).then_some(()) }).await;
    daemon.clock.advance(std::time::Duration::from_secs(7200));
    let running = seconds(&daemon.job(&id).await);
    assert!((1.0..60.0).contains(&running), "{running}");
    daemon.engine.end_by_itself(0);
    let ended = seconds(&daemon.reaches(&id, "completed").await);
    assert!((1.0..60.0).contains(&ended), "{ended} after {running}");
}

#[tokio::test]
async fn ids_that_are_none_are_not_found() {
    let daemon = Bed::new().start().await;
    let client = daemon.client();
    let absent = "0192e4f1c7a87d2f8f1b0c5d7e9a1b3c";
    for id in [absent, "x", "..", "%2e%2e", &absent.to_uppercase(), "result", &"a".repeat(3000)] {
        for path in [format!("/api/v1/job/{id}"), format!("/api/v1/job/{id}/phase")] {
            let answer = client.get(&path).await;
            assert_eq!((answer.status, answer.text()), (404, "\"\""), "{path}");
        }
        assert_eq!(client.send("DELETE", &format!("/api/v1/job/{id}"), &[], "").await.status, 404, "{id}");
    }
}

#[tokio::test]
async fn a_full_queue_is_503_and_says_when_to_come_again() {
    let mut bed = Bed::without_runs();
    bed.config.queue.max_queued = 2;
    let daemon = bed.start().await;
    for _ in 0..2 {
        daemon.submit("print 1").await;
    }
    let answer = daemon.put(&json!({ "command": "print 1" })).await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").parse::<u32>().expect("seconds") > 0);
    assert_eq!(daemon.listed().await, 2);
}

#[tokio::test]
async fn forms_make_the_same_job_as_json() {
    let daemon = Bed::without_runs().start().await;
    let client = daemon.client();
    let urlencoded = ("content-type", "application/x-www-form-urlencoded");
    let body = "command=print+1&environment=A%3Db=c&run_id=r1&replicas=2&url=https://h/r&commit_ref=v1";
    let multipart = ("content-type", "multipart/form-data; boundary=XX");
    let parts = [("command", "print 1"), ("environment", "A=b=c"), ("run_id", "r1"), ("replicas", "2")];
    let mut lines = String::new();
    for (name, value) in parts.iter().chain(&[("url", "https://h/r"), ("commit_ref", "v1")]) {
        let _ = write!(lines, "--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    lines.push_str("--XX--\r\n");
    let query = format!("/api/v1/job?{body}");
    for answer in [
        client.send("PUT", "/api/v1/job", &[urlencoded], body).await,
        client.send("PUT", "/api/v1/job", &[multipart], lines).await,
        client.send("PUT", &query, &[], "").await,
    ] {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let job = answer.json();
        assert_eq!((&job["runId"], &job["parameters"]["replicas"]), (&json!("r1"), &json!(2)));
        assert_eq!(job["parameters"]["command"][2], "print 1");
        assert_eq!(
            (&job["parameters"]["url"], &job["parameters"]["commit_ref"]),
            (&json!("https://h/r"), &json!("v1"))
        );
        let environment = job["parameters"]["environment"].as_array().expect("a list");
        assert!(environment.contains(&json!({ "name": "A", "value": "b=c" })), "{environment:?}");
        assert!(environment.contains(&json!({ "name": "JOB_REPLICAS", "value": "2" })), "{environment:?}");
    }
}

#[tokio::test]
async fn a_waiting_job_tells_its_stage() {
    let daemon = Bed::new().start().await;
    daemon.engine.set_silent(true);
    let id = daemon.submit("print 1").await;
    eventually("a stage", || async { daemon.job(&id).await["jobInfo"]["stage"].is_string().then_some(()) }).await;
    daemon.engine.set_silent(false);
    daemon.reaches(&id, "completed").await;
    assert!(daemon.job(&id).await["jobInfo"].get("stage").is_none());
}
