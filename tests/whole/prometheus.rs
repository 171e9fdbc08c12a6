//! A real Prometheus scrapes a real daemon, evaluates the alerts and answers what the dashboard asks; `promtool` reads what is
//! told and the rules.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bed::{Bed, Engine, free_port};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Whether Debian's package is there; if not, that is said aloud.
fn is_there() -> bool {
    let found = Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        eprintln!("SKIPPED: there is no promtool; tests/run installs the package prometheus");
    }
    found.is_ok()
}

/// Killed when dropped.
struct Prometheus {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes `target` and evaluates the alerts, each every second.
    fn start(target: &str) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let rules = Path::new(ROOT).join("packaging/prometheus/uwsd.rules.yml");
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: ['{}']\nscrape_configs:\n  \
             - {{ job_name: uwsd, static_configs: [{{ targets: ['{target}'] }}] }}\n",
            rules.display()
        );
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("written");
        run(Command::new("promtool").args(["check", "config"]).arg(&file), "");
        let port = free_port();
        let log = std::fs::File::create(dir.path().join("log")).expect("made");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus");
        Self { child, port, _dir: dir }
    }

    /// The data of an answer of its API; `None` while it does not answer.
    fn ask(&self, path: &str, query: &str) -> Option<Value> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "10", "-G"]);
        if !query.is_empty() {
            curl.arg("--data-urlencode").arg(format!("query={query}"));
        }
        let output = curl.arg(format!("http://127.0.0.1:{}/api/v1/{path}", self.port)).output().expect("curl");
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        Some(answer["data"].clone())
    }

    /// What a query is answered: each sample's value.
    fn values(&self, query: &str) -> Vec<f64> {
        let Some(data) = self.ask("query", query) else { return Vec::new() };
        let samples = data["result"].as_array().expect("samples");
        samples.iter().map(|sample| sample["value"][1].as_str().expect("a value").parse().expect("a number")).collect()
    }

    /// Waits until the only sample of a query has that value.
    async fn until(&self, query: &str, expected: f64) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let values = self.values(query);
            if matches!(values[..], [value] if (value - expected).abs() < 1e-9) {
                return;
            }
            assert!(Instant::now() < deadline, "{query} is {values:?}, not {expected}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a program that has to succeed and has nothing to complain of.
fn run(command: &mut Command, input: &str) -> String {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ended");
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    told
}

/// What the dashboard asks, for all jobs, instances and services.
fn asked_by_the_dashboard() -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(ROOT).join("packaging/grafana/uwsd.json")).expect("readable");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let exprs = targets.map(|target| target["expr"].as_str().expect("a query"));
    let named = |expr: &str| {
        let all = ["$job", "$instance", "$service"].iter().fold(expr.to_owned(), |expr, name| expr.replace(name, ".*"));
        all.replace("$__rate_interval", "1m")
    };
    exprs.map(named).collect()
}

