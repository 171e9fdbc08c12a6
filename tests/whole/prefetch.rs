//! Images and repositories fetched before a job needs them.

use serde_json::json;

use crate::bed::{Bed, Engine, everywhere};
use crate::git_server::GitServer;
use crate::reload::{complained, order, printed};

async fn a_repository_that_was_prefetched_is_checked_out_without_its_server(engine: &Engine) {
    let bed = Bed::new(engine, "");
    let daemon = bed.start(None).await;
    let git = GitServer::start().await;
    let (url, head) = (git.url(), git.head());
    let done = order(&bed, &["prefetch", &url]);
    assert_eq!(done.status.code(), Some(0), "{}", complained(&done));
    assert_eq!(printed(&done), format!("all of {url} is on this host\n"));
    drop(git);
    let put = json!({ "command": "cat $JOB_SOURCE_DIR/bin/pipetask.sh", "url": url, "commit_ref": head });
    let id = bed.put(&put).await.json()["jobId"].as_str().expect("an id").to_owned();
    let ended = bed.ends(&id).await;
    assert_eq!((&ended["jobInfo"]["exitCode"], &ended["jobInfo"]["commit"]), (&json!(0), &json!(head)), "{ended}");

    // Now that nobody serves it, the failure is told.
    let done = order(&bed, &["prefetch", &url]);
    assert_eq!(done.status.code(), Some(1), "{}", printed(&done));
    assert!(complained(&done).contains(&url), "{}", complained(&done));
    let done = order(&bed, &["prefetch", "ftp://example.org/x.git"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(complained(&done).contains("ftp"), "{}", complained(&done));
    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
}

async fn an_image_that_is_not_to_be_had_is_told_with_its_reason(engine: &Engine) {
    let bed = Bed::new(engine, "");
    let daemon = bed.start(None).await;
    bed.until("the backend to be found", async || bed.get("/readyz").await.status == http::StatusCode::OK).await;
    let done = order(&bed, &["prefetch", "no such image"]);
    assert_eq!(done.status.code(), Some(1), "{}", printed(&done));
    let said = complained(&done);
    match engine {
        Engine::Docker { .. } => assert!(said.contains("image no such image is not to be had"), "{said}"),
        Engine::Process => assert!(said.contains("the process backend runs no images"), "{said}"),
    }
    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
}

everywhere!(
    a_repository_that_was_prefetched_is_checked_out_without_its_server,
    an_image_that_is_not_to_be_had_is_told_with_its_reason,
);
