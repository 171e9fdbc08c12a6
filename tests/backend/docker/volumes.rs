//! Of an image that declares volumes every container has some without a name: none outlives its job.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use uwsd::ports::{Backend, RunSpec};

use super::{DockerBed, OTHER, adapter, ask, own};
use crate::suite::{Bed, clean, end_of, launch, live, prepare, until_it_says};

/// An image with a volume, made of the tests'; its name is given back when dropped.
struct Declared<'a> {
    bed: &'a DockerBed,
    image: String,
}

impl<'a> Declared<'a> {
    async fn by(bed: &'a DockerBed) -> Self {
        let spec = bed.spec("true");
        prepare(&*bed.backend, &spec).await;
        let (run, tag) = (spec.run.name(), spec.run.job);
        let path = format!("commit?container={run}&repo=localhost/volume&tag={tag}&changes=VOLUME%20/data");
        tell(bed, "POST", &path);
        clean(&*bed.backend, &spec).await;
        Self { bed, image: format!("localhost/volume:{tag}") }
    }

    fn spec(&self, script: &str) -> RunSpec {
        RunSpec { image: self.image.clone(), ..self.bed.spec(script) }
    }
}

impl Drop for Declared<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            tell(self.bed, "DELETE", &format!("images/{}", self.image));
        }
    }
}

fn tell(bed: &DockerBed, method: &str, path: &str) {
    let mut curl = Command::new("curl");
    // Podman wants a body where Docker does not.
    curl.args(["-sS", "--fail-with-body", "-H", "Content-Type: application/json", "--data-binary", "{}"]);
    curl.args(["-o", "/dev/null", "-X", method, "--unix-socket"]).arg(bed.socket());
    let done = curl.arg(format!("http://localhost/{path}")).status().expect("curl runs");
    assert!(done.success(), "{method} {path}");
}

/// The names of all volumes that the engine has.
fn volumes(bed: &DockerBed) -> Vec<String> {
    let told: serde_json::Value = serde_json::from_str(&ask(&bed.socket(), "volumes")).expect("JSON");
    let names = told["Volumes"].as_array().into_iter().flatten().filter_map(|volume| volume["Name"].as_str());
    names.map(str::to_owned).collect()
}

/// The volumes of a run's container.
fn volumes_of(bed: &DockerBed, spec: &RunSpec) -> Vec<String> {
    let told = bed.engine_tells(&spec.run).expect("the engine tells");
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let mounts = told["Mounts"].as_array().into_iter().flatten().filter(|mount| mount["Type"] == "volume");
    let names: Vec<String> = mounts.filter_map(|mount| mount["Name"].as_str()).map(str::to_owned).collect();
    assert_eq!(names.len(), 1, "{told}");
    assert!(volumes(bed).contains(&names[0]));
    names
}

fn assert_gone(bed: &DockerBed, names: &[String]) {
    let there = volumes(bed);
    assert!(names.iter().all(|name| !there.contains(name)), "{names:?} in {there:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_outlives_a_job_an_abort_or_a_life_of_the_daemon() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let declared = Declared::by(&bed).await;
    let backend = bed.backend();
    let spec = declared.spec("echo x > /data/x 2>/dev/null; exit 0");
    live(&*backend, &spec).await;
    let names = volumes_of(&bed, &spec);
    clean(&*backend, &spec).await;
    assert_gone(&bed, &names);

    let spec = declared.spec("echo begun; sleep 60");
    launch(&*backend, &spec).await;
    until_it_says(&spec, "begun").await;
    let names = volumes_of(&bed, &spec);
    backend.stop(&spec.run, Duration::ZERO).await.expect("stopped");
    end_of(&*backend, &spec).await;
    clean(&*backend, &spec).await;
    assert_gone(&bed, &names);

    // Dropped on its way, at whatever moment.
    let before = volumes(&bed);
    for millis in [1, 10, 30, 100] {
        let spec = declared.spec("true");
        let _ = tokio::time::timeout(Duration::from_millis(millis), backend.create(&spec)).await;
        clean(&*backend, &spec).await;
    }
    let new: Vec<String> = volumes(&bed).into_iter().filter(|name| !before.contains(name)).collect();
    let theirs = ask(&bed.socket(), "containers/json?all=true");
    assert!(new.iter().all(|name| theirs.contains(name.as_str())), "{new:?} are left over");

    // A daemon that was killed; the next one finds the run, which it removes.
    let spec = declared.spec("echo begun; sleep 60");
    let (settings, instance, theirs) = (bed.settings.clone(), bed.instance.clone(), spec.clone());
    let killed = tokio::task::spawn_blocking(move || {
        let life = tokio::runtime::Runtime::new().expect("a runtime");
        life.block_on(async {
            let backend = adapter(&settings, &instance);
            launch(&*backend, &theirs).await;
        });
        life.shutdown_background();
    });
    killed.await.expect("it went well");
    let names = volumes_of(&bed, &spec);
    let next: Arc<dyn Backend> = bed.fresh_backend();
    let found = next.find_runs().await.expect("it answers");
    assert!(found.iter().any(|found| found.run == spec.run));
    clean(&*next, &spec).await;
    assert_gone(&bed, &names);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_outlives_a_helper() {
    if geteuid().is_root() {
        eprintln!("SKIPPED: root needs no helpers");
        return;
    }
    let Some(bed) = DockerBed::of(OTHER, true).await else { return };
    let declared = Declared::by(&bed).await;
    let before = volumes(&bed);
    let spec = declared.spec("mkdir $JOB_OUTPUT_DIR/x; exit 0");
    live(&*bed.backend, &spec).await;
    let names = volumes_of(&bed, &spec);
    clean(&*bed.backend, &spec).await;
    assert_gone(&bed, &names);
    // Those of other tests have containers.
    let containers = ask(&bed.socket(), "containers/json?all=true");
    let new = volumes(&bed).into_iter().filter(|name| !before.contains(name));
    let left: Vec<String> = new.filter(|name| !containers.contains(name.as_str())).collect();
    assert_eq!(left, Vec::<String>::new());
}
