//! What happens to engine and host while jobs run, provoked for real.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::bed::{Bed, Daemon, Engine, free_port};
use crate::engine::OwnEngine;

fn reason(job: &Value) -> &str {
    job["jobInfo"]["reason"].as_str().unwrap_or("none")
}

impl Bed {
    /// Has the engine given up on sooner than by default.
    fn impatient(self) -> Self {
        self.reworded("[backend.docker]\n", "[backend.docker]\nrequest_timeout = \"2s\"\n")
    }

    async fn is_executing(&self, id: &str) {
        self.until("the start", async || self.phase(id).await == "executing" && self.times_run(id) > 0).await;
    }

    async fn phase(&self, id: &str) -> String {
        self.get(&format!("/api/v1/job/{id}")).await.json()["phase"].as_str().unwrap_or_default().to_owned()
    }

    async fn availability(&self) -> String {
        self.get("/api/ocps/availability").await.text()
    }
}

/// The engine, where a daemon can be given another boot id.
fn engine_for_another_boot() -> Option<Engine> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: another boot id is given to one process by root only");
        return None;
    }
    Engine::docker()
}

/// Starts a daemon that takes what `file` says for the boot id of its host.
async fn start_booted(bed: &Bed, boot_id: &str) -> Daemon {
    let file = bed.path().join("boot_id");
    std::fs::write(&file, format!("{boot_id}\n")).expect("written");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\""])
        .arg(&file)
        .arg(crate::bed::UWSD);
    bed.start_by(command, None).await
}

#[tokio::test]
async fn after_a_loss_of_power_nothing_is_a_success() {
    let Some(own) = OwnEngine::start(false).await else { return };
    let bed = Bed::new(&own.engine(), "");
    let daemon = start_booted(&bed, "11111111-1111-4111-8111-111111111111").await;
    let id = bed.submit("echo x >> /count/$JOB_ID; sleep 1000").await;
    bed.is_executing(&id).await;
    daemon.kill();
    own.deed(&["--power-off"]).await;
    own.deed(&[]).await;
    let told: Value = serde_json::from_str(&own.ask("GET", &format!("/containers/uwsd-{id}/json"))).expect("JSON");
    let told = &told["State"];
    let _daemon = start_booted(&bed, "22222222-2222-4222-8222-222222222222").await;
    let job = bed.ends(&id).await;
    assert_eq!((&job["phase"], reason(&job)), (&json!("error"), "host-restart"), "the engine tells {told}: {job}");
    assert_eq!(job["jobInfo"]["exitCode"], Value::Null, "whatever the engine tells: {job}");
    assert_eq!(job["errorSummary"]["type"], "transient", "{job}");
    assert_eq!(bed.times_run(&id), 1, "nothing is started again to repair it");
    bed.leaves_no_run(&[id]).await;
}

#[tokio::test]
async fn an_end_of_which_only_the_boot_id_tells_the_truth_is_a_restart_of_the_host() {
    let Some(engine) = engine_for_another_boot() else { return };
    let bed = Bed::new(&engine, "");
    let daemon = start_booted(&bed, "11111111-1111-4111-8111-111111111111").await;
    let id = bed.submit("echo x >> /count/$JOB_ID; sleep 0.5; exit 0").await;
    bed.is_executing(&id).await;
    daemon.kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The engine tells an exit with code 0, as some do of what a reboot ended.
    let _daemon = start_booted(&bed, "22222222-2222-4222-8222-222222222222").await;
    let job = bed.ends(&id).await;
    assert_eq!((&job["phase"], reason(&job)), (&json!("error"), "host-restart"), "{job}");
    assert_eq!(job["jobInfo"]["exitCode"], Value::Null, "{job}");
    bed.leaves_no_run(&[id]).await;
}

#[tokio::test]
async fn what_seems_to_run_on_after_another_boot_is_a_restart_of_the_host() {
    let Some(engine) = engine_for_another_boot() else { return };
    let bed = Bed::new(&engine, "");
    let daemon = start_booted(&bed, "11111111-1111-4111-8111-111111111111").await;
    let body = json!({ "command": "echo x >> /count/$JOB_ID; echo here; sleep 6; exit 0", "replicas": 2 });
    let made = bed.request("PUT", "/api/v1/job", &[("content-type", "application/json")], body.to_string()).await;
    let id = made.json()["jobId"].as_str().expect("an id").to_owned();
    bed.until("both to run", async || bed.times_run(&id) == 2).await;
    daemon.kill();
    // Engines with live-restore have told so of what a reboot ended.
    let _daemon = start_booted(&bed, "22222222-2222-4222-8222-222222222222").await;
    let job = bed.ends(&id).await;
    assert_eq!((&job["phase"], reason(&job)), (&json!("error"), "host-restart"), "{job}");
    let info = &job["jobInfo"];
    assert_eq!((&info["exitCode"], &info["stdoutBytes"]), (&Value::Null, &json!(10)), "{job}");
    assert_eq!(job["executionDuration"], Value::Null, "nobody knows when it ended: {job}");
    let replicas = info["replicas"].as_array().expect("of each");
    assert_eq!(replicas.len(), 2, "{job}");
    for replica in replicas {
        assert_eq!((&replica["stdoutBytes"], &replica["exitCode"]), (&json!(5), &Value::Null), "{job}");
    }
    assert_eq!(bed.times_run(&id), 2, "nothing is started again to repair it");
    bed.leaves_no_run(&[id]).await;
}

