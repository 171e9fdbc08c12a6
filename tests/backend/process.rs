//! The process backend: the contract, as whoever runs the tests and as an ordinary user, and what only it promises.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{getegid, geteuid};
use tempfile::TempDir;
use uwsd::backend::process::ProcessBackend;
use uwsd::config;
use uwsd::ports::{Backend, JobDirs, Network, Pull, RunRef, RunSpec, User};

use crate::suite::{Bed, Can, MAX_LOG, new_run};

mod endings;
mod ordinary_user;
mod outliving;
mod sandbox;

mod contract {
    crate::suite::contract!(crate::process::bed);
}

/// A user that is nobody's.
const STRANGER: User = User { uid: 43_210, gid: 43_211 };

/// A state directory, a jobs directory, and backends over them.
struct ProcessBed {
    backend: Arc<dyn Backend>,
    state: TempDir,
    jobs: TempDir,
    is_limiting: bool,
}

fn uwsd() -> PathBuf {
    std::env::var_os("UWSD_TEST_UWSD").map_or_else(|| env!("CARGO_BIN_EXE_uwsd").into(), PathBuf::from)
}

fn settings() -> config::Process {
    config::Process { max_log: MAX_LOG, bwrap: "bwrap".into(), host_network: false }
}

fn backend_in(state: &Path) -> ProcessBackend {
    ProcessBackend::new(&settings(), state).expect("bubblewrap works here").with_program(uwsd())
}

async fn new_bed() -> ProcessBed {
    let (state, jobs) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    let backend: Arc<dyn Backend> = Arc::new(backend_in(state.path()));
    let description = backend.probe().await.expect("it answers").description;
    let is_limiting = description.contains("cgroup v") && !description.contains("advisory");
    ProcessBed { backend, state, jobs, is_limiting }
}

async fn bed() -> Option<Arc<dyn Bed>> {
    Some(Arc::new(new_bed().await))
}

impl Bed for ProcessBed {
    fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend)
    }

    fn fresh_backend(&self) -> Arc<dyn Backend> {
        Arc::new(backend_in(self.state.path()))
    }

    fn other_instance(&self) -> Arc<dyn Backend> {
        Arc::new(backend_in(&self.jobs.path().join("another")))
    }

    fn spec(&self, script: &str) -> RunSpec {
        let run = new_run();
        let inside = JobDirs::inside(&run.job);
        let dirs = JobDirs { root: self.jobs.path().join(run.job.to_string()) };
        for dir in [dirs.input(), dirs.source(), dirs.output(), dirs.home(), dirs.log(&run)] {
            std::fs::create_dir_all(dir).expect("made");
        }
        std::fs::write(dirs.input().join("parameters.json"), "{}\n").expect("written");
        let pair = |name: &str, value: String| (name.to_owned(), value);
        RunSpec {
            run,
            service: "test".into(),
            image: "ignored".into(),
            pull: Pull::Missing,
            argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
            env: vec![
                pair("PATH", "/usr/bin:/bin".into()),
                pair("HOME", format!("{inside}/home")),
                pair("JOB_OUTPUT_DIR", format!("{inside}/out")),
            ],
            user: User { uid: geteuid().as_raw(), gid: getegid().as_raw() },
            extra_groups: Vec::new(),
            cpus: 1.0,
            memory: 512 * 1024 * 1024,
            pids: 128,
            network: Network::Default,
            mounts: Vec::new(),
            secrets: Vec::new(),
            dirs,
        }
    }

    fn can(&self, what: Can) -> bool {
        match what {
            Can::LimitMemory | Can::TellOutOfMemory | Can::LimitProcesses | Can::KeepPeak => self.is_limiting,
            Can::ExtraGroups => geteuid().is_root(),
            Can::Images => false,
            Can::DropPrivileges | Can::LimitLogs | Can::ShareFiles | Can::Mount | Can::TellHighExitCodes => true,
        }
    }

    fn other_user(&self) -> Option<User> {
        geteuid().is_root().then_some(STRANGER)
    }

    fn engine_tells(&self, run: &RunRef) -> Option<String> {
        let dir = self.state.path().join("runs").join(run.name());
        let told = std::process::Command::new("grep").args(["-r", ""]).arg(dir).output().expect("grep runs");
        Some(String::from_utf8_lossy(&told.stdout).into_owned())
    }
}
