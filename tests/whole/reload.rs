//! The configuration read again while the daemon runs.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde_json::json;

use crate::bed::{Bed, Daemon, Engine, UWSD, free_port};

/// An order to the daemon, as an operator gives it.
pub fn order(bed: &Bed, words: &[&str]) -> Output {
    let mut command = Command::new(UWSD);
    command.args(words).arg("--socket").arg(bed.path().join("state/uwsd.sock")).stdin(Stdio::null());
    command.output().expect("started")
}

pub fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The configuration that the bed wrote, with more of it.
fn extend(bed: &Bed, more: &str) -> String {
    let file = bed.path().join("uwsd.toml");
    let before = std::fs::read_to_string(&file).expect("there");
    std::fs::write(file, format!("{before}\n{more}")).expect("written");
    before
}

fn restore(bed: &Bed, text: &str) {
    std::fs::write(bed.path().join("uwsd.toml"), text).expect("written");
}

/// A job that executes until the file `go` appears.
async fn running_job(bed: &Bed) -> String {
    let id = bed.submit("until [ -e /count/go ]; do sleep 0.05; done; exit 7").await;
    let path = format!("/api/v1/job/{id}");
    bed.until("the job to execute", async || bed.get(&path).await.json()["phase"] == "executing").await;
    id
}

async fn still_runs_and_ends(bed: &Bed, id: &str) {
    assert_eq!(bed.get(&format!("/api/v1/job/{id}")).await.json()["phase"], "executing");
    std::fs::write(bed.path().join("count/go"), "").expect("written");
    assert_eq!(bed.ends(id).await["jobInfo"]["exitCode"], json!(7));
}

/// When the capabilities of the service changed, in the whole seconds of the header.
async fn capabilities_changed(bed: &Bed) -> SystemTime {
    let answer = bed.get("/api/ocps/capabilities").await;
    let told = answer.headers["last-modified"].to_str().expect("a date");
    httpdate::parse_http_date(told).expect("a date")
}

