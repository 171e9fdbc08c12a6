//! `/metrics`: what is counted, and what is told of the moment.

use std::collections::BTreeSet;

use crate::bed::{Bed, Daemon, eventually};
use crate::exposition::Exposition;

pub const OCPS: (&str, &str) = ("service", "ocps");
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn is(value: f64, expected: f64) -> bool {
    (value - expected).abs() < 1e-9
}

/// Scrapes until the value is as expected.
pub async fn until(daemon: &Daemon, name: &str, labels: &[(&str, &str)], expected: f64) -> Exposition {
    eventually(&format!("{name} {labels:?} to be {expected}"), || async {
        let told = Exposition::scrape(daemon).await;
        told.find(name, labels).is_some_and(|value| is(value, expected)).then_some(told)
    })
    .await
}

#[tokio::test]
async fn it_is_told_to_whoever_reads_and_in_the_older_format_to_who_asks_for_it() {
    let daemon = Bed::new().start().await;
    let client = daemon.client();
    let told = client.get("/metrics").await;
    assert_eq!((told.status, told.header("content-type"), told.header("vary")), (200, OPEN_METRICS, "Accept"));
    assert!(told.text().ends_with("\n# EOF\n") && !told.text().contains("\n\n"), "{}", told.text());
    let head = client.send("HEAD", "/metrics", &[], "").await;
    assert_eq!((head.status, head.header("content-type"), head.body.len()), (200, OPEN_METRICS, 0));
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let refused = client.send(method, "/metrics", &[], "").await;
        assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD, OPTIONS"), "{method}");
    }
    assert_eq!(client.send("OPTIONS", "/metrics", &[], "").await.status, 204);
    assert_eq!(client.send("GET", "/metrics", &[("host", "evil.example")], "").await.status, 403);
    for path in ["/metrics/x", "/api/metrics"] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
    let older = client.send("GET", "/metrics", &[("accept", "text/plain;version=0.0.4")], "").await;
    assert_eq!((older.status, older.header("content-type")), (200, "text/plain; version=0.0.4; charset=utf-8"));
    assert!(!older.text().contains("# EOF") && older.text().contains("# TYPE uwsd_jobs_ended_total counter\n"));
    let types = Exposition::parse(told.text()).types;
    assert_eq!((types["uwsd_jobs_ended"].as_str(), types["uwsd_build"].as_str()), ("counter", "info"));
    let samples = |text: &str| Exposition::parse(text).names().into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(samples(told.text()), samples(older.text()), "the same samples in both");
}

