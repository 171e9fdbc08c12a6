//! How much room a job's files take, looked at while it runs.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::ports::JobDirs;

/// How long it rests between two looks; a look at very many files is followed by a longer rest.
const REST: Duration = Duration::from_secs(2);
/// How much longer than the look the rest is, at the least.
const CALM: u32 = 10;

/// Resolves once what the job may write to takes more than `most` bytes of the disk, with what it takes. Between two looks, of which the first comes after 2 s, a job may write as fast as the disk is.
pub(super) async fn exceeds(dirs: &JobDirs, most: u64) -> u64 {
    let mut rest = REST;
    let mut has_complained = false;
    loop {
        tokio::time::sleep(rest).await;
        let roots = [dirs.output(), dirs.home(), dirs.source()];
        let began = Instant::now();
        let Ok(taken) = tokio::task::spawn_blocking(move || taken(roots)).await else { continue };
        rest = REST.max(began.elapsed() * CALM);
        if taken.bytes > most {
            return taken.bytes;
        }
        if let Some(why) = taken.unseen.filter(|_| !has_complained) {
            warn!("not all files below {} can be counted: {why}", dirs.root.display());
            has_complained = true;
        }
    }
}

/// What files take.
#[derive(Debug, Default)]
struct Taken {
    bytes: u64,
    /// Why some of it could not be seen.
    unseen: Option<String>,
}

/// What the disk gives for everything below `roots`; a file with several names counts once.
fn taken(roots: impl IntoIterator<Item = PathBuf>) -> Taken {
    let mut taken = Taken::default();
    let mut several = HashSet::new();
    let mut directories: Vec<PathBuf> = roots.into_iter().collect();
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            // The job goes on meanwhile.
            Err(error) if is_gone(&error) => continue,
            Err(error) => {
                taken.unseen.get_or_insert_with(|| format!("{}: {error}", directory.display()));
                continue;
            }
        };
        for entry in entries.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.nlink() == 1 || found.is_dir() || several.insert((found.dev(), found.ino())) {
                taken.bytes += room(&found);
            }
            if found.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    taken
}

fn room(found: &Metadata) -> u64 {
    found.blocks() * 512
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_once_and_as_large_as_they_are_on_the_disk() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("a/b")).expect("made");
        fs::write(path("a/b/c"), vec![1; 100_000]).expect("written");
        fs::hard_link(path("a/b/c"), path("again")).expect("linked");
        std::os::unix::fs::symlink("/usr", path("usr")).expect("linked");
        fs::File::create(path("hole")).expect("made").set_len(1 << 40).expect("set");
        let taken = taken([dir.path().to_owned(), path("not there")]);
        assert!((100_000..200_000).contains(&taken.bytes), "{taken:?}");
        assert!(taken.unseen.is_none());
    }
}
