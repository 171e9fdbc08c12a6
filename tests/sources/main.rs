//! Checkouts with real git, from real servers on loopback.
#![expect(clippy::unwrap_used, reason = "tests")]

mod closed;
mod damage;
mod lfs;
mod mirror;
mod prune;
mod redirection;
mod repository;
mod ssh;
mod submodules;

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use repository::{Daemon, Repositories, commit, git, serve_files, until};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uwsd::config;
use uwsd::domain::Source;
use uwsd::ports::{Checkout, SourceError, Sources as _, UnfitSource};
use uwsd::sources::GitSources;

fn config() -> config::Sources {
    config::Sources {
        git_protocols: ["https", "http", "ssh", "git", "file"].map(str::to_owned).to_vec(),
        clone_timeout: Duration::from_secs(60),
        max_size: 1 << 30,
        mirror_age: Duration::from_secs(86_400),
        submodules: false,
        lfs: false,
        ssh_key: None,
        known_hosts: None,
        ca_file: None,
        proxy: None,
    }
}

/// Sources, a scratch directory, and places to check out into.
struct Bench {
    sources: GitSources,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(config: config::Sources) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sources = GitSources::new(config, dir.path().join("scratch"), &[]).unwrap();
        Self { sources, dir }
    }

    fn into(&self) -> PathBuf {
        let into = self.dir.path().join("src");
        let _ = fs::remove_dir_all(&into);
        fs::create_dir(&into).unwrap();
        into
    }

    async fn checkout(&self, url: &str, commit_ref: &str) -> Result<Checkout, SourceError> {
        self.sources.checkout(&source(url, commit_ref), &self.into()).await
    }

    /// The same after a restart of the daemon.
    fn restarted(self, config: config::Sources) -> Self {
        let sources = GitSources::new(config, self.dir.path().join("scratch"), &[]).unwrap();
        Self { sources, ..self }
    }

    /// The mirrors that there are.
    fn mirrors(&self) -> Vec<PathBuf> {
        let dir = self.dir.path().join("scratch/mirrors");
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// The one mirror.
    fn mirror(&self) -> PathBuf {
        let mirrors = self.mirrors();
        assert_eq!(mirrors.len(), 1, "{mirrors:?}");
        mirrors[0].clone()
    }

    /// Packs in the mirror that are not whole.
    fn half_written(&self) -> Vec<PathBuf> {
        let is_half = |file: &PathBuf| file.file_name().unwrap().to_string_lossy().starts_with("tmp_pack");
        files_below(&self.mirror()).into_iter().filter(is_half).collect()
    }

    /// The file of the test repository, as checked out.
    fn readme(&self) -> String {
        fs::read_to_string(self.dir.path().join("src/README")).unwrap()
    }

    fn head(&self) -> String {
        git(&self.dir.path().join("src"), &["rev-parse", "--abbrev-ref", "HEAD"])
    }

    /// The processes of checkouts that are still there.
    fn processes(&self) -> Vec<String> {
        let mark = format!("UWSD_GIT_SCRATCH={}", self.dir.path().join("scratch").display());
        let environment = |pid: &str| fs::read_to_string(format!("/proc/{pid}/environ")).unwrap_or_default();
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|pid| environment(pid).split('\0').any(|variable| variable == mark))
            .filter_map(|pid| Some(fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?.replace('\0', " ")))
            .collect()
    }
}

/// The files below `dir`.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let (mut files, mut waiting) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().unwrap().is_dir() { waiting.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files
}

fn source(url: &str, commit_ref: &str) -> Source {
    Source { url: url.to_owned(), commit_ref: commit_ref.to_owned() }
}

fn file_url(path: &Path) -> String {
    format!("file://{}", path.display())
}

