//! How much room a checkout takes, watched while it grows.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ports::SourceError;

/// How often a checkout is measured.
const EVERY: Duration = Duration::from_secs(1);
/// The unit of `st_blocks`.
const BLOCK: u64 = 512;

/// The room that the files below `dir` take on the disk, in bytes. What cannot be read, or vanishes, counts nothing.
fn measure(dir: &Path) -> u64 {
    let mut total = 0;
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            // Of the entry itself: a link is not followed.
            let Ok(facts) = entry.metadata() else { continue };
            total += facts.blocks() * BLOCK;
            if facts.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    total
}

/// Whether the files below `dir` take more than `limit` bytes.
pub(super) async fn is_above(dir: PathBuf, limit: u64) -> bool {
    tokio::task::spawn_blocking(move || measure(&dir) > limit).await.unwrap_or(false)
}

/// Returns once the files below `dir` take more than `limit` bytes.
pub(super) async fn grows_above(dir: &Path, limit: u64) {
    loop {
        tokio::time::sleep(EVERY).await;
        if is_above(dir.to_owned(), limit).await {
            return;
        }
    }
}

/// Why a source that grew above `limit` is refused.
pub(super) fn too_large(shown: &str, limit: u64) -> SourceError {
    SourceError::Refused(format!("{shown} takes more than {limit} bytes, the limit for sources (sources.max_size)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_below_directories_count_and_links_do_not() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::create_dir_all(dir.path().join("a/b")).expect("dirs");
        fs::write(dir.path().join("a/b/big"), vec![1; 300_000]).expect("file");
        std::os::unix::fs::symlink("/usr", dir.path().join("link")).expect("link");
        let size = measure(dir.path());
        assert!((300_000..400_000).contains(&size), "{size}");
    }
}