#[tokio::test]
async fn prometheus_scrapes_the_daemon_and_answers_what_dashboard_and_alerts_ask() {
    if !is_there() {
        return;
    }
    let bed = Bed::new(&Engine::Process, "");
    let daemon = bed.start(None).await;
    bed.until("the backend", async || bed.get("/readyz").await.status == 200).await;
    let target = bed.url("").trim_start_matches("http://").to_owned();
    let prometheus = Prometheus::start(&target);
    prometheus.until("up{job=\"uwsd\"}", 1.0).await;
    prometheus.until("sum(uwsd_jobs_ended_total)", 0.0).await;
    for command in ["sleep 1.2", "exit 0", "exit 3"] {
        let id = bed.submit(command).await;
        bed.ends(&id).await;
    }
    for (query, expected) in [
        ("uwsd_jobs_ended_total{service=\"ocps\",phase=\"COMPLETED\",reason=\"ok\"}", 2.0),
        ("uwsd_jobs_ended_total{reason=\"nonzero\"}", 1.0),
        ("uwsd_jobs_submitted_total", 3.0),
        ("uwsd_jobs{phase=\"COMPLETED\"}", 2.0),
        ("uwsd_job_queue_seconds_count", 3.0),
        ("uwsd_job_run_seconds_bucket{le=\"1.0\"}", 2.0),
        ("uwsd_job_run_seconds_bucket{le=\"5.0\"}", 3.0),
        ("uwsd_engine_request_seconds_count{operation=\"create\"}", 3.0),
        ("uwsd_queue_running", 0.0),
        ("uwsd_queue_cpus", 8.0),
        ("uwsd_ready", 1.0),
        ("count(uwsd_info{backend=\"process\"})", 1.0),
        ("count(uwsd_disk_free_bytes > 0)", 3.0),
        ("count(process_cpu_seconds_total > 0)", 1.0),
        // Its own scrapes are counted, too.
        ("count(uwsd_http_requests_total{route=\"metrics\",status=\"200\"} > 2)", 1.0),
        ("count(increase(uwsd_jobs_ended_total{reason=\"ok\"}[1m]) > 0)", 1.0),
        ("count(ALERTS) or vector(0)", 0.0),
    ] {
        prometheus.until(query, expected).await;
    }
    let asked = asked_by_the_dashboard();
    assert!(asked.len() > 40, "{asked:?}");
    for query in asked {
        // Rare things apart, there is an answer to everything.
        let may_be_empty = query.contains("> 0") || query.contains("[45]..");
        let values = prometheus.values(&query);
        assert!(may_be_empty || !values.is_empty(), "{query} is answered with nothing");
    }
    let rules = prometheus.ask("rules", "").expect("rules");
    let rules = rules["groups"][0]["rules"].as_array().expect("alerts").clone();
    assert!(rules.len() > 10 && rules.iter().all(|rule| rule["health"] == "ok"), "{rules:?}");

    // A daemon that is gone is told; the next one counts from 0, but for what it has stored.
    daemon.kill();
    prometheus.until("up", 0.0).await;
    prometheus.until("count(ALERTS{alertname=\"UwsdDown\",alertstate=\"pending\"})", 1.0).await;
    let _daemon = bed.start(None).await;
    prometheus.until("up", 1.0).await;
    prometheus.until("sum(uwsd_jobs_ended_total)", 0.0).await;
    prometheus.until("uwsd_jobs{phase=\"COMPLETED\"}", 2.0).await;
    prometheus.until("changes(process_start_time_seconds[5m])", 1.0).await;
}

#[tokio::test]
async fn promtool_finds_nothing_to_complain_of_in_what_is_told() {
    if !is_there() {
        return;
    }
    let bed = Bed::new(&Engine::Process, "");
    let _daemon = bed.start(None).await;
    let id = bed.submit("exit 0").await;
    bed.ends(&id).await;
    // Its linter reads the older format alone; the newer one is read by the Prometheus of the other test.
    let told = bed.request("GET", "/metrics", &[("accept", "text/plain;version=0.0.4")], "").await.text();
    assert!(told.contains("uwsd_jobs_ended_total{"), "{told}");
    let complaints = run(Command::new("promtool").args(["check", "metrics"]), &told);
    assert_eq!(complaints.trim(), "", "{complaints}");
}

#[test]
fn promtool_finds_the_alerts_sound_and_raised_when_they_should_be() {
    if !is_there() {
        return;
    }
    let dir = Path::new(ROOT).join("packaging/prometheus");
    let checked = run(Command::new("promtool").args(["check", "rules", "uwsd.rules.yml"]).current_dir(&dir), "");
    assert!(checked.contains("SUCCESS: 18 rules found"), "{checked}");
    let tested = run(Command::new("promtool").args(["test", "rules", "uwsd.rules.test.yml"]).current_dir(&dir), "");
    assert!(tested.contains("SUCCESS"), "{tested}");
}
