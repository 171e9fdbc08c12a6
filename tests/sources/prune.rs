//! Mirrors that nobody uses are removed.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use uwsd::ports::{Clock as _, SystemClock};

use crate::repository::{Daemon, Gate, Repositories, eventually};
use crate::{Bench, config, file_url};

const HOUR: Duration = Duration::from_secs(3600);

fn used_before(mirror: &Path, age: Duration) {
    #[expect(clippy::disallowed_methods, reason = "what the file system goes by")]
    let then = SystemTime::now() - age;
    fs::File::open(mirror).unwrap().set_modified(then).unwrap();
}

fn config_of_two_hours() -> config::Sources {
    config::Sources { mirror_age: 2 * HOUR, ..config() }
}

#[tokio::test]
async fn a_mirror_goes_by_its_last_use() {
    let repositories = Repositories::new();
    let bench = Bench::new(config_of_two_hours());
    let url = file_url(&repositories.dir());
    bench.checkout(&url, "").await.unwrap();
    let mirror = bench.mirror();
    let prune = async || bench.sources.prune_mirrors(SystemClock.now()).await;
    prune().await;
    assert!(mirror.exists(), "just made");
    for commit_ref in ["main", &repositories.main] {
        used_before(&mirror, 3 * HOUR);
        bench.checkout(&url, commit_ref).await.unwrap();
        prune().await;
        assert!(mirror.exists(), "{commit_ref} was a use");
    }
    used_before(&mirror, HOUR);
    prune().await;
    assert!(mirror.exists(), "used an hour ago");
    used_before(&mirror, 3 * HOUR);
    prune().await;
    assert!(bench.mirrors().is_empty(), "used three hours ago");
    bench.checkout(&url, "").await.unwrap();
}

#[tokio::test]
async fn a_mirror_in_use_stays() {
    let repositories = Repositories::new();
    let daemon = Daemon::serve(repositories.root.path());
    let mut tasks = JoinSet::new();
    let gate = Gate::serve(&mut tasks, daemon.port, 0).await;
    let url = gate.url();
    let bench = Bench::new(config_of_two_hours());
    bench.checkout(&url, "").await.unwrap();
    let mirror = bench.mirror();
    gate.close();
    let look = async {
        gate.reached(2).await;
        used_before(&mirror, 3 * HOUR);
        bench.sources.prune_mirrors(SystemClock.now()).await;
        assert!(mirror.exists());
        gate.open();
    };
    let (done, ()) = tokio::join!(bench.checkout(&url, "main"), look);
    assert_eq!(done.unwrap().commit, repositories.main);
}

#[tokio::test]
async fn a_start_removes_what_is_left_and_all_where_none_are_kept() {
    let repositories = Repositories::new();
    let bench = Bench::new(config_of_two_hours());
    bench.checkout(&file_url(&repositories.dir()), "").await.unwrap();
    let mirror = bench.mirror();
    for left in ["new", "old"] {
        fs::create_dir(mirror.with_extension(left)).unwrap();
    }
    fs::create_dir_all(mirror.with_file_name("other.new/objects")).unwrap();
    let begin = async |bench: &Bench, left: usize| {
        tokio::select! {
            () = bench.sources.keep_mirrors_pruned(&SystemClock) => panic!("it goes on for ever"),
            () = eventually("pruned", || bench.mirrors().len() == left) => {}
        }
    };
    begin(&bench, 1).await;
    assert_eq!(bench.mirror(), mirror);
    let bench = bench.restarted(config::Sources { mirror_age: Duration::ZERO, ..config() });
    begin(&bench, 0).await;
}
