//! Git processes that a daemon left behind when it was killed, and files that a killed git left.

use std::fs;
use std::io;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The variable that marks every process of a checkout with the scratch directory it belongs to.
pub(super) const MARK: &str = "UWSD_GIT_SCRATCH";

/// Ends every process that belongs to `scratch`, so that none writes into a directory that is used anew.
///
/// A process has the mark from its first instruction on, unlike a record of its number, which could be missed in a crash.
pub(super) fn end(scratch: &Path) {
    // Again until none is found: one may have been about to start another.
    for _ in 0..100 {
        let found = find(scratch);
        if found.is_empty() {
            return;
        }
        for pid in found {
            tracing::warn!(process.pid = pid.as_raw(), "a git process of an earlier daemon is still there: ended");
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// The processes of this user that carry the mark and have not ended yet.
pub(super) fn find(scratch: &Path) -> Vec<Pid> {
    let mark = [MARK.as_bytes(), b"=", scratch.as_os_str().as_encoded_bytes()].concat();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
        // Unreadable is another user's; a process that has ended has an empty one.
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&b| b == 0).any(|variable| variable == mark)
        })
        .collect()
}

/// Removes locks and half-written objects from a bare repository in which no git runs.
pub(super) fn sweep(repository: &Path) -> io::Result<()> {
    let objects = repository.join("objects");
    let mut waiting = vec![repository.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            // No ref can end like a lock; but one may begin like a half-written object, and lies elsewhere.
            let is_half_written = name.starts_with(b"tmp_") || name.starts_with(b".tmp-");
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            } else if name.ends_with(b".lock") || is_half_written && dir.starts_with(&objects) {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_killed_git_left_is_swept() {
        let dir = tempfile::tempdir().expect("temp dir");
        let left = ["HEAD.lock", "refs/heads/main.lock", "objects/pack/tmp_pack_x", "objects/ab/tmp_obj_x"];
        let kept = ["HEAD", "refs/heads/tmp_x", "objects/pack/pack-1.pack", "objects/ab/cd"];
        for name in left.iter().chain(&kept) {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("below the dir")).expect("dirs");
            fs::write(path, "").expect("file");
        }
        sweep(dir.path()).expect("swept");
        assert!(left.iter().all(|name| !dir.path().join(name).exists()));
        assert!(kept.iter().all(|name| dir.path().join(name).exists()));
    }

    #[test]
    fn marked_processes_are_ended_and_others_are_left_alone() {
        let dir = tempfile::tempdir().expect("temp dir");
        let sleep = |path: &Path| {
            std::process::Command::new("sleep").arg("600").env(MARK, path).spawn().expect("sleep is there")
        };
        let mut marked = sleep(dir.path());
        let mut other = sleep(&dir.path().join("other"));
        // Right after its start a process may not show its environment yet.
        let begin = std::time::Instant::now();
        while find(dir.path()).is_empty() && begin.elapsed().as_secs() < 10 {
            std::thread::yield_now();
        }
        assert_eq!(find(dir.path()).len(), 1);
        end(dir.path());
        assert!(!marked.wait().expect("a child").success());
        assert!(other.try_wait().expect("a child").is_none());
        other.kill().expect("a child");
        other.wait().expect("a child");
    }
}
