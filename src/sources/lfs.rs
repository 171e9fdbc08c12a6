//! Large files (git-lfs), where a site wants them.

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

/// Fetches the large files of what is checked out.
pub(super) async fn fetch(git: &Git<'_>) -> Result<(), SourceError> {
    check_servers(git).await?;
    git.must("the large files (git-lfs) were not fetched", &["lfs", "pull"]).await.map(drop)
}

/// Refuses servers named by the repository itself in a protocol that is not configured: git-lfs does not heed the
/// limits that git is given.
async fn check_servers(git: &Git<'_>) -> Result<(), SourceError> {
    let keys = r"^(lfs\.url|lfs\.pushurl|remote\..*\.lfs(push)?url)$";
    let blob = "HEAD:.lfsconfig";
    let done = git.inside(&["config", "--blob", blob, "--null", "--get-regexp", keys]).await?;
    // Without that file, or without such a key in it, there is nothing to check.
    for entry in done.stdout.split('\0').filter(|entry| !entry.is_empty()) {
        let url = entry.split_once('\n').map_or("", |(_, url)| url);
        git.settings
            .address(url)
            .map_err(|why| SourceError::Refused(format!("the repository's .lfsconfig is refused: {why}")))?;
    }
    Ok(())
}
