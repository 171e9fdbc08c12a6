//! Submodules, where a site wants them.

use std::fs;

use tokio::task::JoinSet;
use uwsd::ports::SourceError;

use crate::redirection::{ADA, LOGIN};
use crate::repository::{Daemon, Repositories, commit, git, serve_files};
use crate::{Bench, config, file_url};

#[tokio::test]
async fn submodules_are_fetched_only_if_configured_and_by_allowed_protocols() {
    let repositories = Repositories::new();
    let daemon = Daemon::serve(repositories.root.path());
    let outer = repositories.root.path().join("outer");
    fs::create_dir(&outer).unwrap();
    git(&outer, &["init", "--quiet", "-b", "main"]);
    git(&outer, &["submodule", "--quiet", "add", &daemon.url(), "inner"]);
    commit(&outer, "README", "outer");

    let without = Bench::new(config());
    without.checkout(&file_url(&outer), "").await.unwrap();
    assert!(!without.dir.path().join("src/inner/README").exists());

    let with = Bench::new(config::Sources { submodules: true, ..config() });
    with.checkout(&file_url(&outer), "").await.unwrap();
    assert_eq!(fs::read_to_string(with.dir.path().join("src/inner/README")).unwrap(), "two");

    // What the daemon may read on its host, a repository's owner may not have others fetch.
    git(&outer, &["config", "-f", ".gitmodules", "submodule.inner.url", &file_url(&repositories.dir())]);
    commit(&outer, "README", "here");
    let error = with.checkout(&file_url(&outer), "").await.unwrap_err();
    assert!(matches!(&error, SourceError::Refused(why) if why.contains("transport 'file' not allowed")), "{error:?}");

    let witness = repositories.root.path().join("witness");
    let helper = format!("ext::sh -c touch% {}", witness.display());
    git(&outer, &["config", "-f", ".gitmodules", "submodule.inner.url", &helper]);
    commit(&outer, "README", "evil");
    let error = with.checkout(&file_url(&outer), "").await.unwrap_err();
    assert!(matches!(&error, SourceError::Refused(why) if why.contains("transport 'ext' not allowed")), "{error:?}");
    assert!(!witness.exists());
}

#[tokio::test]
async fn submodules_on_the_server_of_the_login_get_it() {
    let repositories = Repositories::new();
    let mut tasks = JoinSet::new();
    let root = repositories.root.path().to_owned();
    let port = serve_files(&mut tasks, root.clone(), Some(LOGIN)).await;
    let url = |login: &str, name: &str| format!("http://{login}127.0.0.1:{port}/{name}/.git");
    let outer = root.join("outer");
    fs::create_dir(&outer).unwrap();
    git(&outer, &["init", "--quiet", "-b", "main"]);
    let inner = repositories.dir().display().to_string();
    git(&outer, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &inner, "inner"]);
    git(&outer, &["config", "-f", ".gitmodules", "submodule.inner.url", &url("", "x.git")]);
    commit(&outer, "README", "outer");
    git(&outer, &["update-server-info"]);
    let bench = Bench::new(config::Sources { submodules: true, ..config() });
    bench.checkout(&url(ADA, "outer"), "").await.unwrap();
    assert_eq!(fs::read_to_string(bench.dir.path().join("src/inner/README")).unwrap(), "two");
}
