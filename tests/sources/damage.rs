//! Hostile jobs, hostile remotes, kills and damaged disks: mirrors and other jobs do not suffer.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use tokio::task::JoinSet;
use uwsd::ports::SourceError;

use crate::repository::{Daemon, Gate, Repositories, commit, commit_large, eventually, git};
use crate::{Bench, config, file_url, files_below};

/// Overwrites `file`, whatever its mode.
fn overwrite(file: &Path, content: &[u8]) {
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(file, content).unwrap();
}

fn is_sound(mirror: &Path) -> bool {
    Command::new("git").current_dir(mirror).args(["fsck", "--full"]).output().unwrap().status.success()
}

#[tokio::test]
async fn a_checkout_is_a_clone_of_the_remote_with_files_of_its_own() {
    let repositories = Repositories::new();
    let daemon = Daemon::serve(repositories.root.path());
    let bench = Bench::new(config());
    for commit_ref in ["main", &repositories.orphan] {
        bench.checkout(&daemon.url(), commit_ref).await.unwrap();
        let src = bench.dir.path().join("src");
        assert_eq!(git(&src, &["remote", "get-url", "origin"]), daemon.url());
        let identity = |file: &Path| file.metadata().map(|facts| (facts.dev(), facts.ino(), facts.nlink())).unwrap();
        let mirrored: Vec<_> = files_below(&bench.mirror()).iter().map(|file| identity(file)).collect();
        for file in files_below(&src) {
            let own = identity(&file);
            assert!(own.2 == 1 && !mirrored.contains(&own), "{} is shared", file.display());
            let content = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
            assert!(!content.contains("scratch"), "{} names a place of the daemon's", file.display());
        }
        assert!(!src.join(".git/objects/info/alternates").exists());
        assert_eq!(git(&src, &["fetch", "origin"]), "", "the remote is what it says");
    }
}

