//! What a ref leads to in a clone, and the checkout of it.

use super::git::Git;
use super::reference::{Reference, is_abbreviated_hash};
use crate::ports::SourceError;

/// What is checked out.
pub(super) enum Found {
    /// The branch of this name.
    Branch(String),
    /// A tag or commit.
    Detached(String),
}

/// What `reference` leads to, and the commit behind it.
pub(super) async fn find(git: &Git<'_>, reference: &Reference) -> Result<(Found, String), SourceError> {
    let shown = &git.remote.shown;
    let found = match reference {
        Reference::Default => find_default(git).await?,
        Reference::Commit(hash) => find_commit(git, hash).await?,
        Reference::Branch(name) => find_branch(git, name).await?,
        Reference::Tag(name) => find_tag(git, name).await?,
        Reference::Name(name) => find_name(git, name).await?,
    };
    found.ok_or_else(|| {
        SourceError::Refused(match reference {
            Reference::Default => format!("{shown} has no commit on its default branch; name a branch, tag or commit"),
            Reference::Commit(hash) => format!("{shown} has no commit {hash}"),
            Reference::Branch(name) => format!("{shown} has no branch {name:?}"),
            Reference::Tag(name) => format!("{shown} has no tag {name:?}"),
            Reference::Name(name) => format!("{shown} has no branch, tag or commit {name:?} (commit_ref)"),
        })
    })
}

async fn find_default(git: &Git<'_>) -> Result<Option<(Found, String)>, SourceError> {
    let Some(commit) = git.commit("HEAD").await? else { return Ok(None) };
    // Set by the clone as the remote's is; a remote may be on no branch.
    let branch = default_branch(git).await?;
    Ok(Some((branch.map_or_else(|| Found::Detached(commit.clone()), Found::Branch), commit)))
}

async fn default_branch(git: &Git<'_>) -> Result<Option<String>, SourceError> {
    let done = git.inside(&["symbolic-ref", "--quiet", "HEAD"]).await?;
    Ok(done.stdout.trim().strip_prefix("refs/heads/").map(str::to_owned))
}

async fn find_name(git: &Git<'_>, name: &str) -> Result<Option<(Found, String)>, SourceError> {
    if default_branch(git).await?.as_deref() == Some(name) {
        return find_branch(git, name).await;
    }
    if let Some(found) = find_tag(git, name).await? {
        return Ok(Some(found));
    }
    if let Some(found) = find_branch(git, name).await? {
        return Ok(Some(found));
    }
    if name.starts_with("origin/") {
        // As a clone names it; checked out without a branch of its own, as git does.
        let commit = git.commit(&format!("refs/remotes/{name}")).await?;
        return Ok(commit.map(|commit| (Found::Detached(commit.clone()), commit)));
    }
    if is_abbreviated_hash(name) {
        let commit = git.commit(name).await?;
        return Ok(commit.map(|commit| (Found::Detached(commit.clone()), commit)));
    }
    Ok(None)
}

async fn find_tag(git: &Git<'_>, name: &str) -> Result<Option<(Found, String)>, SourceError> {
    let tag = format!("refs/tags/{name}");
    Ok(git.commit(&tag).await?.map(|commit| (Found::Detached(tag), commit)))
}

async fn find_branch(git: &Git<'_>, name: &str) -> Result<Option<(Found, String)>, SourceError> {
    let commit = git.commit(&format!("refs/remotes/origin/{name}")).await?;
    Ok(commit.map(|commit| (Found::Branch(name.to_owned()), commit)))
}

async fn find_commit(git: &Git<'_>, hash: &str) -> Result<Option<(Found, String)>, SourceError> {
    let found = |commit: String| (Found::Detached(commit.clone()), commit);
    if let Some(commit) = git.commit(hash).await? {
        return Ok(Some(found(commit)));
    }
    // On no branch and under no tag: many servers give it all the same. If not, it is not there.
    let done = git.inside(&["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", "origin", hash]).await?;
    if done.status.success() {
        return Ok(git.commit(hash).await?.map(found));
    }
    match git.failure(&format!("commit {hash} could not be fetched"), &done) {
        SourceError::Refused(_) => Ok(None),
        error @ (SourceError::Network(_) | SourceError::TimedOut(_) | SourceError::DiskFull(_)) => Err(error),
    }
}

/// Makes the files of `found`.
pub(super) async fn check_out(git: &Git<'_>, found: &Found) -> Result<(), SourceError> {
    let doing = format!("{} could not be checked out", git.remote.shown);
    let done = match found {
        Found::Branch(name) => {
            let origin = format!("refs/remotes/origin/{name}");
            git.must(&doing, &["checkout", "--quiet", "--force", "--track", "-B", name, &origin, "--"]).await
        }
        Found::Detached(what) => git.must(&doing, &["checkout", "--quiet", "--force", "--detach", what, "--"]).await,
    };
    done.map(drop)
}
