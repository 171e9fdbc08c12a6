//! One mirror a URL: what is asked of the remote, how often, and by whom.

use std::fs;
use std::path::PathBuf;

use tokio::task::JoinSet;
use uwsd::ports::{Checkout, SourceError, Sources as _};

use crate::repository::{Daemon, Gate, Repositories, commit, commit_large, eventually, git, serve_files, until};
use crate::{Bench, config, file_url, files_below, source};

impl Bench {
    /// An empty directory for another job.
    fn another(&self, name: &str) -> PathBuf {
        let into = self.dir.path().join(name);
        fs::create_dir(&into).unwrap();
        into
    }
}

#[tokio::test]
async fn what_was_fetched_once_is_shared() {
    let repositories = Repositories::new();
    let daemon = Daemon::serve(repositories.root.path());
    let bench = Bench::new(config());
    for (commit_ref, content) in [("main", "two"), ("develop", "three"), ("v1", "one"), ("", "two")] {
        bench.checkout(&daemon.url(), commit_ref).await.unwrap();
        assert_eq!(bench.readme(), content);
    }
    assert_eq!(daemon.asked(), (4, 1), "asked four times, fetched once");
    let _one = bench.mirror();
}

#[tokio::test]
async fn every_change_of_the_remote_reaches_the_next_job() {
    let repositories = Repositories::new();
    let (dir, daemon) = (repositories.dir(), Daemon::serve(repositories.root.path()));
    let bench = Bench::new(config());
    let url = daemon.url();
    bench.checkout(&url, "").await.unwrap();
    let newer = commit(&dir, "README", "newer");
    assert_eq!(bench.checkout(&url, "main").await.unwrap().commit, newer);
    git(&dir, &["reset", "--quiet", "--hard", &repositories.first]);
    assert_eq!(bench.checkout(&url, "main").await.unwrap().commit, repositories.first, "a branch that was forced back");
    git(&dir, &["tag", "--force", "v1", &repositories.develop]);
    assert_eq!(bench.checkout(&url, "v1").await.unwrap().commit, repositories.develop, "a tag that moved");
    git(&dir, &["checkout", "--quiet", "develop"]);
    bench.checkout(&url, "").await.unwrap();
    assert_eq!((bench.readme().as_str(), bench.head().as_str()), ("three", "develop"), "another default branch");
    git(&dir, &["branch", "--delete", "--force", "main"]);
    git(&dir, &["branch", "main/below"]);
    let error = bench.checkout(&url, "refs/heads/main").await.unwrap_err();
    assert!(matches!(&error, SourceError::Refused(why) if why.contains("has no branch")), "{error:?}");
    assert_eq!(bench.checkout(&url, "main/below").await.unwrap().commit, repositories.develop);
    git(&dir, &["checkout", "--quiet", "--detach", &repositories.orphan]);
    assert_eq!(bench.checkout(&url, "").await.unwrap().commit, repositories.orphan, "a remote that is on no branch");
}

#[tokio::test]
async fn many_small_fetches_do_not_leave_many_packs() {
    let repositories = Repositories::new();
    let url = file_url(&repositories.dir());
    let bench = Bench::new(config());
    for n in 0..24 {
        let newest = commit(&repositories.dir(), "README", n.to_string());
        assert_eq!(bench.checkout(&url, "").await.unwrap().commit, newest);
    }
    let is_pack = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "pack");
    let packs = files_below(&bench.mirror().join("objects/pack")).into_iter().filter(is_pack).count();
    assert!((2..20).contains(&packs), "{packs}");
    bench.checkout(&url, &repositories.first).await.unwrap();
}

#[tokio::test]
async fn a_known_commit_needs_no_remote_and_a_branch_does() {
    let repositories = Repositories::new();
    let daemon = Daemon::serve(repositories.root.path());
    let bench = Bench::new(config());
    let url = daemon.url();
    bench.checkout(&url, &repositories.orphan).await.unwrap();
    let asked = daemon.asked();
    bench.checkout(&url, &repositories.develop).await.unwrap();
    bench.checkout(&url, &repositories.orphan).await.unwrap();
    assert_eq!(daemon.asked(), asked, "nobody was asked");
    drop(daemon);
    let bench = bench.restarted(config());
    for known in [&repositories.main, &repositories.develop, &repositories.orphan, &repositories.first.to_uppercase()] {
        assert_eq!(bench.checkout(&url, known).await.unwrap().commit, known.to_lowercase());
    }
    let unknown = "1".repeat(40);
    for commit_ref in ["", "main", "refs/heads/main", "v1", &repositories.main[..12], &unknown] {
        let error = bench.checkout(&url, commit_ref).await.unwrap_err();
        assert!(matches!(&error, SourceError::Network(why) if why.contains("could not be cloned")), "{error:?}");
        assert!(!bench.dir.path().join("src/README").exists(), "{commit_ref}");
    }
}