#[tokio::test]
async fn nothing_that_a_job_does_reaches_the_mirror_or_another_job() {
    let repositories = Repositories::new();
    let bench = Bench::new(config());
    let url = file_url(&repositories.dir());
    let witness = bench.dir.path().join("witness");
    for commit_ref in ["main", &repositories.main] {
        bench.checkout(&url, commit_ref).await.unwrap();
        let src = bench.dir.path().join("src");
        let evil = commit(&src, "README", "evil");
        git(&src, &["update-ref", "refs/remotes/origin/main", &evil]);
        git(&src, &["tag", "--force", "v1", &evil]);
        git(&src, &["config", "uploadpack.packObjectsHook", &format!("touch {}", witness.display())]);
        git(&src, &["config", "core.fsmonitor", &format!("touch {}", witness.display())]);
        for hook in ["post-checkout", "reference-transaction", "post-index-change"] {
            let hook = src.join(".git/hooks").join(hook);
            fs::create_dir_all(hook.parent().unwrap()).unwrap();
            fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", witness.display())).unwrap();
            fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for object in files_below(&src.join(".git/objects")) {
            overwrite(&object, b"poison");
        }
        // The next job, beside the poisoned checkout of the first.
        fs::rename(&src, bench.dir.path().join(format!("poisoned {commit_ref}"))).unwrap();
        for (commit_ref, content) in [("main", "two"), (&repositories.main, "two"), ("v1", "one")] {
            bench.checkout(&url, commit_ref).await.unwrap();
            assert_eq!(bench.readme(), content);
            assert_eq!(git(&src, &["status", "--porcelain"]), "");
            git(&src, &["fsck", "--full", "--strict"]);
        }
        assert!(is_sound(&bench.mirror()) && !witness.exists());
    }
}

#[tokio::test]
async fn git_works_for_the_user_of_the_job() {
    let repositories = Repositories::new();
    let bench = Bench::new(config());
    bench.checkout(&file_url(&repositories.dir()), "").await.unwrap();
    let src = bench.dir.path().join("src");
    let git_of_the_job = |arguments: &[&str]| {
        let mut command = if nix::unistd::geteuid().is_root() {
            // As the backend does when it hands the job's directories over.
            assert!(Command::new("chown").args(["-hR", "12345:12345"]).arg(&src).status().unwrap().success());
            fs::set_permissions(bench.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let mut command = Command::new("setpriv");
            command.args(["--reuid=12345", "--regid=12345", "--clear-groups", "git"]);
            command
        } else {
            eprintln!("SKIPPED: another user (the test does not run as root)");
            Command::new("git")
        };
        let done = command.current_dir(&src).env("HOME", "/nonexistent").args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    assert_eq!(git_of_the_job(&["status", "--porcelain", "--branch"]), "## main...origin/main\n");
    assert_eq!(git_of_the_job(&["describe", "--tags", "v1"]), "v1\n");
    fs::write(src.join("README"), "changed").unwrap();
    let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    git_of_the_job(&[&identity[..], &["commit", "--quiet", "--all", "-m", "mine"]].concat());
    assert_eq!(git_of_the_job(&["status", "--porcelain"]), "");
}

#[tokio::test]
async fn a_fetch_that_is_killed_leaves_the_mirror_usable() {
    let repositories = Repositories::new();
    let (dir, daemon) = (repositories.dir(), Daemon::serve(repositories.root.path()));
    let mut tasks = JoinSet::new();
    let gate = Gate::serve(&mut tasks, daemon.port, 200_000).await;
    let url = gate.url();
    let bench = Bench::new(config());
    bench.checkout(&url, "").await.unwrap();
    let mirror = bench.mirror();
    let large = commit_large(&dir);
    gate.close();
    tokio::select! {
        done = bench.checkout(&url, "") => panic!("{done:?}"),
        () = eventually("a pack is on its way", || !bench.half_written().is_empty()) => {}
    }
    // And what a git leaves that is killed a moment later.
    for lock in ["HEAD.lock", "packed-refs.lock", "refs/heads/main.lock", "refs/tags/new.lock"] {
        fs::write(mirror.join(lock), "").unwrap();
    }
    assert_eq!(bench.half_written().len(), 1);
    let bench = bench.restarted(config());
    bench.checkout(&url, &repositories.develop).await.unwrap();
    gate.open();
    let asked = daemon.asked();
    assert_eq!(bench.checkout(&url, "main").await.unwrap().commit, large);
    assert!(bench.half_written().is_empty() && is_sound(&mirror));
    assert!(!files_below(&mirror).iter().any(|file| file.extension().is_some_and(|end| end == "lock")));
    // What was there was not fetched again: the refs were asked for twice, and only the new objects.
    assert_eq!(daemon.asked(), (asked.0 + 2, asked.1 + 1));
}

#[tokio::test]
async fn a_first_fetch_that_is_killed_leaves_no_mirror() {
    let repositories = Repositories::new();
    let daemon = Daemon::serve(repositories.root.path());
    let mut tasks = JoinSet::new();
    let gate = Gate::serve(&mut tasks, daemon.port, 600).await;
    let url = gate.url();
    gate.close();
    let bench = Bench::new(config());
    tokio::select! {
        done = bench.checkout(&url, "") => panic!("{done:?}"),
        () = gate.reached(1) => {}
    }
    let bench = bench.restarted(config());
    gate.open();
    assert_eq!(bench.checkout(&url, "").await.unwrap().commit, repositories.main);
    assert!(is_sound(&bench.mirror()));
}

type Damage = fn(&Path);

fn overwrite_packs(mirror: &Path, content: &[u8]) {
    let packs = files_below(&mirror.join("objects/pack"));
    packs
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "pack"))
        .for_each(|pack| overwrite(pack, content));
}

#[tokio::test]
async fn a_corrupt_mirror_is_made_anew() {
    let repositories = Repositories::new();
    let (dir, daemon) = (repositories.dir(), Daemon::serve(repositories.root.path()));
    let bench = Bench::new(config());
    let damages: [(&str, Damage); 7] = [
        ("packs of rubbish", |mirror| overwrite_packs(mirror, &[7; 400])),
        ("empty packs", |mirror| overwrite_packs(mirror, b"")),
        ("no objects", |mirror| fs::remove_dir_all(mirror.join("objects")).unwrap()),
        ("no HEAD", |mirror| fs::remove_file(mirror.join("HEAD")).unwrap()),
        ("a HEAD of rubbish", |mirror| overwrite(&mirror.join("HEAD"), &[0; 41])),
        ("refs of rubbish", |mirror| overwrite(&mirror.join("packed-refs"), b"rubbish\n")),
        ("a config of rubbish", |mirror| overwrite(&mirror.join("config"), b"[core\n")),
    ];
    for (what, damage) in damages {
        for is_news in [false, true] {
            for commit_ref in ["main", &repositories.develop] {
                bench.checkout(&daemon.url(), "").await.unwrap();
                damage(&bench.mirror());
                if is_news {
                    commit(&dir, "README", format!("{what} {commit_ref}"));
                }
                let done = bench.checkout(&daemon.url(), commit_ref).await;
                let done = done.unwrap_or_else(|why| panic!("{what}, {commit_ref}, news {is_news}: {why}"));
                let expected = git(&dir, &["rev-parse", commit_ref]);
                assert_eq!(done.commit, expected, "{what}");
                assert_eq!(git(&bench.dir.path().join("src"), &["status", "--porcelain"]), "");
                assert!(is_sound(&bench.mirror()), "{what}, {commit_ref}, news {is_news}");
            }
        }
    }
}

#[tokio::test]
async fn a_remote_that_breaks_leaves_the_mirror_as_it_was() {
    let repositories = Repositories::new();
    let (dir, daemon) = (repositories.dir(), Daemon::serve(repositories.root.path()));
    let bench = Bench::new(config());
    bench.checkout(&daemon.url(), "").await.unwrap();
    let newer = commit(&dir, "new", "of which something will be missing");
    let blob = git(&dir, &["rev-parse", "HEAD:new"]);
    let object = dir.join(".git/objects").join(&blob[..2]).join(&blob[2..]);
    let kept = fs::read(&object).unwrap();
    fs::remove_file(&object).unwrap();
    for _ in 0..2 {
        let error = bench.checkout(&daemon.url(), "main").await.unwrap_err();
        assert!(matches!(&error, SourceError::Refused(_) | SourceError::Network(_)), "{error:?}");
        assert_eq!(bench.checkout(&daemon.url(), &repositories.main).await.unwrap().commit, repositories.main);
    }
    assert!(is_sound(&bench.mirror()));
    fs::write(&object, kept).unwrap();
    assert_eq!(bench.checkout(&daemon.url(), "main").await.unwrap().commit, newer);
}