#[tokio::test]
async fn jobs_are_counted_as_they_come_and_end_and_their_times_are_measured() {
    let daemon = Bed::new().start().await;
    let before = Exposition::scrape(&daemon).await;
    let of_reason = |reason| [OCPS, ("reason", reason)];
    for reason in ["ok", "nonzero", "aborted", "host-restart"] {
        assert!(is(before.value("uwsd_jobs_ended_total", &of_reason(reason)), 0.0), "{reason} is there from the start");
    }
    for (command, phase) in [("print 1", "completed"), ("sleep 300; exit 3", "error")] {
        let id = daemon.submit(command).await;
        daemon.reaches(&id, phase).await;
    }
    // One that waits to be run, is asked for twice, and never runs.
    let key = [("idempotency-key", "k"), ("content-type", "application/x-www-form-urlencoded")];
    let client = daemon.client();
    for _ in 0..2 {
        assert_eq!(client.send("POST", "/api/ocps/async", &key, "COMMAND=hang").await.status, 303);
    }
    let waits = until(&daemon, "uwsd_jobs", &[OCPS, ("phase", "PENDING")], 1.0).await;
    assert!(is(waits.value("uwsd_jobs_submitted_total", &[OCPS]), 3.0), "{}", waits.text);
    let list = client.get("/api/ocps/async?PHASE=PENDING").await;
    let id = list.text().split("id=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a job").to_owned();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let phase = format!("/api/ocps/async/{id}/phase");
    assert_eq!(client.send("POST", &phase, &form, "PHASE=ABORT").await.status, 303);
    let told = until(&daemon, "uwsd_jobs_ended_total", &of_reason("aborted"), 1.0).await;
    for (reason, phase) in [("ok", "COMPLETED"), ("nonzero", "ERROR"), ("aborted", "ABORTED")] {
        assert!(is(told.value("uwsd_jobs_ended_total", &[OCPS, ("reason", reason), ("phase", phase)]), 1.0));
    }
    assert!(is(told.value("uwsd_job_queue_seconds_count", &[OCPS]), 2.0), "{}", told.text);
    assert!(told.value("uwsd_job_queue_seconds_sum", &[OCPS]) < 10.0, "{}", told.text);
    assert!(is(told.value("uwsd_job_run_seconds_count", &[OCPS]), 2.0), "{}", told.text);
    assert!(
        is(told.value("uwsd_job_run_seconds_bucket", &[OCPS, ("le", "0.1")]), 1.0),
        "one took 0.3 s: {}",
        told.text
    );
    for phase in ["COMPLETED", "ERROR", "ABORTED"] {
        until(&daemon, "uwsd_jobs", &[OCPS, ("phase", phase)], 1.0).await;
    }
    assert!(told.value("uwsd_database_write_seconds_count", &[]) >= 9.0, "{}", told.text);
    assert!(is(told.value("uwsd_database_errors_total", &[("error", "failed")]), 0.0));
    for operation in ["probe", "create", "start", "take_back"] {
        let labels = [("operation", operation)];
        assert!(told.value("uwsd_engine_request_seconds_count", &labels) >= 1.0, "{operation}: {}", told.text);
    }
    let of_wait = |name: &&str| name.starts_with("uwsd_engine") && name.contains("wait");
    assert!(!told.names().iter().any(of_wait), "{}", told.text);
}

