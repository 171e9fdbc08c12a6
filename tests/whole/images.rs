//! An image that is gone when the files of its job need it: a daemon that is not root, a real engine, a real registry.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use http::StatusCode;

use crate::bed::{Bed, Engine, UWSD};

/// Who the daemon is.
const STRANGER: u32 = 61_779;

/// A registry where the tests' engine reaches it, with one image; ended when dropped.
struct Registry {
    server: Child,
    socket: PathBuf,
    image: String,
    _dir: tempfile::TempDir,
}

impl Registry {
    /// `None`, said aloud, where none can be put beside the engine.
    async fn beside(engine: &Engine) -> Option<Self> {
        let Engine::Docker { host, image } = engine else { return None };
        let socket = PathBuf::from(host.strip_prefix("unix://").expect("the tests' engine has a socket"));
        let pid = fs::read_to_string(socket.with_file_name("dockerd.pid")).ok();
        let Some(pid) = pid.filter(|_| nix::unistd::geteuid().is_root()) else {
            eprintln!("SKIPPED: a registry beside the engine needs root and the engine of tests/bed/dockerd.sh");
            return None;
        };
        let dir = tempfile::tempdir().expect("a directory");
        let (config, log) = (dir.path().join("config.yml"), dir.path().join("log"));
        let storage = dir.path().join("images");
        let settings = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: \"{}\"}}}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n",
            storage.display()
        );
        fs::write(&config, settings).expect("written");
        let output = fs::File::create(&log).expect("a log");
        let mut serve = Command::new("nsenter");
        serve.arg(format!("--net=/proc/{}/ns/net", pid.trim())).args(["docker-registry", "serve"]).arg(&config);
        serve.stdin(Stdio::null()).stdout(output.try_clone().expect("a log")).stderr(output);
        let server = serve.spawn().expect("nsenter is there");
        let mut registry = Self { server, socket, image: String::new(), _dir: dir };
        let address = listens_at(&log).await;
        registry.image = format!("{address}/job:v1");
        registry.engine("POST", &format!("images/{image}/tag?repo={address}/job&tag=v1"));
        let told = registry.engine("POST", &format!("images/{address}/job/push?tag=v1"));
        assert!(told.contains("sha256:") && !told.contains("errorDetail"), "{told}");
        registry.forget();
        Some(registry)
    }

    /// Takes the image away from the engine, also from under a container.
    fn forget(&self) {
        self.engine("DELETE", &format!("images/{}?force=true", self.image));
        assert!(!self.is_there());
    }

    fn is_there(&self) -> bool {
        let names = self.engine("GET", "images/json");
        names.contains(&format!("\"{}\"", self.image))
    }

    fn engine(&self, method: &str, path: &str) -> String {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail-with-body", "-X", method, "-H", "X-Registry-Auth: e30=", "--unix-socket"]);
        let told = curl.arg(&self.socket).arg(format!("http://localhost/{path}")).output().expect("curl runs");
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.status.success(), "{method} {path}: {text}");
        text
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.is_there() {
            self.forget();
        }
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

async fn listens_at(log: &Path) -> String {
    for _ in 0..400 {
        let text = fs::read_to_string(log).unwrap_or_default();
        if let Some((_, rest)) = text.split_once("listening on ") {
            return rest.split(['"', ' ', '\n']).next().expect("an address").to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the registry does not listen: {}", fs::read_to_string(log).unwrap_or_default());
}

/// The daemon as somebody who may ask the engine, as the package runs it.
fn as_stranger(bed: &Bed, socket: &Path) -> Command {
    // A copy, since the build may lie below a directory that is closed to others.
    let program = bed.path().join("uwsd");
    fs::copy(UWSD, &program).expect("copied");
    chown(bed.path(), Some(STRANGER), Some(STRANGER)).expect("given");
    let group = fs::metadata(socket).expect("there").gid();
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={STRANGER}"), format!("--regid={STRANGER}"), format!("--groups={group}")]);
    command.args(["--inh-caps=-all", "--no-new-privs"]).arg(program).stdin(Stdio::null());
    command
}

#[tokio::test]
async fn files_of_another_user_come_back_and_go_by_an_image_that_is_fetched_again() {
    let Some(engine) = Engine::docker() else { return };
    let Some(registry) = Registry::beside(&engine).await else { return };
    let Engine::Docker { host, .. } = &engine else { unreachable!("it is Docker") };
    let engine = Engine::Docker { host: host.clone(), image: registry.image.clone() };
    let bed = Bed::new(&engine, "user = \"4711:4712\"").reworded("pull = \"never\"", "pull = \"missing\"");
    fs::set_permissions(bed.path().join("count"), fs::Permissions::from_mode(0o777)).expect("opened");
    let _daemon = bed.start_by(as_stranger(&bed, &registry.socket), None).await;

    let command = "umask 077; echo kept >$JOB_OUTPUT_DIR/private; echo >>/count/$JOB_ID; sleep 2";
    let id = bed.submit(command).await;
    bed.until("it to run", async || bed.times_run(&id) == 1).await;
    registry.forget();
    let job = bed.ends(&id).await;
    assert_eq!((job["phase"].as_str(), job["jobInfo"]["exitCode"].as_i64()), (Some("completed"), Some(0)), "{job}");
    assert!(bed.log().contains("the output is brought home once the image is fetched again"), "{}", bed.log());
    assert_eq!(bed.get(&format!("/api/ocps/async/{id}/results/private")).await.text(), "kept\n");
    assert!(registry.is_there());

    registry.forget();
    assert_eq!(bed.request("DELETE", &format!("/api/v1/job/{id}"), &[], "").await.status, StatusCode::OK);
    let files = bed.path().join("state/jobs").join(&id);
    bed.until("its files to go", async || !files.exists()).await;
    assert!(registry.is_there(), "{}", bed.log());
}
