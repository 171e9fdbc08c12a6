//! How much room a job's files take, looked at while it runs.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstat};
use tracing::warn;

use crate::ports::JobDirs;

use super::gate::Gate;

/// How long it rests between two looks; a look at very many files is followed by a longer rest.
const REST: Duration = Duration::from_secs(2);
/// How much longer than the look the rest is, at the least.
const CALM: u32 = 10;

/// Resolves once `judge` has something to say of how many bytes of the disk the directories take that the job may write to.
/// Between two looks, of which the first comes after 2 s, a job may write as fast as the disk is.
pub(super) async fn follow<T>(gate: &Gate, dirs: &JobDirs, judge: impl Fn(u64) -> Option<T>) -> T {
    let mut rest = REST;
    let mut has_complained = false;
    loop {
        tokio::time::sleep(rest).await;
        let roots = [dirs.output(), dirs.home(), dirs.source()];
        let began = Instant::now();
        let Ok(taken) = gate.pass(move || Ok(taken(roots))).await else { continue };
        rest = REST.max(began.elapsed() * CALM);
        if let Some(judged) = judge(taken.bytes) {
            return judged;
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

impl Taken {
    /// What was seen in a directory; the job goes on meanwhile, so that something may be gone.
    fn seen<T>(&mut self, directory: &Path, seen: io::Result<T>) -> Option<T> {
        if let Err(error) = &seen
            && !is_gone(error)
        {
            self.unseen.get_or_insert_with(|| format!("{}: {error}", directory.display()));
        }
        seen.ok()
    }
}

/// What the disk gives for everything below `roots`; a file with several names counts once.
fn taken(roots: impl IntoIterator<Item = PathBuf>) -> Taken {
    let mut taken = Taken::default();
    let mut several = HashSet::new();
    for root in roots {
        let mut directories = vec![root.clone()];
        while let Some(directory) = directories.pop() {
            let entries = opened(&root, &directory, || fs::read_dir(&directory));
            for entry in taken.seen(&directory, entries).into_iter().flatten().flatten() {
                // The directory may be read but not gone into.
                let found = opened(&root, &directory, || entry.metadata());
                let Some(found) = taken.seen(&directory, found) else { continue };
                if found.nlink() == 1 || found.is_dir() || several.insert((found.dev(), found.ino())) {
                    taken.bytes += room(&found);
                }
                if found.is_dir() {
                    directories.push(entry.path());
                }
            }
        }
    }
    taken
}

/// Has a look in a directory below `root`; once more where the job closed one of our own user's.
fn opened<T>(root: &Path, directory: &Path, look: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match look() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(root, directory).map_err(|_| error)?;
            look()
        }
        seen => seen,
    }
}

/// Lets a directory's owner, if that is us, read and go into it. No link is followed on the way from `root`.
fn open_up(root: &Path, directory: &Path) -> io::Result<()> {
    let (Some(above), Some(below)) = (root.parent(), root.parent().and_then(|dir| directory.strip_prefix(dir).ok()))
    else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let above = open(above, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let found = openat2(&above, below, how)?;
    let mode = Mode::from_bits_truncate(fstat(&found)?.st_mode) | Mode::S_IRUSR | Mode::S_IXUSR;
    // Through the descriptor, so that it is this directory and not what has its name by now.
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    Ok(fchmodat(AT_FDCWD, path.as_str(), mode, FchmodatFlags::FollowSymlink)?)
}

fn room(found: &Metadata) -> u64 {
    found.blocks() * 512
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use nix::unistd::{Uid, geteuid, setfsuid};

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

    #[test]
    fn what_a_job_of_our_own_user_closed_is_counted() {
        let dir = tempfile::tempdir().expect("a directory");
        let owner = if geteuid().is_root() { Uid::from_raw(43_210) } else { geteuid() };
        let [root, outside] = ["out", "outside"].map(|name| dir.path().join(name));
        let directories =
            [root.clone(), root.join("blind"), root.join("blind/deep"), root.join("dumb"), outside.clone()];
        for path in &directories {
            fs::create_dir(path).expect("made");
            fs::write(path.join("file"), vec![1; 100_000]).expect("written");
        }
        std::os::unix::fs::symlink(&outside, root.join("link")).expect("linked");
        for (path, mode) in directories.iter().zip([0o300, 0o000, 0o100, 0o400, 0o000]) {
            std::os::unix::fs::chown(path, Some(owner.as_raw()), None).expect("given");
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("closed");
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        // This thread's alone: root would see everything.
        let before = setfsuid(owner);
        let (taken, through_link) = (taken([root.clone()]), open_up(&root, &root.join("link")));
        setfsuid(before);
        assert!((400_000..600_000).contains(&taken.bytes), "{taken:?}");
        assert!(taken.unseen.is_none(), "{taken:?}");
        assert!(through_link.is_err());
        assert_eq!(fs::metadata(&outside).expect("there").mode() & 0o777, 0);
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
        let found = follow(&Gate::default(), &dirs, |bytes| (bytes > most).then_some(bytes)).await;
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
