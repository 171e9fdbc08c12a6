//! A configuration for tests: everything small, nothing shared.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::{
    Backend, BackendKind, Config, Disk, Docker, Json, Log, LogFormat, Process, Program, Queue, Server, Service,
    Sources, Store, Uploads, Uws,
};
use crate::domain::ImagePattern;
use crate::ports::{Network, Pull};

/// A configuration with its state below `dir`, one service `ocps`, and no listener.
#[must_use]
pub fn config_in(dir: &Path) -> Config {
    Config {
        server: Server {
            instance: String::new(),
            base_path: "/api".to_owned(),
            public_url: None,
            state_dir: dir.to_owned(),
            jobs_dir: dir.join("jobs"),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_body: 1 << 20,
            max_connections: 1000,
            header_timeout: Duration::from_secs(5),
            shutdown_linger: Duration::from_millis(200),
            shutdown_grace: Duration::from_secs(5),
            listeners: Vec::new(),
            listeners_by_default: false,
            admin_socket: None,
        },
        log: Log { level: "info".to_owned(), format: LogFormat::Text },
        store: Store { path: dir.join("uwsd.db") },
        queue: Queue { max_running: 2, cpus: 8.0, memory: 64 << 30, max_queued: 100, aging: Duration::from_secs(600) },
        disk: Disk { refuse_below: 0, clean_below: 0, clean_min_age: Duration::ZERO },
        json: Json { deletion_visible: Duration::from_secs(60) },
        uws: Uws {
            max_wait: Duration::from_secs(60),
            max_waiting: 1000,
            sync_timeout: Duration::from_secs(10),
            sync_get: false,
        },
        uploads: Uploads {
            max_size: 1 << 20,
            from_urls: false,
            url_timeout: Duration::from_secs(5),
            url_networks: Vec::new(),
        },
        sources: Sources {
            git_protocols: ["https", "http", "ssh", "git"].map(str::to_owned).to_vec(),
            clone_timeout: Duration::from_secs(60),
            max_size: 1 << 30,
            mirror_age: Duration::from_secs(86_400),
            submodules: false,
            lfs: false,
            ssh_key: None,
            known_hosts: None,
            ca_file: None,
            proxy: None,
        },
        backend: Backend {
            kind: BackendKind::Docker,
            docker: Docker {
                host: "unix:///var/run/docker.sock".to_owned(),
                tls_ca: None,
                tls_cert: None,
                tls_key: None,
                shared_state: true,
                pull_timeout: Duration::from_secs(60),
                mirrors: Vec::new(),
                image_age: Duration::from_secs(86_400),
                credentials: dir.join(".docker/config.json"),
                request_timeout: Duration::from_secs(30),
                log_driver: "local".to_owned(),
                max_log: 1 << 20,
                log_max_size: 100 << 20,
            },
            process: Process { max_log: 1 << 20, bwrap: "bwrap".into(), host_network: false },
        },
        services: BTreeMap::from([("ocps".to_owned(), service())]),
    }
}

/// A service with a shell and small limits.
#[must_use]
pub fn service() -> Service {
    Service {
        image: "debian:stable-slim".to_owned(),
        pull: Pull::Missing,
        pull_always: Vec::new(),
        image_tag_from: vec!["UWS_JOB_IMAGE_TAG".to_owned()],
        allowed_images: vec![ImagePattern::new("debian:*")],
        program: Program::Shell(vec!["/bin/bash".to_owned(), "-c".to_owned()]),
        examples: Vec::new(),
        max_running: 0,
        one_at_a_time: false,
        max_running_per_owner: 0,
        weight: 1.0,
        priority: 0,
        user: None,
        extra_groups: Vec::new(),
        cpus: 1.0,
        max_cpus: 1.0,
        memory: 1 << 30,
        max_memory: 1 << 30,
        pids: 256,
        max_replicas: 4,
        network: Network::Default,
        execution_duration: Some(Duration::from_secs(3600)),
        max_execution_duration: None,
        destruction: Some(Duration::from_secs(7 * 86_400)),
        max_destruction: None,
        archive: None,
        kill_grace: Duration::from_secs(1),
        max_kill_grace: Duration::from_secs(60),
        max_output: None,
        queue_timeout: None,
        dotfiles: false,
        env: Vec::new(),
        mounts: Vec::new(),
        secrets: Vec::new(),
    }
}
