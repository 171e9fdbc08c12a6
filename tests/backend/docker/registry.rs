//! Images from a real registry: `docker-registry` where the tests' engine reaches it, in that engine's network namespace.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::unistd::geteuid;
use tempfile::TempDir;
use uwsd::config;
use uwsd::ports::{Backend, BackendError, How, Pull, RunSpec};

use super::{DockerBed, adapter, own};
use crate::suite::{Bed, clean, live, until};

/// The registry, gone when this is dropped, and the engine's images from it too.
pub(super) struct Registry<'a> {
    server: Child,
    bed: &'a DockerBed,
    /// Where the engine finds it.
    pub(super) address: String,
    dir: TempDir,
}

const TAR: &str = "application/x-tar";
/// Podman wants one where Docker does not.
pub(super) const NOTHING: Option<(&str, &[u8])> = Some(("application/json", b"{}"));

/// The logins that a registry knows: `me` with `secret`, and `you` with `what??~>`.
const LOGINS: &str = "me:$2b$04$tUcbebB62JbKSpwi6aVYHelJJDITNqO33OXeUQuFxH3zbZ7Ofuqhe\n\
    you:$2b$04$tUcbebB62JbKSpwi6aVYHew7Sz9vxRiChzHhklfunPEewcLb8uBDC\n";

impl<'a> Registry<'a> {
    /// `None`, said aloud, where no process can be put beside the engine.
    pub(super) async fn beside(bed: &'a DockerBed) -> Option<Self> {
        Self::with(bed, "").await
    }

    /// One with further settings; in them `{dir}` is a directory that has a file `login`.
    async fn with(bed: &'a DockerBed, more: &str) -> Option<Self> {
        let (Some(pid), true) = (pid_of_engine(bed), geteuid().is_root()) else {
            eprintln!(
                "SKIPPED: a registry beside the engine needs root and the engine of tests/bed/{{dockerd,podman}}.sh"
            );
            return None;
        };
        let dir = tempfile::tempdir().expect("a directory");
        let (config, log) = (dir.path().join("config.yml"), dir.path().join("log"));
        let storage = dir.path().join("images");
        let content = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: \"{}\"}}}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n{}",
            storage.display(),
            more.replace("{dir}", &dir.path().to_string_lossy()),
        );
        fs::write(&config, content).expect("written");
        fs::write(dir.path().join("login"), LOGINS).expect("written");
        let server = serve(pid.trim(), &config, &log);
        until("the registry listens", || listens_at(&log).is_some()).await;
        Some(Self { server, bed, address: listens_at(&log).expect("it listens"), dir })
    }

    fn stop(&mut self) {
        self.server.kill().expect("it is killed");
        self.server.wait().expect("it is gone");
    }

    /// Starts it again where it was.
    fn start(&mut self) {
        let pid = pid_of_engine(self.bed).expect("there");
        let (config, log) = (self.dir.path().join("config.yml"), self.dir.path().join("log"));
        let content = fs::read_to_string(&config).expect("there");
        fs::write(&config, content.replace("127.0.0.1:0", &self.address)).expect("written");
        self.server = serve(pid.trim(), &config, &log);
    }

    /// Pushes `image` as `tag` of the repository `job`, and forgets this name of it; its new name and digest.
    pub(super) fn push(&self, image: &str, tag: &str) -> (String, String) {
        let repository = format!("{}/job", self.address);
        self.engine("POST", &format!("images/{image}/tag?repo={repository}&tag={tag}"), None);
        let told = self.engine("POST", &format!("images/{repository}/push?tag={tag}"), None);
        let digest = told.split("sha256:").last().and_then(|rest| rest.get(..64)).expect("a digest is told");
        let name = format!("{repository}:{tag}");
        self.forget(&name);
        (name, format!("{repository}@sha256:{digest}"))
    }

    /// Removes the image of that name from the engine.
    pub(super) fn forget(&self, image: &str) {
        // Forced, Podman would take away the image's other names too.
        self.engine("DELETE", &format!("images/{image}"), None);
    }

    /// Makes an image of one file; its name.
    pub(super) fn image_of(&self, text: &str) -> String {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len().try_into().expect("short"));
        header.set_mode(0o644);
        tar.append_data(&mut header, "file", text.as_bytes()).expect("in memory");
        let tar = tar.into_inner().expect("in memory");
        let repository = format!("{}/made", self.address);
        let path = format!("images/create?fromSrc=-&repo={repository}&tag=new");
        let told = self.engine("POST", &path, Some((TAR, &tar)));
        if self.bed.is_podman {
            // It gives it another name.
            let id = told.split("sha256:").last().and_then(|rest| rest.get(..64)).expect("an id is told");
            self.engine("POST", &format!("images/{id}/tag?repo={repository}&tag=new"), None);
            self.forget(&format!("{repository}:latest"));
        }
        format!("{repository}:new")
    }

    /// A request to the engine; its answer.
    pub(super) fn engine(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> String {
        self.request("e30=", method, path, body)
    }

    /// The same by somebody who is known to the registry.
    fn logged_in(&self, method: &str, path: &str) -> String {
        // {"username": "me", "password": "secret"}
        self.request("eyJ1c2VybmFtZSI6ICJtZSIsICJwYXNzd29yZCI6ICJzZWNyZXQifQ==", method, path, None)
    }

    fn request(&self, auth: &str, method: &str, path: &str, body: Option<(&str, &[u8])>) -> String {
        let mut curl = Command::new("curl");
        let auth = format!("X-Registry-Auth: {auth}");
        curl.args(["-sS", "--fail-with-body", "-X", method, "-H", &auth, "--unix-socket"]);
        curl.arg(self.bed.socket()).arg(format!("http://localhost/{path}"));
        if let Some((kind, _)) = body {
            curl.args(["-H", &format!("Content-Type: {kind}"), "--data-binary", "@-"]);
        }
        let mut curl = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("curl runs");
        curl.stdin.take().expect("piped").write_all(body.unwrap_or_default().1).expect("curl reads");
        let told = curl.wait_with_output().expect("curl ends");
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.status.success() && !text.contains("errorDetail"), "{method} {path}: {text}");
        text
    }
}

