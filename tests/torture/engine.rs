//! An engine of the program's own.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    KillContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bed::run;
use crate::left::is_foreign;

pub const IMAGE: &str = "uwsd-test:latest";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/dockerd.sh");
const JOB_IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/job-image.sh");

#[derive(Clone)]
pub struct Engine {
    dir: PathBuf,
}

impl Engine {
    /// Starts one in `dir`, with an image for the jobs.
    pub fn make(dir: PathBuf, is_live_restore: bool) -> Self {
        fs::create_dir(&dir).expect("made");
        let live_restore = format!("{{\"live-restore\": {is_live_restore}}}\n");
        fs::write(dir.join("dockerd.conf"), live_restore).expect("written");
        let engine = Self { dir };
        engine.deed(&[]);
        run(Command::new(JOB_IMAGE).args([IMAGE, "--host", &engine.host()]));
        engine
    }

    fn host(&self) -> String {
        format!("unix://{}", self.dir.join("docker.sock").display())
    }

    /// The daemon's configuration of it.
    pub fn config(&self) -> String {
        format!("kind = \"docker\"\n[backend.docker]\nhost = \"{}\"\nrequest_timeout = \"3s\"", self.host())
    }

    pub fn client(&self) -> Docker {
        let version = bollard::ClientVersion { major_version: 1, minor_version: 41 };
        let socket = self.dir.join("docker.sock");
        Docker::connect_with_unix(socket.to_str().expect("text"), 10, &version).expect("a client")
    }

    /// Has its script do something.
    pub fn deed(&self, options: &[&str]) {
        run(Command::new(SCRIPT).args(options).arg(&self.dir).stdin(Stdio::null()));
    }

    /// Sends a signal to `dockerd`.
    pub fn signal(&self, signal: Signal) {
        let pid = fs::read_to_string(self.dir.join("dockerd.pid")).expect("it runs");
        kill(Pid::from_raw(pid.trim().parse().expect("a pid")), signal).expect("sent");
    }

    /// Removes or kills the container of some job, the one that `choose` says of so many; returns the job.
    pub async fn hit(&self, is_removal: bool, choose: impl FnOnce(usize) -> usize) -> Option<String> {
        let docker = self.client();
        let labels = HashMap::from([("label", vec!["org.uwsd.replica"])]);
        let list = ListContainersOptionsBuilder::default().filters(&labels).build();
        let running = docker.list_containers(Some(list)).await.ok()?;
        let mut ours: Vec<ContainerSummary> = running.into_iter().filter(|found| !is_foreign(found)).collect();
        if ours.is_empty() {
            return None;
        }
        let found = ours.swap_remove(choose(ours.len()));
        let (id, job) = (found.id?, found.labels?.remove("org.uwsd.job")?);
        let hit = if is_removal {
            let options = RemoveContainerOptionsBuilder::default().force(true).build();
            docker.remove_container(&id, Some(options)).await
        } else {
            docker.kill_container(&id, Some(KillContainerOptionsBuilder::default().signal("SIGKILL").build())).await
        };
        hit.is_ok().then_some(job)
    }
}