#[tokio::test]
async fn what_was_to_be_aborted_before_the_loss_of_power_is_aborted() {
    let Some(own) = OwnEngine::start(false).await else { return };
    let bed = Bed::new(&own.engine(), "");
    let daemon = start_booted(&bed, "11111111-1111-4111-8111-111111111111").await;
    let id = bed.submit("trap '' TERM; echo x >> /count/$JOB_ID; while :; do sleep 0.1; done").await;
    bed.until("the start", async || bed.times_run(&id) == 1).await;
    bed.request("DELETE", &format!("/api/v1/job/{id}"), &[], "").await;
    assert_eq!(bed.phase(&id).await, "executing", "it is told as aborted once it is gone");
    daemon.kill();
    own.deed(&["--power-off"]).await;
    own.deed(&[]).await;
    let _daemon = start_booted(&bed, "22222222-2222-4222-8222-222222222222").await;
    bed.until("the abort", async || bed.phase(&id).await == "aborted").await;
    bed.leaves_no_run(&[id]).await;
}

#[tokio::test]
async fn without_a_network_of_the_engines_its_restart_is_told_all_the_same() {
    let Some(own) = OwnEngine::start_with("{\"bridge\": \"none\"}").await else { return };
    let bed = Bed::new(&own.engine(), "").impatient();
    let _daemon = bed.start(None).await;
    let id = bed.submit("echo x >> /count/$JOB_ID; sleep 1000").await;
    bed.until("the start", async || bed.times_run(&id) == 1).await;
    own.deed(&["--power-off"]).await;
    own.deed(&[]).await;
    let job = bed.ends(&id).await;
    assert_eq!((reason(&job), &job["jobInfo"]["exitCode"]), ("host-restart", &Value::Null), "{job}");
    bed.leaves_no_run(&[id]).await;
}

#[tokio::test]
async fn what_obliges_the_engines_stop_is_no_success() {
    let Some(own) = OwnEngine::start(false).await else { return };
    let bed = Bed::new(&own.engine(), "").impatient();
    let _daemon = bed.start(None).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(bed.submit("trap 'exit 0' TERM; echo x >> /count/$JOB_ID; while :; do sleep 0.05; done").await);
    }
    for id in &ids {
        bed.until("the start", async || bed.times_run(id) == 1).await;
    }
    own.signal(Signal::SIGTERM);
    tokio::time::sleep(Duration::from_secs(3)).await;
    own.deed(&["--power-off"]).await;
    own.deed(&[]).await;
    for id in &ids {
        let job = bed.ends(id).await;
        assert_eq!((reason(&job), &job["jobInfo"]["exitCode"]), ("host-restart", &Value::Null), "{job}");
    }
    bed.leaves_no_run(&ids).await;
}