impl Drop for Registry<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let filter = format!("%7B%22reference%22%3A%5B%22{}/*%22%5D%7D", self.address);
            let images = self.engine("GET", &format!("images/json?filters={filter}"), None);
            let images: serde_json::Value = serde_json::from_str(&images).expect("JSON");
            let names = images.as_array().into_iter().flatten().filter_map(|image| image["RepoTags"].as_array());
            // Podman tells all names of each.
            let names = names.flatten().filter_map(|name| name.as_str()).filter(|name| name.starts_with(&self.address));
            names.for_each(|name| self.forget(name));
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The process in whose network the engine reaches a registry.
fn pid_of_engine(bed: &DockerBed) -> Option<String> {
    let of = |name: &str| fs::read_to_string(bed.socket().with_file_name(name)).ok();
    of("dockerd.pid").or_else(|| of("podman.pid"))
}

fn listens_at(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let (_, rest) = text.split_once("listening on ")?;
    Some(rest.split(['"', ' ', '\n']).next()?.to_owned())
}

/// Starts a registry in the network of the engine with this pid.
fn serve(pid: &str, config: &Path, log: &Path) -> Child {
    let output = fs::File::create(log).expect("a log");
    Command::new("nsenter")
        .arg(format!("--net=/proc/{pid}/ns/net"))
        .args(["docker-registry", "serve"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("a log"))
        .stderr(output)
        .spawn()
        .expect("nsenter is there")
}

/// What becomes of fetching `image`: its digest, or the refusal and whether it may pass.
async fn fetch(bed: &DockerBed, image: &str, pull: Pull) -> Result<String, (String, bool)> {
    let spec = RunSpec { image: image.to_owned(), pull, ..bed.spec("true") };
    match bed.backend().fetch_image(&spec.image, spec.pull, &|_: String| {}).await {
        Ok(facts) => Ok(facts.digest.expect("it has a digest")),
        Err(BackendError::Image { image: named, why, is_transient }) => {
            assert_eq!(named, image);
            eprintln!("{pull:?}: {why}");
            Err((why, is_transient))
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_missing_is_pulled_and_run_unless_forbidden() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    if bed.lacks("one digest an image: of one that was pushed from here it tells that of here, too") {
        return;
    }
    let Some(registry) = Registry::beside(&bed).await else { return };
    let (image, digest) = registry.push(&bed.image, "v1");
    let (why, is_transient) = fetch(&bed, &image, Pull::Never).await.expect_err("it is not on the host");
    assert!(why.contains("pull = \"never\"") && !is_transient, "{why}");
    assert_eq!(fetch(&bed, &image, Pull::Missing).await, Ok(digest.clone()));
    // Now it is there, also for those who may not pull.
    assert_eq!(fetch(&bed, &image, Pull::Never).await, Ok(digest));
    let spec = RunSpec { image, ..bed.spec("exit 3") };
    assert_eq!(live(&*bed.backend(), &spec).await.how, How::Exited(3));
    clean(&*bed.backend(), &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_moved_is_pulled_again_only_if_told_so() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    if bed.lacks("one digest an image: of one that was pushed from here it tells that of here, too") {
        return;
    }
    let Some(registry) = Registry::beside(&bed).await else { return };
    let (image, old) = registry.push(&registry.image_of("old"), "latest");
    assert_eq!(fetch(&bed, &image, Pull::Missing).await.as_ref(), Ok(&old));
    // The tag moves in the registry while the host has the older image under it.
    let (_, new) = registry.push(&registry.image_of("new"), "latest");
    registry.engine("POST", &format!("images/{old}/tag?repo={}/job&tag=latest", registry.address), None);
    assert_ne!(old, new);
    for (pull, digest) in [(Pull::Never, &old), (Pull::Missing, &old), (Pull::Always, &new), (Pull::Never, &new)] {
        assert_eq!(fetch(&bed, &image, pull).await.as_ref(), Ok(digest), "{pull:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_registry_does_not_have_is_refused_for_good() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let Some(registry) = Registry::beside(&bed).await else { return };
    let (image, _) = registry.push(&registry.image_of("here"), "here");
    let (gone, nowhere) = (image.replace(":here", ":gone"), image.replace("/job:", "/nowhere:"));
    let other = format!("{}@sha256:{}", image.trim_end_matches(":here"), "0".repeat(64));
    for image in [gone, nowhere, other] {
        for pull in [Pull::Missing, Pull::Always] {
            let (why, is_transient) = fetch(&bed, &image, pull).await.expect_err("there is no such image");
            assert!(!is_transient, "{image}: {why}");
        }
    }
}

/// A backend with other settings for images.
pub(super) fn with(bed: &DockerBed, change: impl FnOnce(&mut config::Docker)) -> Arc<dyn Backend> {
    let mut settings = bed.settings.clone();
    change(&mut settings);
    adapter(&settings, &bed.instance)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_comes_back_is_asked_again_and_the_job_is_told() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    if bed.lacks("an answer from a registry that is away within a second: it tries by itself first") {
        return;
    }
    let Some(mut registry) = Registry::beside(&bed).await else { return };
    let (image, digest) = registry.push(&registry.image_of("soon away"), "latest");
    assert_eq!(fetch(&bed, &image, Pull::Missing).await, Ok(digest.clone()));
    registry.stop();
    // What is there is enough for who need not look.
    assert_eq!(fetch(&bed, &image, Pull::Missing).await, Ok(digest.clone()));
    let told = Mutex::new(Vec::new());
    let tell = |line| told.lock().expect("alone").push(line);
    let impatient = with(&bed, |settings| settings.pull_timeout = Duration::from_secs(1));
    let spec = RunSpec { image: image.clone(), pull: Pull::Always, ..bed.spec("true") };
    match impatient.fetch_image(&spec.image, spec.pull, &|_: String| {}).await {
        Err(BackendError::PullTimedOut { why, .. }) => assert!(why.contains("connection refused"), "{why}"),
        other => panic!("{other:?}"),
    }
    let backend = bed.backend();
    let fetching = backend.fetch_image(&spec.image, spec.pull, &tell);
    let restarting = async {
        until("it is told", || !told.lock().expect("alone").concat().is_empty()).await;
        registry.start();
    };
    let (fetched, ()) = tokio::join!(fetching, restarting);
    assert_eq!(fetched.expect("it came back").digest, Some(digest));
    let told = told.into_inner().expect("alone");
    let waiting = told.iter().find(|line| line.starts_with("trying again in 2 s: ")).expect("told");
    assert!(waiting.contains("connection refused"), "{told:?}");
}

/// Ended when dropped.
struct Front(Child);

impl Drop for Front {
    fn drop(&mut self) {
        drop((self.0.kill(), self.0.wait()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_limits_its_pulls_is_asked_again_and_the_job_is_told() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    if bed.lacks("an answer from a registry that limits within a second: it tries by itself first") {
        return;
    }
    let Some(registry) = Registry::beside(&bed).await else { return };
    let (image, digest) = registry.push(&registry.image_of("wanted by many"), "latest");
    let mut front = Command::new("nsenter")
        .arg(format!("--net=/proc/{}/ns/net", pid_of_engine(&bed).expect("it runs").trim()))
        .args(["python3", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/backend/docker/limited.py")])
        .args([&registry.address, "4"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("nsenter is there");
    let mut port = String::new();
    BufReader::new(front.stdout.take().expect("piped")).read_line(&mut port).expect("a port");
    let _front = Front(front);
    let limited = image.replace(&registry.address, &format!("127.0.0.1:{}", port.trim()));
    let told = Mutex::new(Vec::new());
    let tell = |line| told.lock().expect("alone").push(line);
    let fetched = bed.backend().fetch_image(&limited, Pull::Missing, &tell).await.expect("in the end");
    let of = |name: &str| name.split_once('@').map(|(_, digest)| digest.to_owned());
    assert_eq!(of(&fetched.digest.expect("it has one")), of(&digest));
    let told = told.into_inner().expect("alone");
    let waiting = told.iter().find(|line| line.starts_with("trying again in 2 s: ")).expect("told");
    assert!(waiting.contains("toomanyrequests"), "{told:?}");
    registry.forget(&limited);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_pulled_once_for_all_who_want_it_and_its_progress_is_told() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let Some(registry) = Registry::beside(&bed).await else { return };
    // Nothing of it is on the host, and it does not get smaller on its way.
    let mut state = 1_u64;
    let noise: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{state:x}")
    })
    .take(500_000)
    .collect();
    let made = registry.image_of(&noise);
    let (image, digest) = registry.push(&made, "once");
    registry.forget(&made);
    let spec = RunSpec { image, pull: Pull::Always, ..bed.spec("true") };
    let backend = bed.backend();
    let told = Mutex::new(Vec::new());
    let tell = |line: String| told.lock().expect("alone").push(line);
    let all = futures_util::future::join_all((0..8).map(|_| backend.fetch_image(&spec.image, spec.pull, &tell))).await;
    assert!(all.into_iter().all(|one| one.expect("fetched").digest.as_ref() == Some(&digest)));
    let log = fs::read_to_string(registry.dir.path().join("log")).expect("a log");
    let asked = log.lines().filter(|line| line.contains("\"GET /v2/job/blobs/")).count();
    assert!((1..=2).contains(&asked), "its layer and its configuration, once: {asked} times\n{log}");
    assert!(told.into_inner().expect("alone").iter().any(|line| line.ends_with(" MB here")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_of_the_usual_file_opens_a_registry() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let more = "auth: {htpasswd: {realm: tests, path: \"{dir}/login\"}}\n";
    let Some(registry) = Registry::with(&bed, more).await else { return };
    let image = format!("{}/job:closed", registry.address);
    let logged_in = registry.dir.path().join("config.json");
    registry.logged_in("POST", &format!("images/{}/tag?repo={}/job&tag=closed", bed.image, registry.address));
    registry.logged_in("POST", &format!("images/{}/job/push?tag=closed", registry.address));
    registry.forget(&image);
    let (why, is_transient) = fetch(&bed, &image, Pull::Missing).await.expect_err("nobody is logged in");
    assert!(
        !is_transient && why.contains(if bed.is_podman { "unauthorized" } else { "no basic auth credentials" }),
        "{why}"
    );
    for auth in ["bWU6c2VjcmV0", "eW91OndoYXQ/P34+"] {
        let auths = format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, registry.address);
        fs::write(&logged_in, auths).expect("written");
        let backend = with(&bed, |settings| settings.credentials.clone_from(&logged_in));
        let spec = RunSpec { image: image.clone(), pull: Pull::Always, ..bed.spec("true") };
        backend.fetch_image(&spec.image, spec.pull, &|_: String| {}).await.expect("the registry lets us in");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_is_asked_first_and_the_image_has_the_name_that_was_asked_for() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    if bed.lacks("one digest an image: of one that was pushed from here it tells that of here, too") {
        return;
    }
    let Some(registry) = Registry::beside(&bed).await else { return };
    let (there, digest) = registry.push(&bed.image, "v1");
    let backend = with(&bed, |settings| {
        settings.mirrors =
            vec![format!("nowhere.invalid={}", "127.0.0.1:1"), format!("nowhere.invalid={}", registry.address)];
    });
    // No such registry, but its mirrors: the first does not answer, the second has it.
    let image = "nowhere.invalid/job:v1".to_owned();
    let spec = RunSpec { image: image.clone(), pull: Pull::Missing, ..bed.spec("exit 3") };
    let facts = backend.fetch_image(&spec.image, spec.pull, &|_: String| {}).await.expect("pulled from the mirror");
    assert_eq!((facts.digest, facts.source), (Some(digest), Some(there)));
    assert_eq!(live(&*backend, &spec).await.how, How::Exited(3));
    clean(&*backend, &spec).await;
    registry.forget(&image);
}
