//! Directories of the daemon's own, by a URL with `file`.

use std::fs;

use tokio::task::JoinSet;
use uwsd::ports::{SourceError, Sources as _};
use uwsd::sources::GitSources;

use crate::redirection::{ADA, LOGIN};
use crate::repository::{Repositories, serve_files};
use crate::{Bench, config, file_url, source};

#[tokio::test]
async fn a_mirror_is_no_source_for_others() {
    let repositories = Repositories::new();
    let mut tasks = JoinSet::new();
    let port = serve_files(&mut tasks, repositories.root.path().to_owned(), Some(LOGIN)).await;
    let bench = Bench::new(config());
    bench.checkout(&format!("http://{ADA}127.0.0.1:{port}/x.git/.git"), "").await.unwrap();
    let link = bench.dir.path().join("link");
    std::os::unix::fs::symlink(bench.dir.path().join("scratch"), &link).unwrap();
    let url = file_url(&bench.mirror());
    let through = file_url(&link.join("mirrors").join(bench.mirror().file_name().unwrap()));
    for url in [url.replace("mirrors", "%6dirrors"), bench.mirror().display().to_string(), url, through] {
        let unfit = bench.sources.check(&source(&url, "")).unwrap_err();
        assert!(unfit.field == "url" && unfit.why.contains("the daemon's own files"), "{url}: {}", unfit.why);
        assert_eq!(bench.checkout(&url, "").await, Err(SourceError::Refused(unfit.why.clone())));
        assert_eq!(bench.sources.prefetch(&url).await, Err(SourceError::Refused(unfit.why)));
    }
}

#[tokio::test]
async fn what_lies_with_the_jobs_is_no_source_either() {
    let repositories = Repositories::new();
    let dir = tempfile::tempdir().unwrap();
    let jobs = repositories.root.path();
    let sources = GitSources::new(config(), dir.path().join("scratch"), &[jobs]).unwrap();
    let into = dir.path().join("src");
    fs::create_dir(&into).unwrap();
    let error = sources.checkout(&source(&file_url(&repositories.dir()), ""), &into).await.unwrap_err();
    assert!(matches!(&error, SourceError::Refused(why) if why.contains("the daemon's own files")), "{error:?}");
}
