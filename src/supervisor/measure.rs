//! How much room a job's files take, looked at while it runs.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::ports::JobDirs;

use super::gate::Gate;

/// How long it rests between two looks; a look at very many files is followed by a longer rest.
const REST: Duration = Duration::from_secs(2);
/// How much longer than the look the rest is, at the least.
const CALM: u32 = 10;

/// Resolves once what the job may write to takes more than `most` bytes of the disk, with what it takes. Between two looks,
/// of which the first comes after 2 s, a job may write as fast as the disk is.
pub(super) async fn exceeds(gate: &Gate, dirs: &JobDirs, most: u64) -> u64 {
    let mut rest = REST;
    let mut has_complained = false;
    loop {
        tokio::time::sleep(rest).await;
        let roots = [dirs.output(), dirs.home(), dirs.source()];
        let began = Instant::now();
        let Ok(taken) = gate.pass(move || Ok(taken(roots))).await else { continue };
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

/// What they take now.
pub(super) async fn measured(gate: &Gate, dirs: &JobDirs) -> u64 {
    let roots = [dirs.output(), dirs.home(), dirs.source()];
    gate.pass(move || Ok(taken(roots))).await.map_or(0, |taken| taken.bytes)
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

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

    #[tokio::test]
    async fn what_is_written_too_much_is_bounded_by_the_time_between_two_looks() {
        const MIB: u64 = 1 << 20;
        let dir = tempfile::tempdir().expect("a directory");
        let dirs = JobDirs { root: dir.path().to_owned() };
        fs::create_dir_all(dirs.output()).expect("made");
        let (path, is_seen) = (dirs.output().join("x"), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&is_seen);
        // As fast as may be, but for what the disk of a test should have to give: about 100 MiB/s.
        let writer = tokio::task::spawn_blocking(move || {
            let (mut file, block) = (fs::File::create(path).expect("made"), vec![1; 1 << 20]);
            let began = Instant::now();
            let mut written = 0;
            while !seen.load(Ordering::Relaxed) && written < 1024 * MIB {
                io::Write::write_all(&mut file, &block).expect("written");
                written += MIB;
                std::thread::sleep(Duration::from_millis(10));
            }
            (written, began.elapsed())
        });
        let most = 64 * MIB;
        let began = Instant::now();
        let found = exceeds(&Gate::default(), &dirs, most).await;
        let noticed = began.elapsed();
        is_seen.store(true, Ordering::Relaxed);
        let (written, took) = writer.await.expect("it writes");
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let speed = written as f64 / took.as_secs_f64() / MIB as f64;
        eprintln!(
            "of {} MiB, written at {speed:.0} MiB/s: {} MiB found after {noticed:?}, {} MiB too much",
            most / MIB,
            found / MIB,
            (written - most) / MIB
        );
        // One rest between the write that was too much and the look that saw it; one more for a busy machine.
        assert!(found > most && noticed < REST * 2, "{noticed:?}");
    }
}