#[tokio::test]
async fn an_engine_that_hangs_ends_no_job_and_is_told_of() {
    let Some(own) = OwnEngine::start(false).await else { return };
    let bed = Bed::new(&own.engine(), "").impatient();
    let _daemon = bed.start(None).await;
    let runs = bed.submit("echo x >> /count/$JOB_ID; sleep 3; echo whole").await;
    bed.is_executing(&runs).await;
    own.signal(Signal::SIGSTOP);
    let waits = bed.submit("echo x >> /count/$JOB_ID").await;
    bed.until("the complaint", async || bed.availability().await.contains(">false<")).await;
    let told = bed.availability().await;
    assert!(told.contains("the engine") || told.contains("docker"), "{told}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((bed.phase(&runs).await, bed.phase(&waits).await), ("executing".into(), "queued".into()));
    own.signal(Signal::SIGCONT);
    for id in [&runs, &waits] {
        let job = bed.ends(id).await;
        assert_eq!((reason(&job), bed.times_run(id)), ("ok", 1), "{job}\n{}", bed.log());
    }
    assert_eq!(bed.get(&format!("/api/v1/job/{runs}/stdout")).await.text(), "whole\n");
    bed.until("the engine to be told well", async || bed.availability().await.contains(">true<")).await;
    bed.leaves_no_run(&[runs, waits]).await;
}

#[tokio::test]
async fn an_engine_that_hangs_is_told_of_long_before_a_request_is_given_up() {
    let Some(own) = OwnEngine::start(false).await else { return };
    let bed = Bed::new(&own.engine(), "");
    let _daemon = bed.start(None).await;
    bed.until("the engine to be told well", async || bed.availability().await.contains(">true<")).await;
    own.signal(Signal::SIGSTOP);
    let waits = bed.submit("echo x >> /count/$JOB_ID").await;
    let complaint = bed.until("the complaint", async || bed.availability().await.contains(">false<"));
    tokio::time::timeout(Duration::from_secs(10), complaint).await.expect("a request may take 60 s");
    let job = bed.get(&format!("/api/v1/job/{waits}")).await.json();
    let detail = job["jobInfo"]["stageDetail"].as_str().unwrap_or_default();
    assert!(detail.contains("no answer in time") && detail.ends_with("; trying again"), "{job}");
    own.signal(Signal::SIGCONT);
    assert_eq!((reason(&bed.ends(&waits).await), bed.times_run(&waits)), ("ok", 1), "{}", bed.log());
    bed.leaves_no_run(&[waits]).await;
}

#[tokio::test]
async fn an_engine_that_is_away_keeps_the_phase_and_its_restart_is_told() {
    let Some(own) = OwnEngine::start(false).await else { return };
    let bed = Bed::new(&own.engine(), "").impatient();
    let _daemon = bed.start(None).await;
    let runs = bed.submit("echo x >> /count/$JOB_ID; sleep 1000").await;
    bed.is_executing(&runs).await;
    own.deed(&["--power-off"]).await;
    let waits = bed.submit("echo x >> /count/$JOB_ID").await;
    bed.until("the complaint", async || bed.availability().await.contains(">false<")).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((bed.phase(&runs).await, bed.phase(&waits).await), ("executing".into(), "queued".into()));
    own.deed(&[]).await;
    let job = bed.ends(&runs).await;
    assert_eq!((reason(&job), bed.times_run(&runs)), ("host-restart", 1), "{job}");
    let job = bed.ends(&waits).await;
    assert_eq!((reason(&job), bed.times_run(&waits)), ("ok", 1), "{job}");
    bed.leaves_no_run(&[runs, waits]).await;
}

#[tokio::test]
async fn containers_that_live_through_the_engines_restart_are_gone_on_with() {
    let Some(own) = OwnEngine::start(true).await else { return };
    let bed = Bed::new(&own.engine(), "").impatient();
    let _daemon = bed.start(None).await;
    let id = bed.submit("echo x >> /count/$JOB_ID; echo begin; sleep 8; echo end; exit 3").await;
    bed.is_executing(&id).await;
    own.deed(&["--crash"]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    own.deed(&["--again"]).await;
    let job = bed.ends(&id).await;
    assert_eq!((reason(&job), &job["jobInfo"]["exitCode"]), ("nonzero", &json!(3)), "{job}\n{}", bed.log());
    assert_eq!(bed.times_run(&id), 1);
    assert_eq!(bed.get(&format!("/api/v1/job/{id}/stdout")).await.text(), "begin\nend\n");
    bed.leaves_no_run(&[id]).await;
}

#[tokio::test]
async fn a_start_of_which_nobody_knows_is_not_tried_a_second_time() {
    for (is_live_restore, told) in [(true, "engine-error"), (false, "host-restart")] {
        let Some(own) = OwnEngine::start(is_live_restore).await else { return };
        let bed = Bed::new(&own.engine(), "");
        // It dies between the decision to start and the start, and the engine with it: the command may have begun.
        let mut daemon = bed.start(Some("launched")).await;
        let id = bed.submit("echo x >> /count/$JOB_ID").await;
        assert_eq!(daemon.dies().await, None, "it died by a signal");
        own.deed(&["--crash"]).await;
        own.deed(&["--again"]).await;
        let _daemon = bed.start(None).await;
        let job = bed.ends(&id).await;
        assert_eq!((&job["phase"], reason(&job), bed.times_run(&id)), (&json!("error"), told, 0), "{job}");
        assert_eq!(job["errorSummary"]["type"], "transient", "{job}");
        bed.leaves_no_run(&[id]).await;
    }
}

#[tokio::test]
async fn a_container_that_somebody_removes_is_lost_and_one_that_somebody_kills_is_killed() {
    let Some(own) = OwnEngine::start(false).await else { return };
    let bed = Bed::new(&own.engine(), "");
    let _daemon = bed.start(None).await;
    let command = "echo x >> /count/$JOB_ID; sleep 1000";
    let (removed, killed) = (bed.submit(command).await, bed.submit(command).await);
    for id in [&removed, &killed] {
        bed.is_executing(id).await;
    }
    own.ask("DELETE", &format!("/containers/uwsd-{removed}?force=true"));
    own.ask("POST", &format!("/containers/uwsd-{killed}/kill"));
    let job = bed.ends(&removed).await;
    assert_eq!((&job["phase"], reason(&job), bed.times_run(&removed)), (&json!("error"), "lost", 1), "{job}");
    assert_eq!(job["errorSummary"]["type"], "transient", "{job}");
    let job = bed.ends(&killed).await;
    assert_eq!((reason(&job), &job["jobInfo"]["signal"]), ("signal", &json!(9)), "{job}");
    bed.leaves_no_run(&[removed, killed]).await;
}

#[tokio::test]
async fn a_suspended_job_that_somebody_lets_go_on_is_halted_again() {
    let Some(own) = OwnEngine::start(false).await else { return };
    let bed = Bed::new(&own.engine(), "execution_duration = \"6s\"");
    let _daemon = bed.start(None).await;
    let id = bed.submit("echo x >> /count/$JOB_ID; sleep 1000").await;
    bed.until("it to run", async || bed.times_run(&id) == 1).await;
    let mut suspend = std::process::Command::new(env!("CARGO_BIN_EXE_uwsctl"));
    suspend.args(["--url", &bed.url("/api"), "--admin-socket"]).arg(bed.path().join("state/uwsd.sock"));
    let suspended = suspend.args(["suspend", &id]).output().expect("started");
    assert!(suspended.status.success(), "{}", String::from_utf8_lossy(&suspended.stderr));
    own.ask("POST", &format!("/containers/uwsd-{id}/unpause"));
    let is_paused = || own.ask("GET", &format!("/containers/uwsd-{id}/json")).contains("\"Paused\":true");
    assert!(!is_paused());
    bed.until("it to be halted again", async || is_paused()).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let uws = bed.get(&format!("/api/ocps/async/{id}/phase")).await.text();
    assert_eq!((uws.as_str(), is_paused()), ("SUSPENDED", true));
    bed.request("DELETE", &format!("/api/v1/job/{id}"), &[], "").await;
    bed.leaves_no_run(&[id]).await;
}

#[tokio::test]
async fn an_image_that_is_gone_is_told_and_what_runs_from_it_runs_on() {
    let Some(own) = OwnEngine::start(false).await else { return };
    let bed = Bed::new(&own.engine(), "");
    let _daemon = bed.start(None).await;
    let runs = bed.submit("echo x >> /count/$JOB_ID; sleep 4").await;
    bed.is_executing(&runs).await;
    own.ask("DELETE", "/images/uwsd-test:latest?force=true");
    let late = bed.submit("true").await;
    let job = bed.ends(&late).await;
    assert_eq!((&job["phase"], reason(&job)), (&json!("error"), "pull-failed"), "{job}");
    let told = job["errorSummary"]["message"].as_str().unwrap_or_default();
    assert!(told.contains("uwsd-test:latest"), "{told}");
    let job = bed.ends(&runs).await;
    assert_eq!(reason(&job), "ok", "{job}");
    bed.leaves_no_run(&[runs, late]).await;
}

#[tokio::test]
async fn of_two_daemons_on_one_engine_each_reaps_its_own() {
    let Some(engine) = Engine::docker() else { return };
    let (one, two) = (Bed::new(&engine, ""), Bed::new(&engine, "").at_port(free_port()));
    let (first, second) = (one.start(None).await, two.start(None).await);
    let command = "echo x >> /count/$JOB_ID; sleep 4; exit 5";
    let (of_one, of_two) = (one.submit(command).await, two.submit(command).await);
    one.is_executing(&of_one).await;
    two.is_executing(&of_two).await;
    // The second starts anew twice while the first, which cannot look after its job, is gone.
    first.kill();
    second.kill();
    let second = two.start(None).await;
    assert_eq!(second.terminate().await, Some(0));
    let _second = two.start(None).await;
    let _first = one.start(None).await;
    for (bed, id) in [(&one, &of_one), (&two, &of_two)] {
        let job = bed.ends(id).await;
        assert_eq!((reason(&job), &job["jobInfo"]["exitCode"]), ("nonzero", &json!(5)), "{job}");
        assert_eq!(bed.times_run(id), 1);
        bed.leaves_no_run(std::slice::from_ref(id)).await;
    }
}