#[tokio::test]
async fn without_mirrors_every_job_fetches_by_itself() {
    let repositories = Repositories::new();
    let daemon = Daemon::serve(repositories.root.path());
    let bench = Bench::new(config::Sources { mirror_age: std::time::Duration::ZERO, ..config() });
    for commit_ref in ["main", &repositories.main, &repositories.orphan] {
        bench.checkout(&daemon.url(), commit_ref).await.unwrap();
    }
    assert_eq!((daemon.asked().1, bench.mirrors()), (4, Vec::new()), "three clones, and one fetch of a lone commit");
}

#[tokio::test]
async fn jobs_that_come_together_make_one_fetch() {
    let repositories = Repositories::new();
    let daemon = Daemon::serve(repositories.root.path());
    let bench = Bench::new(config());
    for expected in [(1, 1), (2, 1)] {
        let [a, b, c] = ["a", "b", "c"].map(|name| bench.another(&format!("{name}{}", expected.0)));
        let [main, develop, first] =
            ["main", "develop", &repositories.first].map(|commit_ref| source(&daemon.url(), commit_ref));
        let (main, develop, first) = tokio::join!(
            bench.sources.checkout(&main, &a),
            bench.sources.checkout(&develop, &b),
            bench.sources.checkout(&first, &c),
        );
        let commits = [main, develop, first].map(|done| done.unwrap().commit);
        assert_eq!(commits, [&repositories.main, &repositories.develop, &repositories.first].map(String::clone));
        assert_eq!(daemon.asked(), expected);
    }
}

#[tokio::test]
async fn a_job_that_gives_up_leaves_the_fetch_to_the_others() {
    let repositories = Repositories::new();
    let daemon = Daemon::serve(repositories.root.path());
    let mut tasks = JoinSet::new();
    let gate = Gate::serve(&mut tasks, daemon.port, 100).await;
    gate.close();
    let bench = Bench::new(config());
    let (a, b) = (bench.another("a"), bench.another("b"));
    let source = source(&gate.url(), "main");
    let impatient = async {
        tokio::select! {
            done = bench.sources.checkout(&source, &a) => panic!("{done:?}"),
            () = gate.reached(1) => {}
        }
        gate.open();
    };
    let (done, ()) = tokio::join!(bench.sources.checkout(&source, &b), impatient);
    assert_eq!(done, Ok(Checkout { commit: repositories.main.clone() }));
    assert_eq!((gate.connections(), daemon.asked()), (1, (1, 1)));
}

#[tokio::test]
async fn when_all_give_up_nothing_runs_on() {
    let repositories = Repositories::new();
    let daemon = Daemon::serve(repositories.root.path());
    let mut tasks = JoinSet::new();
    let gate = Gate::serve(&mut tasks, daemon.port, 100).await;
    gate.close();
    let bench = Bench::new(config());
    let (a, b) = (bench.another("a"), bench.another("b"));
    let source = source(&gate.url(), "main");
    tokio::select! {
        done = bench.sources.checkout(&source, &a) => panic!("{done:?}"),
        done = bench.sources.checkout(&source, &b) => panic!("{done:?}"),
        () = gate.reached(1) => {}
    }
    until("every process has ended", || bench.processes().is_empty());
}