#[tokio::test]
async fn queue_and_budget_are_told_as_they_are() {
    let mut bed = Bed::new();
    bed.config.queue.max_running = 1;
    bed.config.server.instance = "summit \"a\"".to_owned();
    std::fs::create_dir(&bed.config.server.jobs_dir).expect("made");
    let daemon = bed.start().await;
    let first = daemon.submit("hang").await;
    daemon.reaches(&first, "executing").await;
    for _ in 0..3 {
        daemon.submit("print 1").await;
    }
    let told = until(&daemon, "uwsd_jobs", &[OCPS, ("phase", "QUEUED")], 3.0).await;
    for (name, expected) in [
        ("uwsd_queue_waiting", 3.0),
        ("uwsd_queue_waiting_limit", 100.0),
        ("uwsd_queue_running", 1.0),
        ("uwsd_queue_running_limit", 1.0),
        ("uwsd_queue_reserved_cpus", 1.0),
        ("uwsd_queue_cpus", 8.0),
        ("uwsd_queue_reserved_memory_bytes", f64::from(1 << 30)),
        ("uwsd_queue_memory_bytes", f64::from(1 << 30) * 64.0),
        ("uwsd_ready", 1.0),
        ("uwsd_accepting_jobs", 1.0),
        ("uwsd_drained", 0.0),
        ("uwsd_backend_up", 1.0),
        ("uwsd_database_writable", 1.0),
    ] {
        assert!(is(told.value(name, &[]), expected), "{name}: {}", told.text);
    }
    assert!(is(told.value("uwsd_jobs", &[OCPS, ("phase", "EXECUTING")]), 1.0), "{}", told.text);
    assert!(is(told.value("uwsd_jobs", &[OCPS, ("phase", "HELD")]), 0.0), "a phase that no job is in is told too");
    assert!(told.text.contains(r#"uwsd_info{instance_name="summit \"a\"",backend="fake"} 1"#), "{}", told.text);
    assert!(is(told.value("uwsd_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0));
    for place in ["state", "jobs", "database"] {
        let of_place = [("place", place)];
        let (free, size) =
            (told.value("uwsd_disk_free_bytes", &of_place), told.value("uwsd_disk_size_bytes", &of_place));
        assert!(free > 0.0 && free <= size, "{place}: {}", told.text);
    }
    assert!(told.value("uwsd_database_size_bytes", &[("file", "wal")]) > 0.0, "{}", told.text);
    assert!(told.value("process_resident_memory_bytes", &[]) > 1e6, "{}", told.text);
    let began = told.value("process_start_time_seconds", &[]);
    let now = std::time::Duration::from_millis(daemon.now().millis().unsigned_abs()).as_secs_f64();
    assert!(began <= now && now - began < 300.0, "{began} {now}");
}

#[tokio::test]
async fn an_engine_that_falls_silent_is_told() {
    let mut bed = Bed::new();
    bed.engine_answers = false;
    let daemon = bed.start().await;
    let told = Exposition::scrape(&daemon).await;
    for name in ["uwsd_backend_up", "uwsd_ready"] {
        assert!(is(told.value(name, &[]), 0.0), "{name}: {}", told.text);
    }
    assert!(is(told.value("uwsd_accepting_jobs", &[]), 1.0), "jobs wait for it: {}", told.text);
    assert!(told.value("uwsd_engine_errors_total", &[("operation", "probe")]) >= 1.0, "{}", told.text);
    daemon.engine.set_silent(false);
    until(&daemon, "uwsd_ready", &[], 1.0).await;
}

#[tokio::test]
async fn requests_are_counted_by_kind_and_those_that_wait_apart() {
    let daemon = Bed::without_runs().start().await;
    let client = daemon.client();
    let id = daemon.submit("print 1").await;
    for path in [format!("/api/v1/job/{id}"), format!("/api/v1/job/{id}/phase"), "/api/v1/job/nope".to_owned()] {
        client.get(&path).await;
    }
    client.get(&format!("/api/ocps/async/{id}")).await;
    let waits = format!("/api/ocps/async/{id}?WAIT=60");
    let waiting = client.get(&waits);
    let (answer, during) = tokio::join!(waiting, async {
        let during = until(&daemon, "uwsd_http_waiting_requests", &[], 1.0).await;
        let form = [("content-type", "application/x-www-form-urlencoded")];
        client.send("POST", &format!("/api/ocps/async/{id}/phase"), &form, "PHASE=ABORT").await;
        during
    });
    assert_eq!(answer.status, 200);
    assert!(during.value("uwsd_http_connections", &[]) >= 2.0, "{}", during.text);
    assert!(during.find("uwsd_http_requests_total", &[("route", "uws-wait")]).is_none(), "it goes on: {}", during.text);
    let told = until(&daemon, "uwsd_http_waiting_requests", &[], 0.0).await;
    for (labels, expected) in [
        ([("method", "PUT"), ("route", "json"), ("status", "200")], 1.0),
        ([("method", "GET"), ("route", "json"), ("status", "200")], 2.0),
        ([("method", "GET"), ("route", "json"), ("status", "404")], 1.0),
        ([("method", "GET"), ("route", "uws"), ("status", "200")], 1.0),
        ([("method", "POST"), ("route", "uws"), ("status", "303")], 1.0),
        ([("method", "GET"), ("route", "uws-wait"), ("status", "200")], 1.0),
    ] {
        assert!(is(told.value("uwsd_http_requests_total", &labels), expected), "{labels:?}: {}", told.text);
    }
    let count = |route| told.value("uwsd_http_request_seconds_count", &[("route", route)]);
    assert!(is(count("uws"), 2.0) && is(count("uws-wait"), 1.0) && is(count("json"), 4.0), "{}", told.text);
    assert!(!told.text.contains(&id), "what a client can choose is no label");
}
