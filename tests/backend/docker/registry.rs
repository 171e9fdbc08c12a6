//! Images from a real registry: `docker-registry` where the tests' engine reaches it, in that engine's network namespace.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::unistd::geteuid;
use tempfile::TempDir;
use uwsd::ports::{BackendError, How, Pull, RunSpec};

use super::{DockerBed, own};
use crate::suite::{Bed, clean, live, until};

/// The registry, gone when this is dropped, and the engine's images from it too.
struct Registry<'a> {
    server: Child,
    bed: &'a DockerBed,
    /// Where the engine finds it.
    address: String,
    _dir: TempDir,
}

impl<'a> Registry<'a> {
    /// `None`, said aloud, where no process can be put beside the engine.
    async fn beside(bed: &'a DockerBed) -> Option<Self> {
        let pid = fs::read_to_string(bed.socket().with_file_name("dockerd.pid"));
        let (Ok(pid), true) = (pid, geteuid().is_root()) else {
            eprintln!("SKIPPED: a registry beside the engine needs root and the engine of tests/bed/dockerd.sh");
            return None;
        };
        let dir = tempfile::tempdir().expect("a directory");
        let (config, log) = (dir.path().join("config.yml"), dir.path().join("log"));
        let storage = dir.path().join("images");
        let content = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: \"{}\"}}}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n",
            storage.display()
        );
        fs::write(&config, content).expect("written");
        let output = fs::File::create(&log).expect("a log");
        let server = Command::new("nsenter")
            .arg(format!("--net=/proc/{}/ns/net", pid.trim()))
            .args(["docker-registry", "serve"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a log"))
            .stderr(output)
            .spawn()
            .expect("nsenter is there");
        until("the registry listens", || listens_at(&log).is_some()).await;
        Some(Self { server, bed, address: listens_at(&log).expect("it listens"), _dir: dir })
    }

    /// Pushes `image` as `tag` of the repository `job`, and forgets this name of it; its new name and digest.
    fn push(&self, image: &str, tag: &str) -> (String, String) {
        let repository = format!("{}/job", self.address);
        self.engine("POST", &format!("images/{image}/tag?repo={repository}&tag={tag}"), None);
        let told = self.engine("POST", &format!("images/{repository}/push?tag={tag}"), None);
        let digest = told.split("sha256:").last().and_then(|rest| rest.get(..64)).expect("a digest is told");
        let name = format!("{repository}:{tag}");
        self.forget(&name);
        (name, format!("{repository}@sha256:{digest}"))
    }

    /// Removes the image of that name from the engine.
    fn forget(&self, image: &str) {
        self.engine("DELETE", &format!("images/{image}?force=true"), None);
    }

    /// Makes an image of one file; its name.
    fn image_of(&self, text: &str) -> String {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len().try_into().expect("short"));
        header.set_mode(0o644);
        tar.append_data(&mut header, "file", text.as_bytes()).expect("in memory");
        let tar = tar.into_inner().expect("in memory");
        self.engine("POST", &format!("images/create?fromSrc=-&repo={}/made&tag=new", self.address), Some(&tar));
        format!("{}/made:new", self.address)
    }

    /// A request to the engine; its answer.
    fn engine(&self, method: &str, path: &str, body: Option<&[u8]>) -> String {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail-with-body", "-X", method, "-H", "X-Registry-Auth: e30=", "--unix-socket"]);
        curl.arg(self.bed.socket()).arg(format!("http://localhost/{path}"));
        if body.is_some() {
            curl.args(["-H", "Content-Type: application/x-tar", "--data-binary", "@-"]);
        }
        let mut curl = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("curl runs");
        curl.stdin.take().expect("piped").write_all(body.unwrap_or_default()).expect("curl reads");
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
            for image in
                images.as_array().into_iter().flatten().filter_map(|image| image["RepoTags"].as_array()).flatten()
            {
                self.forget(image.as_str().expect("a name"));
            }
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn listens_at(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let (_, rest) = text.split_once("listening on ")?;
    Some(rest.split(['"', ' ', '\n']).next()?.to_owned())
}

/// What becomes of fetching `image`: its digest, or the refusal and whether it may pass.
async fn fetch(bed: &DockerBed, image: &str, pull: Pull) -> Result<String, (String, bool)> {
    let spec = RunSpec { image: image.to_owned(), pull, ..bed.spec("true") };
    match bed.backend().fetch_image(&spec).await {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_not_reached_may_be_later() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let Some(mut registry) = Registry::beside(&bed).await else { return };
    let (image, digest) = registry.push(&registry.image_of("soon away"), "latest");
    assert_eq!(fetch(&bed, &image, Pull::Missing).await, Ok(digest.clone()));
    registry.server.kill().expect("it is killed");
    registry.server.wait().expect("it is gone");
    // What is there is enough for who need not look.
    assert_eq!(fetch(&bed, &image, Pull::Missing).await, Ok(digest));
    let (why, is_transient) = fetch(&bed, &image, Pull::Always).await.expect_err("no registry answers");
    assert!(why.contains("connection refused") && is_transient, "{why}");
    registry.forget(&image);
    let (why, is_transient) = fetch(&bed, &image, Pull::Missing).await.expect_err("no registry answers");
    assert!(why.contains("connection refused") && is_transient, "{why}");
}
