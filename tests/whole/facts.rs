//! What is told of a run, wherever one asks.

use std::process::Command;

use serde_json::json;

use crate::bed::{Bed, Engine};
use crate::git_server::GitServer;

const UWSCTL: &str = env!("CARGO_BIN_EXE_uwsctl");

async fn what_is_known_of_a_run_is_told_in_json_in_xml_and_by_uwsctl(engine: &Engine) {
    let git = GitServer::start().await;
    let bed = Bed::new(engine, "max_output = \"1GiB\"\npids = 77");
    let _daemon = bed.start(None).await;
    let command = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); echo said; sleep 0.5; kill -9 $$";
    let put = bed.put(&json!({ "command": command, "url": git.url(), "commit_ref": "main" })).await;
    let id = put.json()["jobId"].as_str().expect("an id").to_owned();
    let job = bed.ends(&id).await;
    let info = &job["jobInfo"];
    let text = |name: &str| info[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| info[name].as_u64();
    assert_eq!((text("reason").as_str(), number("signal")), ("signal", Some(9)), "{job}");
    assert_eq!((text("commit"), text("host").is_empty()), (git.head(), false), "{job}");
    assert_eq!((number("memoryLimit"), info["cpuLimit"].as_f64()), (Some(256 << 20), Some(0.5)), "{job}");
    assert_eq!((number("pidsLimit"), number("outputLimit")), (Some(77), Some(1 << 30)), "{job}");
    let docker = matches!(engine, Engine::Docker { .. });
    assert!(text("engine").contains(if docker { "API 1." } else { "bubblewrap 0." }), "{job}");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux tells its boot id");
    assert_eq!((text("bootId").as_str(), text("engineStart").is_empty()), (boot.trim(), !docker), "{job}");
    assert_eq!(text("imageDigest").contains("sha256:"), docker, "{job}");
    assert!(!engine.has_groups() || number("peakMemory").is_some_and(|peak| peak > 20_000_000), "{job}");
    assert_eq!(number("stdoutBytes"), Some(5), "{job}");
    assert_eq!(job["errorSummary"]["type"], "fatal", "{job}");

    let xml = bed.get(&format!("/api/ocps/async/{id}")).await.text();
    let mut command = Command::new(UWSCTL);
    command.args(["--url", &bed.url("/api"), "show", &id]);
    let shown = tokio::task::spawn_blocking(move || command.output().expect("started")).await.expect("it ran");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let names = [
        "reason",
        "signal",
        "commit",
        "host",
        "engine",
        "memoryLimit",
        "cpuLimit",
        "pidsLimit",
        "outputLimit",
        "stdoutBytes",
        "imageDigest",
        "bootId",
        "engineStart",
    ];
    for name in names.into_iter().chain(engine.has_groups().then_some("peakMemory")) {
        let Some(value) = info.get(name) else { continue };
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert!(xml.contains(&format!("<{name}>{value}</{name}>")), "{name} in {xml}");
        assert!(shown.lines().any(|line| line.ends_with(&format!(" {value}"))), "{name} in {shown}");
    }
    assert!(xml.contains("<uws:errorSummary type=\"fatal\" "), "{xml}");
    assert!(shown.lines().any(|line| line.starts_with("error type ") && line.ends_with(" fatal")), "{shown}");
    let message = job["errorSummary"]["message"].as_str().expect("a sentence");
    assert!(message.contains("signal 9") && xml.contains(message) && shown.contains(message), "{message}: {shown}");
}

crate::bed::everywhere! {
    what_is_known_of_a_run_is_told_in_json_in_xml_and_by_uwsctl,
}
