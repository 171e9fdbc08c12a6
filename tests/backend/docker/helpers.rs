//! The files of another user come back and go by an image that a service names, where the job's own is gone or does not do.

use std::io::Write;
use std::process::{Command, Stdio};

use nix::unistd::geteuid;
use uwsd::backend::docker::DockerBackend;
use uwsd::config::{self, Live, Service, testing};
use uwsd::ports::{Backend, BackendError, RunSpec};

use super::interposed::{Interposed, Treatment};
use super::{DockerBed, OTHER, docker};
use crate::suite::{Bed, clean, end_of, launch, prepare};

/// An image of a test's own, which may be gone before its end.
struct Own<'a> {
    bed: &'a DockerBed,
    name: String,
}

impl<'a> Own<'a> {
    /// The tests' image, with one more layer and a name that no other test knows.
    async fn of(bed: &'a DockerBed) -> Self {
        let spec = bed.spec("true");
        prepare(&*bed.backend, &spec).await;
        Self::kept(bed, &spec, "{}").await
    }

    /// One whose `chown` fails, as for what the job called its files, as long as there is a `stuck` beside them.
    async fn odd(bed: &'a DockerBed) -> Self {
        let spec = bed.spec(
            "mkdir -m 755 /tmp/odd; cat > /tmp/odd/chown <<'END'; chmod 755 /tmp/odd/chown\n\
             #!/bin/sh\n\
             [ -e /uwsd-job/stuck ] || exec /bin/chown \"$@\"\n\
             echo \"chown: changing ownership of '/uwsd-job/out/exec format error': Operation not permitted\" >&2\n\
             exit 1\n\
             END\n",
        );
        launch(&*bed.backend, &spec).await;
        end_of(&*bed.backend, &spec).await;
        Self::kept(bed, &spec, r#"{"Env": ["PATH=/tmp/odd:/bin"]}"#).await
    }

    /// What the container of `spec` comes to; `config`: JSON of how it differs otherwise.
    async fn kept(bed: &'a DockerBed, spec: &RunSpec, config: &str) -> Self {
        let (run, tag) = (spec.run.name(), spec.run.job);
        tell(bed, "POST", &format!("commit?container={run}&repo=localhost/helped&tag={tag}"), config.as_bytes());
        clean(&*bed.backend, spec).await;
        Self { bed, name: format!("localhost/helped:{tag}") }
    }

    /// One without any program.
    fn bare(bed: &'a DockerBed) -> Self {
        let (mut tar, mut header) = (tar::Builder::new(Vec::new()), tar::Header::new_ustar());
        let tag = crate::suite::new_run().job.to_string();
        header.set_size(tag.len().try_into().expect("short"));
        header.set_mode(0o644);
        tar.append_data(&mut header, "file", tag.as_bytes()).expect("in memory");
        let tar = tar.into_inner().expect("in memory");
        tell(bed, "POST", &format!("images/create?fromSrc=-&repo=localhost/bare&tag={tag}"), &tar);
        Self { bed, name: format!("localhost/bare:{tag}") }
    }

    fn spec(&self, script: &str) -> RunSpec {
        RunSpec { image: self.name.clone(), ..self.bed.spec(script) }
    }

    fn remove(&self) {
        tell(self.bed, "DELETE", &format!("images/{}?force=true", self.name), b"");
    }
}

fn tell(bed: &DockerBed, method: &str, path: &str, body: &[u8]) {
    let kind = if path.starts_with("images/create") { "application/x-tar" } else { "application/json" };
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail-with-body", "-H", &format!("Content-Type: {kind}"), "--data-binary", "@-"]);
    curl.args(["-o", "/dev/null", "-X", method, "--unix-socket"]).arg(bed.socket());
    let mut curl = curl.arg(format!("http://localhost/{path}")).stdin(Stdio::piped()).spawn().expect("curl runs");
    curl.stdin.take().expect("piped").write_all(body).expect("curl reads");
    assert!(curl.wait().expect("curl ends").success(), "{method} {path}");
}

/// Where the files of another user take a helper.
async fn bed() -> Option<DockerBed> {
    if geteuid().is_root() {
        eprintln!("SKIPPED: root needs no helper");
        return None;
    }
    DockerBed::of(OTHER, true).await
}

/// An adapter to the engine of a daemon whose services name these images.
fn naming(settings: &config::Docker, bed: &DockerBed, images: &[&str]) -> DockerBackend {
    let service = |image: &&str| ((*image).to_owned(), Service { image: (*image).to_owned(), ..testing::service() });
    let services = images.iter().map(service).collect();
    let config = config::Config { services, ..testing::config_in(bed.jobs.path()) };
    docker(settings, &bed.instance).with_services_of(Live::new(config))
}

/// A job that ended, and of which only its files are left.
async fn ended(bed: &DockerBed) -> RunSpec {
    let spec = bed.spec(PRIVATE);
    launch(&*bed.backend, &spec).await;
    end_of(&*bed.backend, &spec).await;
    bed.backend.remove(&spec.run).await.expect("the run is removed");
    spec
}

const PRIVATE: &str = "umask 077; mkdir \"$JOB_OUTPUT_DIR/d\"; echo deep > \"$JOB_OUTPUT_DIR/d/f\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_of_a_job_whose_image_was_removed_come_back_and_go() {
    let Some(bed) = bed().await else { return };
    let (own, backend) = (Own::of(&bed).await, naming(&bed.settings, &bed, &[&bed.image]));
    let spec = own.spec(PRIVATE);
    launch(&backend, &spec).await;
    end_of(&backend, &spec).await;
    backend.remove(&spec.run).await.expect("the run is removed");
    own.remove();
    assert_eq!(backend.find_image(&own.name).await.expect("it answers"), None);
    backend.take_back(&spec).await.expect("by another image");
    assert_eq!(std::fs::read_to_string(spec.dirs.output().join("d/f")).expect("readable"), "deep\n");
    clean(&backend, &spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_lacks_the_program_gives_way_to_one_that_has_it() {
    let Some(bed) = bed().await else { return };
    // The newest of all, and so the first of the others that is tried.
    let bare = Own::bare(&bed);
    let backend = naming(&bed.settings, &bed, &[&bed.image, &bare.name]);
    for image in [Some(&*bare.name), Some("localhost/helped:never"), None] {
        let spec = ended(&bed).await;
        backend.remove_files(spec.run.job, &spec.dirs, image).await.expect("by another image");
        assert!(!spec.dirs.root.exists(), "{image:?}");
    }
    bare.remove();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_fails_holds_up_no_other() {
    let Some(bed) = bed().await else { return };
    let odd = Own::odd(&bed).await;
    let images = [&*bed.image, &odd.name];
    let backend = naming(&bed.settings, &bed, &images);
    for image in [Some(&*odd.name), Some("localhost/helped:never"), None] {
        let spec = ended(&bed).await;
        std::fs::write(spec.dirs.root.join("stuck"), "").expect("written");
        backend.remove_files(spec.run.job, &spec.dirs, image).await.expect("by another image");
        assert!(!spec.dirs.root.exists(), "{image:?}");
    }
    // Nor does one of which no container can be made.
    let interposed = Interposed::before(&bed.socket(), Treatment::Fail("/containers/create", 1));
    let host = format!("unix://{}", interposed.path().display());
    let backend = naming(&config::Docker { host, ..bed.settings.clone() }, &bed, &images);
    let spec = ended(&bed).await;
    backend.remove_files(spec.run.job, &spec.dirs, None).await.expect("by another image");
    odd.remove();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_job_calls_its_files_tells_nothing_of_an_image() {
    let Some(bed) = bed().await else { return };
    let odd = Own::odd(&bed).await;
    let backend = naming(&bed.settings, &bed, &[&odd.name]);
    let spec = ended(&bed).await;
    let stuck = spec.dirs.root.join("stuck");
    std::fs::write(&stuck, "").expect("written");
    let error = backend.remove_files(spec.run.job, &spec.dirs, None).await.expect_err("it is stuck").to_string();
    assert!(error.contains("ended with 1: chown: changing ownership of "), "{error}");
    // Of an image that is gone it is told that it would do, and what the other says.
    let gone = backend.remove_files(spec.run.job, &spec.dirs, Some("localhost/helped:never")).await;
    let gone = gone.expect_err("it is stuck");
    assert!(matches!(&gone, BackendError::Image { why, .. } if why.contains("ended with 1: chown: ")), "{gone:?}");
    std::fs::remove_file(&stuck).expect("removed");
    backend.remove_files(spec.run.job, &spec.dirs, None).await.expect("by the same image");
    assert!(!spec.dirs.root.exists());
    odd.remove();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_no_service_names_does_not_get_at_files_and_it_is_told_which_would() {
    let Some(bed) = bed().await else { return };
    let spec = ended(&bed).await;
    let bare = Own::bare(&bed);
    // The tests' own is there and would do.
    let without = naming(&bed.settings, &bed, &[&bare.name]);
    for (image, is_to_be_fetched) in [(Some("localhost/helped:never"), true), (Some(&*bare.name), false), (None, false)]
    {
        let error = without.remove_files(spec.run.job, &spec.dirs, image).await.expect_err("by nothing");
        assert_eq!(matches!(error, BackendError::Image { .. }), is_to_be_fetched, "{error:?}");
        assert!(error.to_string().contains("needs an image with `chown`"), "{error}");
        assert!(error.to_string().contains("pull "), "{error}");
    }
    assert!(spec.dirs.root.exists());
    bare.remove();
    clean(&*bed.backend, &spec).await;
}