#[tokio::test]
async fn every_form_of_ref_leads_to_its_commit() {
    let repositories = Repositories::new();
    let daemon = Daemon::serve(repositories.root.path());
    let bench = Bench::new(config());
    let r = &repositories;
    for url in [format!("git://127.0.0.1:{}/x.git", daemon.port), file_url(&r.dir()), r.dir().display().to_string()] {
        for (commit_ref, commit, content, head) in [
            ("", &r.main, "two", "main"),
            ("HEAD", &r.main, "two", "main"),
            ("main", &r.main, "two", "main"),
            ("develop", &r.develop, "three", "develop"),
            ("refs/heads/both", &r.develop, "three", "heads/both"),
            ("both", &r.first, "one", "HEAD"),
            ("v1", &r.first, "one", "HEAD"),
            ("refs/tags/v1", &r.first, "one", "HEAD"),
            ("origin/develop", &r.develop, "three", "HEAD"),
            (&r.first, &r.first, "one", "HEAD"),
            (&r.develop.to_uppercase(), &r.develop, "three", "HEAD"),
            (&r.develop[..7], &r.develop, "three", "HEAD"),
        ] {
            let done = bench.checkout(&url, commit_ref).await.unwrap_or_else(|why| panic!("{url} {commit_ref}: {why}"));
            assert_eq!((&done.commit, bench.readme().as_str(), bench.head().as_str()), (commit, content, head));
        }
    }
    let src = bench.dir.path().join("src");
    assert_eq!(git(&src, &["describe", &r.first]), "v1");
    assert_eq!(git(&src, &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn a_commit_on_no_branch_is_found_if_the_server_gives_it() {
    let repositories = Repositories::new();
    let bench = Bench::new(config());
    let url = file_url(&repositories.dir());
    // Protocol version 2 servers give any object they have.
    let done = bench.checkout(&url, &repositories.orphan).await.unwrap();
    assert_eq!((done.commit, bench.readme()), (repositories.orphan, "gone".to_owned()));
}

#[tokio::test]
async fn a_ref_that_is_not_there_never_leads_to_other_code() {
    let repositories = Repositories::new();
    let bench = Bench::new(config());
    let url = file_url(&repositories.dir());
    for commit_ref in
        ["mian", "v2", "refs/heads/v1", "refs/tags/main", "abcdef1", &"0".repeat(40), "origin", "origin/x"]
    {
        let error = bench.checkout(&url, commit_ref).await.unwrap_err();
        assert!(matches!(&error, SourceError::Refused(why) if why.contains("has no ")), "{commit_ref}: {error:?}");
        assert!(!bench.dir.path().join("src/README").exists(), "{commit_ref}");
    }
}

#[tokio::test]
async fn repositories_that_are_not_there_or_empty_are_refused() {
    let repositories = Repositories::new();
    let daemon = Daemon::serve(repositories.root.path());
    let empty = repositories.root.path().join("empty.git");
    fs::create_dir(&empty).unwrap();
    git(&empty, &["init", "--quiet", "--bare"]);
    let bench = Bench::new(config());
    let daemon_url = |name: &str| format!("git://127.0.0.1:{}/{name}", daemon.port);
    for (url, part) in [
        (daemon_url("none.git"), "fatal: remote error: no such repository"),
        (file_url(&repositories.root.path().join("none.git")), "fatal: '"),
        (daemon_url("empty.git"), "has no commit on its default branch"),
    ] {
        let error = bench.checkout(&url, "").await.unwrap_err();
        assert!(matches!(&error, SourceError::Refused(why) if why.contains(part)), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failure_of_the_network() {
    let bench = Bench::new(config());
    for url in ["git://127.0.0.1:1/x", "http://127.0.0.1:1/x", "ssh://127.0.0.1:1/x", "ssh://git@[::1]:1/x"] {
        let error = bench.checkout(url, "").await.unwrap_err();
        let SourceError::Network(why) = error else { panic!("{url}: {error:?}") };
        assert!(why.contains("could not be cloned: ") && why.len() > 60, "{why}");
    }
}

#[tokio::test]
async fn only_configured_protocols_are_spoken() {
    let repositories = Repositories::new();
    let https_only = Bench::new(config::Sources { git_protocols: vec!["https".into()], ..config() });
    let witness = repositories.root.path().join("witness");
    for url in [
        file_url(&repositories.dir()),
        repositories.dir().display().to_string(),
        "git://127.0.0.1/x".into(),
        "host:x".into(),
        format!("ext::sh -c touch% {}", witness.display()),
        format!("--upload-pack=touch {}", witness.display()),
        format!("-u touch {}", witness.display()),
    ] {
        let source = source(&url, "");
        let UnfitSource { field, why } = https_only.sources.check(&source).unwrap_err();
        assert_eq!(field, "url");
        assert!(why.contains("use a URL with https"), "{url}: {why}");
        assert_eq!(https_only.checkout(&url, "").await, Err(SourceError::Refused(why)));
    }
    let bench = Bench::new(config());
    let option = format!("--upload-pack=touch {}", witness.display());
    let UnfitSource { field, why } = bench.sources.check(&source(&file_url(&repositories.dir()), &option)).unwrap_err();
    assert!(field == "commit_ref" && why.contains("begins with '-'"), "{why}");
    assert!(!witness.exists());
}

#[tokio::test]
async fn hooks_and_filters_of_a_repository_never_run() {
    let repositories = Repositories::new();
    let dir = repositories.dir();
    let witness = repositories.root.path().join("witness");
    let script = format!("#!/bin/sh\ntouch {}\n", witness.display());
    for hook in ["post-checkout", "post-upload-pack", "pre-receive", "reference-transaction"] {
        let file = dir.join(".git/hooks").join(hook);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &script).unwrap();
        std::process::Command::new("chmod").arg("+x").arg(&file).status().unwrap();
    }
    git(&dir, &["config", "filter.evil.smudge", &format!("touch {}", witness.display())]);
    git(&dir, &["config", "core.fsmonitor", &format!("touch {}", witness.display())]);
    git(&dir, &["config", "uploadpack.packObjectsHook", &format!("touch {}", witness.display())]);
    fs::write(dir.join(".gitattributes"), "* filter=evil\n").unwrap();
    git(&dir, &["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "add", ".gitattributes"]);
    git(&dir, &["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "commit", "--quiet", "-m", "evil"]);
    let _ = fs::remove_file(&witness);
    let bench = Bench::new(config());
    bench.checkout(&file_url(&dir), "").await.unwrap();
    assert!(!witness.exists());
}

#[tokio::test]
async fn a_login_is_sent_and_shown_nowhere() {
    let repositories = Repositories::new();
    let mut tasks = JoinSet::new();
    // ada:p@ss/w
    let port = serve_files(&mut tasks, repositories.root.path().to_owned(), Some("YWRhOnBAc3Mvdw==")).await;
    let bench = Bench::new(config());
    let url = |login: &str| format!("http://{login}127.0.0.1:{port}/x.git/.git");
    bench.checkout(&url("ada:p%40ss%2fw@"), "v1").await.unwrap();
    let kept = fs::read_to_string(bench.dir.path().join("src/.git/config")).unwrap();
    assert!(kept.contains(&url("")) && !kept.contains("ada"), "{kept}");
    for login in ["ada:wr%6fng%21@", "t0ken@", ""] {
        let error = bench.checkout(&url(login), "v1").await.unwrap_err();
        let SourceError::Refused(why) = error else { panic!("{error:?}") };
        assert!(why.starts_with(&format!("{} could not be cloned: fatal: ", url(""))), "{why}");
        for secret in ["ada", "wrong", "wr%6f", "t0ken"] {
            assert!(!why.contains(secret), "{why}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_answers_is_given_up_and_nothing_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let bench = Bench::new(config::Sources { clone_timeout: Duration::from_millis(700), ..config() });
    for scheme in ["git", "http"] {
        let began = Instant::now();
        let error = bench.checkout(&format!("{scheme}://127.0.0.1:{port}/x"), "").await.unwrap_err();
        assert!(matches!(&error, SourceError::TimedOut(why) if why.contains("within 0.7 s")), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(20));
        until("every process has ended", || bench.processes().is_empty());
        until("no half of a mirror is left", || bench.mirrors().is_empty());
        let error = bench.sources.prefetch(&format!("{scheme}://127.0.0.1:{port}/x")).await.unwrap_err();
        assert!(matches!(&error, SourceError::TimedOut(_)), "{error:?}");
        until("no half of a mirror is left by a prefetch", || bench.mirrors().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_checkout_ends_every_process_and_leaves_no_half_of_a_mirror() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let bench = Bench::new(config());
    let url = format!("http://127.0.0.1:{port}/x");
    {
        // Named, so that it lives while it is looked what it makes: dropped, it removes that.
        let mut checkout = pin!(bench.checkout(&url, ""));
        tokio::select! {
            done = &mut checkout => panic!("{done:?}"),
            // A connection shows that git and its helper run.
            connection = listener.accept() => {
                assert_eq!(bench.mirrors().len(), 1, "one is being made");
                drop(connection.unwrap());
            }
        }
    }
    until("every process has ended", || bench.processes().is_empty());
    until("no half of a mirror is left", || bench.mirrors().is_empty());
}

#[tokio::test]
async fn logins_are_on_no_command_line() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let bench = Bench::new(config());
    let url = format!("http://lovelace:geheim@127.0.0.1:{port}/x");
    let look = async {
        let _held = listener.accept().await.unwrap();
        bench.processes()
    };
    let seen = tokio::select! {
        done = bench.checkout(&url, "") => panic!("{done:?}"),
        seen = look => seen,
    };
    assert!(seen.iter().any(|line| line.contains("remote-http")), "{seen:?}");
    assert!(seen.iter().all(|line| !line.contains("geheim") && !line.contains("lovelace")), "{seen:?}");
}

#[tokio::test]
async fn a_new_daemon_ends_what_an_earlier_one_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let bench = Bench::new(config());
    let url = format!("http://127.0.0.1:{port}/x");
    let scratch = bench.dir.path().join("scratch");
    let checkout = bench.checkout(&url, "");
    let restart = async {
        let _held = listener.accept().await.unwrap();
        tokio::task::spawn_blocking(move || GitSources::new(config(), scratch, &[]).unwrap()).await.unwrap();
        until("every process has ended", || bench.processes().is_empty());
    };
    let (done, ()) = tokio::join!(checkout, restart);
    done.unwrap_err();
}

#[tokio::test]
async fn a_repository_above_the_limit_is_refused() {
    let repositories = Repositories::new();
    let dir = repositories.dir();
    // Not compressible, so that it is as large on its way.
    let noise: Vec<u8> =
        (0..300_000_u64).flat_map(|n| (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()).collect();
    commit(&dir, "large", &noise);
    let bench = Bench::new(config::Sources { max_size: 1 << 20, ..config() });
    let error = bench.checkout(&file_url(&dir), "").await.unwrap_err();
    assert!(matches!(&error, SourceError::Refused(why) if why.contains("more than 1048576 bytes")), "{error:?}");
}

#[test]
fn checking_is_static_and_an_empty_url_is_fine() {
    let bench = Bench::new(config());
    assert_eq!(bench.sources.check(&source("", "main")), Ok(()));
    assert_eq!(bench.sources.check(&source("https://localhost/none", "main")), Ok(()));
    let unfit = bench.sources.check(&source("https://localhost/none", "a..b")).unwrap_err();
    assert_eq!(unfit.field, "commit_ref");
}