#[tokio::test]
async fn a_job_that_comes_during_a_fetch_waits_and_gets_what_is_newer() {
    let repositories = Repositories::new();
    let (dir, daemon) = (repositories.dir(), Daemon::serve(repositories.root.path()));
    let mut tasks = JoinSet::new();
    // Refs pass, and of a large pack only the beginning.
    let gate = Gate::serve(&mut tasks, daemon.port, 200_000).await;
    let bench = Bench::new(config());
    bench.checkout(&gate.url(), "").await.unwrap();
    let large = commit_large(&dir);
    gate.close();
    let (a, b) = (bench.another("a"), bench.another("b"));
    let source = source(&gate.url(), "main");
    let later = async {
        // The first clone, the question and the fetch, of which the refs were given by the time that anything is stuck.
        gate.reached(3).await;
        eventually("a pack is on its way", || !bench.half_written().is_empty()).await;
        let newest = commit(&dir, "README", "newest");
        let open = async {
            // Long enough to have asked, if it did not wait.
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            assert_eq!(gate.connections(), 3, "it waits");
            gate.open();
        };
        let (done, ()) = tokio::join!(bench.sources.checkout(&source, &b), open);
        assert_eq!(done.unwrap().commit, newest);
    };
    let (done, ()) = tokio::join!(bench.sources.checkout(&source, &a), later);
    assert_eq!(done.unwrap().commit, large);
}

#[tokio::test]
async fn a_known_commit_does_not_wait_for_a_fetch_that_is_stuck() {
    let repositories = Repositories::new();
    let daemon = Daemon::serve(repositories.root.path());
    let mut tasks = JoinSet::new();
    let gate = Gate::serve(&mut tasks, daemon.port, 200_000).await;
    let url = gate.url();
    let bench = Bench::new(config());
    bench.checkout(&url, "").await.unwrap();
    commit_large(&repositories.dir());
    gate.close();
    let (stuck, into) = (source(&url, "main"), bench.another("stuck"));
    let known = async {
        eventually("a pack is on its way", || !bench.half_written().is_empty()).await;
        bench.checkout(&url, &repositories.develop).await
    };
    tokio::select! {
        done = bench.sources.checkout(&stuck, &into) => panic!("{done:?}"),
        done = known => assert_eq!(done.unwrap().commit, repositories.develop),
    }
}

#[tokio::test]
async fn a_login_is_kept_nowhere_and_opens_nothing_for_others() {
    const LOGIN: &str = "bG92ZWxhY2U6cEBzcy93";
    let repositories = Repositories::new();
    let mut tasks = JoinSet::new();
    let port = serve_files(&mut tasks, repositories.root.path().to_owned(), Some(LOGIN)).await;
    let bench = Bench::new(config());
    let url = |login: &str| format!("http://{login}127.0.0.1:{port}/x.git/.git");
    for _ in 0..2 {
        bench.checkout(&url("lovelace:p%40ss%2fw@"), &repositories.main).await.unwrap();
    }
    let mirror = bench.mirror();
    for login in ["", "lovelace:wrong@", "token@"] {
        let error = bench.checkout(&url(login), &repositories.main).await.unwrap_err();
        assert!(matches!(&error, SourceError::Refused(why) if why.contains("could not be cloned")), "{error:?}");
    }
    assert_eq!(bench.mirror(), mirror, "those who are not let in leave nothing");
    for file in files_below(bench.dir.path()) {
        let kept = [file.display().to_string().into_bytes(), fs::read(&file).unwrap()].concat();
        let kept = String::from_utf8_lossy(&kept);
        for secret in ["lovelace", "p%40ss", "p@ss", LOGIN] {
            assert!(!kept.contains(secret), "{secret} is in {}", file.display());
        }
    }
}

#[tokio::test]
async fn a_commit_that_only_another_login_sees_stays_unseen() {
    let repositories = Repositories::new();
    let dir = repositories.dir();
    let mut tasks = JoinSet::new();
    let bench = Bench::new(config());
    let port = serve_files(&mut tasks, repositories.root.path().to_owned(), None).await;
    let url = |login: &str| format!("http://{login}127.0.0.1:{port}/x.git/.git");
    bench.checkout(&url("ada:one@"), &repositories.develop).await.unwrap();
    // From here on the server shows less, as it might to another login.
    for branch in ["develop", "both"] {
        git(&dir, &["branch", "--delete", "--force", branch]);
    }
    git(&dir, &["reflog", "expire", "--expire=now", "--all"]);
    git(&dir, &["gc", "--quiet", "--prune=now"]);
    for login in ["", "bob:two@"] {
        let error = bench.checkout(&url(login), &repositories.develop).await.unwrap_err();
        assert!(matches!(&error, SourceError::Refused(why) if why.contains("has no commit")), "{error:?}");
        bench.checkout(&url(login), "main").await.unwrap();
        let kept = std::process::Command::new("git")
            .current_dir(bench.dir.path().join("src"))
            .args(["cat-file", "-e", &repositories.develop])
            .status();
        assert!(!kept.unwrap().success(), "{login} was given it");
    }
}
