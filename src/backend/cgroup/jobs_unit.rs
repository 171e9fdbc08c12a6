//! The unit that holds the groups of jobs where the daemon is an ordinary user's service (version 2).
//!
//! Below the daemon's own unit they could be made too, but systemd starts no service again in a group that hands controllers on to
//! groups with processes: a restart would fail as long as a job runs. So `uwsd-jobs.service`, a unit whose only process sleeps, has a
//! group that is left to the daemon's user. A process gets there by systemd, which lets a user move its own ones: the kernel would
//! want the right to write to the groups above both.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Pid;

/// Its name.
const UNIT: &str = "uwsd-jobs.service";
/// The slice that it is in.
const SLICE: &str = "system.slice";
/// What asks systemd.
const BUSCTL: &str = "/usr/bin/busctl";
/// Where systemd is asked.
const BUS: &str = "/run/dbus/system_bus_socket";

/// The group of the unit, in the hierarchy mounted at `root`.
pub(super) fn group(root: &Path) -> PathBuf {
    root.join(SLICE).join(UNIT)
}

/// What is missing for moving processes there.
pub(super) fn lacks() -> Option<&'static str> {
    [BUSCTL, BUS].into_iter().find(|path| !Path::new(path).exists())
}

/// Has systemd move a process of this user to `group` if that is below the unit's; whether it did.
pub(in crate::backend) fn move_there(group: &Path, pid: Pid) -> bool {
    let mut names = group.components().map(std::path::Component::as_os_str).skip_while(|name| *name != UNIT).skip(1);
    let (Some(name), None) = (names.next(), names.next()) else { return false };
    let Some(name) = name.to_str() else { return false };
    let place = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];
    let status = Command::new(BUSCTL)
        .args(["--system", "--timeout=30", "call"])
        .args(place)
        .args(["AttachProcessesToUnit", "ssau", UNIT, &format!("/{name}"), "1", &pid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use nix::unistd::getpid;

    use super::*;

    #[test]
    fn only_groups_right_below_the_unit_are_systemds_to_fill() {
        let unit = group(Path::new("/nowhere"));
        assert_eq!(unit, Path::new("/nowhere/system.slice/uwsd-jobs.service"));
        for group in [unit.clone(), unit.join("a/b"), "/nowhere/system.slice/uwsd.service/a".into()] {
            assert!(!move_there(&group, getpid()), "{}", group.display());
        }
    }
}
