//! Hearing of what happens in a group, at once: of one that goes with its last process nothing can be read any more.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::net::unix::pipe::Receiver;

/// Room for some events, each a few words; what they say does not matter.
const EVENTS: usize = 1024;

/// Hears when the kernel counts an event of a group's memory, and when the last process leaves the group (version 2).
///
/// It is read as a pipe is.
#[derive(Debug)]
pub(in crate::backend) struct Changes(Receiver);

impl Changes {
    /// Of the group in `dir`; `None` where nothing can be heard: of version 1, or the user has too many watches.
    pub(super) fn of(dir: &Path) -> Option<Self> {
        let watch = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
        for name in ["memory.events", "cgroup.events"] {
            watch.add_watch(&dir.join(name), AddWatchFlags::IN_MODIFY).ok()?;
        }
        Receiver::from_owned_fd_unchecked(OwnedFd::from(watch)).ok().map(Self)
    }

    /// Waits for the next.
    pub(in crate::backend) async fn next(&self) {
        while self.0.readable().await.is_ok() {
            match self.0.try_read(&mut [0; EVENTS]) {
                Ok(1..) => return,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => break,
            }
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn each_change_is_heard_and_only_changes() {
        let group = tempfile::tempdir().expect("a directory");
        assert!(Changes::of(group.path()).is_none());
        for name in ["memory.events", "cgroup.events"] {
            fs::write(group.path().join(name), "populated 1\n").expect("written");
        }
        let changes = Changes::of(group.path()).expect("it can be watched");
        for name in ["memory.events", "cgroup.events"] {
            assert!(tokio::time::timeout(Duration::from_millis(20), changes.next()).await.is_err(), "{name}");
            fs::write(group.path().join(name), "populated 0\n").expect("written");
            tokio::time::timeout(Duration::from_secs(10), changes.next()).await.expect(name);
            // A write may be told in two events.
            while tokio::time::timeout(Duration::from_millis(20), changes.next()).await.is_ok() {}
        }
    }
}
