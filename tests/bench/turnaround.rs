//! A container job from its PUT to its committed end, beside the engine's own create–start–wait of the same container.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{
    CreateContainerOptions, RemoveContainerOptionsBuilder, StartContainerOptions, WaitContainerOptions,
};
use bytes::Bytes;
use futures_util::StreamExt;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

const ROUNDS: usize = 40;

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub fn measure() {
    let variable = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let (Some(host), Some(image)) = (variable("UWSD_TEST_DOCKER"), variable("UWSD_TEST_IMAGE")) else {
        println!("turnaround: SKIPPED, UWSD_TEST_DOCKER and UWSD_TEST_IMAGE are not set");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let dir = tempfile::tempdir().expect("temp dir");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let config = format!(
            "[backend.docker]\nhost = {host:?}\n[service.ocps]\nimage = {image:?}\npull = \"never\"\n\
             network = \"none\"\nmemory = \"256MiB\"\n"
        );
        std::fs::write(dir.path().join("uwsd.toml"), config).expect("written");
        let child = Command::new(env!("CARGO_BIN_EXE_uwsd"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--config"])
            .arg(dir.path().join("uwsd.toml"))
            .arg("--state-dir")
            .arg(dir.path().join("state"))
            .stderr(Stdio::null())
            .spawn();
        let _daemon = Daemon(child.expect("started"));
        wait_until_ready(port).await;

        let path = host.strip_prefix("unix://").expect("a local engine");
        let docker = Docker::connect_with_unix(path, 60, bollard::API_DEFAULT_VERSION).expect("connected");
        let docker = docker.negotiate_version().await.expect("an engine");
        // In turn, so that whatever the machine does meanwhile hits both alike.
        let (mut engine, mut daemon) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            engine.push(by_hand(&docker, &image, round).await);
            daemon.push(by_daemon(port, &dir.path().join("state/uwsd.db")).await);
        }
        let (engine, daemon) = (median(&mut engine), median(&mut daemon));
        println!("turnaround of a container job, median of {ROUNDS} (aim: within 1.10 of the engine's own)");
        println!("{:>40} {:>8.1} ms", "engine: create, start, wait", engine.as_secs_f64() * 1e3);
        println!("{:>40} {:>8.1} ms", "daemon: PUT to committed end", daemon.as_secs_f64() * 1e3);
        println!("{:>40} {:>8.3}", "ratio", daemon.as_secs_f64() / engine.as_secs_f64());
        println!();
    });
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn wait_until_ready(port: u16) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let uri = format!("http://127.0.0.1:{port}/readyz").parse().expect("a URI");
        if client.get(uri).await.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        assert!(Instant::now() < deadline, "the daemon is not ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn by_hand(docker: &Docker, image: &str, round: usize) -> Duration {
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec!["/bin/bash".to_owned()]),
        cmd: Some(vec!["-c".to_owned(), "exit 0".to_owned()]),
        host_config: Some(HostConfig {
            memory: Some(256 << 20),
            memory_swap: Some(256 << 20),
            nano_cpus: Some(1_000_000_000),
            pids_limit: Some(4096),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
            init: Some(true),
            network_mode: Some("none".to_owned()),
            log_config: Some(HostConfigLogConfig { typ: Some("local".to_owned()), config: None }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let begin = Instant::now();
    let options = CreateContainerOptions { name: Some(format!("uwsd-bench-{round}")), ..Default::default() };
    let created = docker.create_container(Some(options), body).await.expect("created");
    docker.start_container(&created.id, None::<StartContainerOptions>).await.expect("started");
    let mut wait = docker.wait_container(&created.id, None::<WaitContainerOptions>);
    wait.next().await.expect("an end").expect("exit 0");
    let took = begin.elapsed();
    let force = RemoveContainerOptionsBuilder::default().force(true).build();
    docker.remove_container(&created.id, Some(force)).await.expect("removed");
    took
}

/// The time from the PUT until the end is committed, seen in the database as soon as it is there.
async fn by_daemon(port: u16, database: &std::path::Path) -> Duration {
    let connection = rusqlite::Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
    let connection = connection.expect("opened");
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::put(format!("http://127.0.0.1:{port}/api/v1/job"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(br#"{"command":"exit 0","url":null}"#)))
        .expect("a request");
    let begin = Instant::now();
    let answer = client.request(request).await.expect("answered").into_body().collect().await.expect("read");
    let job: serde_json::Value = serde_json::from_slice(&answer.to_bytes()).expect("JSON");
    let id = job["jobId"].as_str().expect("an id").to_owned();
    loop {
        let phase: String = connection
            .query_row("SELECT phase FROM job WHERE lower(hex(id)) = ?1", [&id], |row| row.get(0))
            .expect("there");
        match phase.as_str() {
            "COMPLETED" => break,
            "ERROR" | "ABORTED" => panic!("the job ended as {phase}"),
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    let took = begin.elapsed();
    // Let the daemon remove the container before the next measurement.
    tokio::time::sleep(Duration::from_millis(150)).await;
    took
}