async fn answers(port: u16) -> bool {
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

#[tokio::test]
async fn a_reload_changes_services_limits_log_and_listeners_and_leaves_jobs_alone() {
    let bed = Bed::new(&Engine::Process, "");
    let daemon: Daemon = bed.start(None).await;
    let id = running_job(&bed).await;
    let port = free_port();
    let before = extend(
        &bed,
        &format!(
            "[service.more]\ncpus = 0.5\nmemory = \"64MiB\"\n[[server.listener]]\naddress = \"127.0.0.1:{port}\"\n\
             [log]\nlevel = \"debug\"\n[server]\nallowed_hosts = [\"summit\"]\nmax_body = \"2MiB\"\n[uws]\nmax_wait = \"7s\"\n"
        ),
    );
    assert_eq!(bed.request("GET", "/healthz", &[("host", "summit")], "").await.status, StatusCode::FORBIDDEN);
    let done = order(&bed, &["reload"]);
    let said = printed(&done);
    assert_eq!(done.status.code(), Some(0), "{said}{}", complained(&done));
    for line in ["  log.level = \"debug\"", "  uws.max_wait = \"7s\"", "  service.more.cpus = 0.5"] {
        assert!(said.contains(line), "{line} in {said}");
    }
    let late = said.split("at the next restart:").nth(1).expect("something needs a restart");
    assert_eq!(late.trim(), "server.max_body = \"2MiB\"", "{said}");
    assert_eq!(bed.get("/api/more/async").await.status, StatusCode::OK);
    assert_eq!(bed.request("GET", "/healthz", &[("host", "summit")], "").await.status, StatusCode::OK);
    assert!(answers(port).await, "the new listener answers");
    bed.until("a line of level debug", async || bed.log().contains("DEBUG")).await;

    restore(&bed, &before);
    let done = order(&bed, &["reload"]);
    assert!(printed(&done).contains("  service.more.cpus is gone"), "{}", printed(&done));
    assert_eq!(bed.get("/api/more/async").await.status, StatusCode::NOT_FOUND);
    bed.until("the listener to be closed", async || !answers(port).await).await;
    still_runs_and_ends(&bed, &id).await;
    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
}

#[tokio::test]
async fn a_bad_file_is_refused_with_every_problem_and_the_old_one_stays() {
    let bed = Bed::new(&Engine::Process, "");
    let daemon = bed.start(None).await;
    let id = running_job(&bed).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let taken = taken.local_addr().expect("bound");
    let before = extend(&bed, "[service.more]\n[uws]\nmax_wait = \"soon\"\n[queu]\nmax_running = 1\n");
    let done = order(&bed, &["reload"]);
    let said = complained(&done);
    assert_eq!(done.status.code(), Some(2), "{said}");
    for part in ["the old configuration stays in force", "config: 2 problems", "uws.max_wait in ", "queu"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(bed.get("/api/more/async").await.status, StatusCode::NOT_FOUND);

    // A listener that cannot be bound is a problem too, and nothing else of that file is taken.
    restore(&bed, &before);
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = other.local_addr().expect("bound");
    extend(&bed, &format!("[service.more]\n[[server.listener]]\naddress = \"{address}\"\n"));
    let done = order(&bed, &["reload"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(complained(&done).contains(&format!("cannot listen on {address}: another program")), "{taken}");
    assert_eq!(bed.get("/api/more/async").await.status, StatusCode::NOT_FOUND);
    still_runs_and_ends(&bed, &id).await;
    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
}

#[tokio::test]
async fn a_hangup_reloads() {
    let bed = Bed::new(&Engine::Process, "");
    let daemon = bed.start(None).await;
    extend(&bed, "[service.more]\n");
    let before = capabilities_changed(&bed).await;
    bed.until("another second", async || before.elapsed().is_ok_and(|past| past >= Duration::from_secs(1))).await;
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    bed.until("the new service", async || bed.get("/api/more/async").await.status == StatusCode::OK).await;
    bed.until("its capabilities to say when", async || capabilities_changed(&bed).await > before).await;
    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
}

#[tokio::test]
async fn a_drain_outlives_a_restart_and_ends_with_undrain() {
    let bed = Bed::new(&Engine::Process, "max_running = 1");
    let daemon = bed.start(None).await;
    let running = running_job(&bed).await;
    let waiting = bed.submit("exit 0").await;
    let done = order(&bed, &["drain"]);
    assert!(printed(&done).ends_with("; 1 job still runs\n"), "{}{}", printed(&done), complained(&done));
    let refused = bed.put(&json!({ "command": "exit 0", "url": null })).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text());
    assert!(
        refused.headers.contains_key("retry-after") && refused.text().contains("uwsd undrain"),
        "{}",
        refused.text()
    );
    assert!(bed.get("/api/ocps/availability").await.text().contains("<vosi:available>false"));
    assert_eq!(bed.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(bed.get("/metrics").await.text().contains("\nuwsd_drained 1\n"), "no alert may take it for a full disk");
    still_runs_and_ends(&bed, &running).await;
    let done = order(&bed, &["drain", "--wait"]);
    assert!(printed(&done).ends_with("; no job runs\n"), "{}", printed(&done));

    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
    let daemon = bed.start(None).await;
    let status = order(&bed, &["status"]);
    assert_eq!(status.status.code(), Some(1));
    let said = printed(&status);
    assert!(said.contains("drained by an operator since ") && said.contains("1 waiting, 0 running"), "{said}");
    assert_eq!(bed.get(&format!("/api/v1/job/{waiting}")).await.json()["phase"], "queued");

    assert_eq!(order(&bed, &["undrain"]).status.code(), Some(0));
    assert!(bed.get("/metrics").await.text().contains("\nuwsd_drained 0\n"));
    assert_eq!(bed.ends(&waiting).await["jobInfo"]["exitCode"], json!(0));
    let status = order(&bed, &["status"]);
    assert_eq!(status.status.code(), Some(0), "{}", printed(&status));
    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
}

#[test]
fn orders_to_nobody_say_what_to_look_at() {
    let done = Command::new(UWSD).args(["status", "--socket", "/no/such/socket"]).output().expect("started");
    assert_eq!(done.status.code(), Some(1));
    assert!(complained(&done).contains("no daemon answers at /no/such/socket; is it running"), "{}", complained(&done));
}
