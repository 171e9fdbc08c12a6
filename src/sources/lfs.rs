//! Large files (git-lfs), where a site wants them.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::address::Address;
use super::git::Git;
use crate::ports::SourceError;

/// Refuses the checkout if this host cannot fetch large files.
pub(super) async fn ensure_there(git: &Git<'_>) -> Result<(), SourceError> {
    if git.outside(&["lfs".as_ref(), "version".as_ref()]).await?.status.success() {
        return Ok(());
    }
    Err(SourceError::Refused(
        "sources.lfs is on, but git-lfs is not installed on the daemon's host; install it or turn sources.lfs off"
            .into(),
    ))
}

/// Where on this host git-lfs would look for the large files of what is checked out.
///
/// # Errors
/// If the repository itself names a server in a protocol that is not configured: git-lfs does not heed the limits that git is
/// given.
pub(super) async fn places(git: &Git<'_>) -> Result<Vec<PathBuf>, SourceError> {
    let mut found: Vec<_> = place(&git.remote.url).into_iter().collect();
    // As committed, and as git-lfs reads it: through a link.
    for [kind, file] in [["--blob", "HEAD:.lfsconfig"], ["--file", ".lfsconfig"]] {
        let keys = r"^(lfs\.url|lfs\.pushurl|remote\..*\.lfs(push)?url)$";
        let done = git.inside(&["config", kind, file, "--null", "--get-regexp", keys]).await?;
        // Without that file, or without such a key in it, there is nothing to check.
        for entry in done.stdout.split('\0').filter(|entry| !entry.is_empty()) {
            let url = entry.split_once('\n').map_or("", |(_, url)| url);
            let refused = |why| SourceError::Refused(format!("the repository's .lfsconfig is refused: {why}"));
            // It makes a URL of a path without encoding it.
            let scheme = if url.starts_with('/') { "file://" } else { "" };
            found.extend(place(&git.settings.address(&format!("{scheme}{url}")).map_err(refused)?.url));
        }
    }
    Ok(found)
}

/// The place on this host that git-lfs makes of `url`; unlike git it knows queries and fragments.
fn place(url: &str) -> Option<PathBuf> {
    let url = url[..url.find(['?', '#']).unwrap_or(url.len())].to_owned();
    Address { url, login: None }.place()
}

/// Fetches the large files of what is checked out, from servers and [`places`] that were checked.
pub(super) async fn fetch(git: &Git<'_>) -> Result<(), SourceError> {
    // Said here it holds on both sides: a repository on this host may name any directory as its storage.
    let pull = ["-c", "lfs.storage=lfs", "lfs", "pull"];
    git.must("the large files (git-lfs) were not fetched", &pull).await?;
    unshare(&git.directory.join(".git/lfs/objects")).await.map_err(|error| {
        let text = format!("the large files (git-lfs) could not be copied: {error}");
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => SourceError::DiskFull(text),
            _ => SourceError::Network(text),
        }
    })
}

/// Makes copies of the files below `objects` that have another name elsewhere: git-lfs links those of a repository on this
/// host, and a job could change them there.
async fn unshare(objects: &Path) -> io::Result<()> {
    let mut waiting = vec![objects.to_owned()];
    while let Some(path) = waiting.pop() {
        let facts = match tokio::fs::symlink_metadata(&path).await {
            // Nothing is large.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            facts => facts?,
        };
        if facts.is_dir() {
            let mut entries = tokio::fs::read_dir(&path).await?;
            while let Some(entry) = entries.next_entry().await? {
                waiting.push(entry.path());
            }
        } else if facts.nlink() > 1 {
            let copy = path.with_extension("copy");
            tokio::fs::copy(&path, &copy).await?;
            tokio::fs::rename(&copy, &path).await?;
        }
    }
    Ok(())
}
