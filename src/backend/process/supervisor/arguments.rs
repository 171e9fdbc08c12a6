//! The sandbox, as bubblewrap's arguments.
//!
//! What the run sees is built up from nothing: the system's programs read-only, the host's configuration without what is
//! private there, empty directories where the host keeps its sockets and its users' files, the job's own directories.

use std::ffi::OsString;
use std::io;
use std::os::fd::RawFd;
use std::path::Path;

use crate::backend::process::etc::{ETC, Hidden};
use crate::backend::process::plan::{Plan, PlannedMount};

/// The system's programs and libraries.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// Places that are empty and stay so.
const EMPTY: [&str; 4] = ["/run", "/home", "/root", "/var"];
/// Places for everybody's short-lived files, in memory.
const SCRATCH: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// What of `/proc` is hidden, and what may only be read: bubblewrap's own cover misses what root may write by its mode.
const PROC_HIDDEN: [&str; 7] = ["acpi", "asound", "kcore", "keys", "latency_stats", "sched_debug", "scsi"];
const PROC_READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];
/// What init needs to act for the job's user: to become it, to give it its secrets, to signal it.
const FOR_INIT: [&str; 5] = ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_CHOWN", "CAP_KILL"];

/// The arguments under construction.
#[derive(Debug, Default)]
pub(in crate::backend::process) struct Arguments(Vec<OsString>);

/// A secret's content, in a file in memory that bubblewrap inherits.
pub(super) struct OpenSecret<'a> {
    /// Its descriptor.
    pub fd: RawFd,
    /// Where the run finds it.
    pub target: &'a Path,
}

impl Arguments {
    /// The whole sandbox of `plan`, seen from the host as it is now.
    pub(super) fn of(plan: &Plan, secrets: &[OpenSecret<'_>], info: RawFd) -> io::Result<Self> {
        let mut args = Self::default();
        args.confine(plan.is_root, plan.has_host_network);
        args.add(["--info-fd".to_owned(), info.to_string()]);
        args.show_system()?;
        args.show_etc(plan)?;
        args.make_places(plan);
        args.show_job(plan);
        for mount in &plan.mounts {
            args.mount(mount, plan.limits.memory);
        }
        for secret in secrets {
            args.make_way(secret.target);
            args.add(["--perms", "0600", "--bind-data"]).add([secret.fd.to_string()]).add([secret.target]);
        }
        args.seal(plan);
        Ok(args)
    }

    /// A sandbox to try whether one can be made: nothing in it but the system's programs.
    pub(in crate::backend::process) fn of_trial(is_root: bool) -> io::Result<Vec<OsString>> {
        let mut args = Self::default();
        args.confine(is_root, false);
        args.show_system()?;
        args.add(["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/"]);
        Ok(args.0)
    }

    /// In the form that `--args` reads.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for arg in self.0 {
            bytes.extend_from_slice(arg.as_encoded_bytes());
            bytes.push(0);
        }
        bytes
    }

    fn add<T: Into<OsString>>(&mut self, args: impl IntoIterator<Item = T>) -> &mut Self {
        self.0.extend(args.into_iter().map(Into::into));
        self
    }

    fn confine(&mut self, is_root: bool, has_host_network: bool) {
        self.add(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]);
        if !has_host_network {
            self.add(["--unshare-net"]);
        }
        self.add(["--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"]);
        self.add(["--cap-drop", "ALL"]);
        if is_root {
            for capability in FOR_INIT {
                self.add(["--cap-add", capability]);
            }
        } else {
            self.add(["--unshare-user", "--disable-userns"]);
        }
    }

    fn show_system(&mut self) -> io::Result<()> {
        for path in SYSTEM.map(Path::new) {
            if path.is_symlink() {
                self.link(&std::fs::read_link(path)?, path);
            } else if path.is_dir() {
                self.read_only(path, path);
            }
        }
        Ok(())
    }

    fn show_etc(&mut self, plan: &Plan) -> io::Result<()> {
        let mut hidden = Hidden::below(Path::new(ETC));
        for secret in &plan.secrets {
            hidden.add(Path::new(ETC), &secret.file);
        }
        if plan.command.uid == 0 {
            return self.show_public(Path::new(ETC), &hidden);
        }
        self.read_only(Path::new(ETC), Path::new(ETC));
        for dir in &hidden.dirs {
            self.add(["--perms", "0000", "--tmpfs"]).add([dir]).add(["--remount-ro"]).add([dir]);
        }
        for file in &hidden.files {
            self.read_only(Path::new("/dev/null"), file);
        }
        Ok(())
    }

    /// Shows what is public in `dir`, piece by piece where something in it is not. A mask falls off when the host replaces the
    /// file below it, and what is new has none: for root, whom modes do not stop, nothing private may lie below.
    fn show_public(&mut self, dir: &Path, hidden: &Hidden) -> io::Result<()> {
        self.add(["--perms", "0755", "--dir"]).add([dir]);
        for entry in std::fs::read_dir(dir)?.flatten() {
            let path = entry.path();
            if path.is_symlink() {
                self.link(&std::fs::read_link(&path)?, &path);
            } else if hidden.is_something_in(&path) {
                self.show_public(&path, hidden)?;
            } else if !hidden.contains(&path) {
                self.add(["--ro-bind-try"]).add([&path, &path]); // it may be gone by then
            }
        }
        Ok(())
    }

    fn make_places(&mut self, plan: &Plan) {
        self.add(["--proc", "/proc", "--dev", "/dev"]);
        self.cover_proc();
        for place in EMPTY {
            self.add(["--perms", "0755", "--tmpfs", place]);
        }
        for place in SCRATCH {
            self.memory(Path::new(place), "1777", plan.limits.memory);
        }
        if plan.has_host_network
            && let Ok(resolver) = std::fs::canonicalize("/etc/resolv.conf")
            && !resolver.starts_with(ETC)
        {
            self.make_way(&resolver); // often a link into /run
            self.read_only(&resolver, &resolver);
        }
    }

    fn cover_proc(&mut self) {
        let proc = Path::new("/proc");
        for path in PROC_HIDDEN.map(|name| proc.join(name)) {
            if path.is_dir() {
                self.add(["--perms", "0000", "--tmpfs"]).add([&path]).add(["--remount-ro"]).add([&path]);
            } else if path.exists() {
                self.read_only(Path::new("/dev/null"), &path);
            }
        }
        for path in PROC_READ_ONLY.map(|name| proc.join(name)).iter().filter(|path| path.exists()) {
            self.read_only(path, path);
        }
    }

    fn show_job(&mut self, plan: &Plan) {
        let inside = plan.inside();
        self.make_way(&inside.join("in"));
        self.read_only(&plan.root.join("in"), &inside.join("in"));
        for name in ["src", "out", "home"] {
            self.add(["--bind"]).add([plan.root.join(name), inside.join(name)]);
        }
    }

    fn mount(&mut self, mount: &PlannedMount, most: u64) {
        self.make_way(&mount.target);
        match &mount.source {
            Some(source) if mount.is_read_only => self.read_only(source, &mount.target),
            Some(source) => {
                self.add(["--bind"]).add([source, &mount.target]);
            }
            None => {
                self.memory(&mount.target, "1777", if mount.size > 0 { mount.size } else { most });
                if mount.is_read_only {
                    self.add(["--remount-ro"]).add([&mount.target]);
                }
            }
        }
    }

    /// Makes read-only what was written only to build the sandbox, unless something else was mounted there.
    fn seal(&mut self, plan: &Plan) {
        for place in EMPTY.into_iter().chain(["/dev", "/"]).map(Path::new) {
            if plan.mounts.iter().all(|mount| mount.target != place) {
                self.add(["--remount-ro"]).add([place]);
            }
        }
    }

    /// Makes the directories above `target`: bubblewrap would make them for their owner only.
    fn make_way(&mut self, target: &Path) {
        let above: Vec<&Path> = target.ancestors().skip(1).filter(|dir| dir.parent().is_some()).collect();
        for dir in above.into_iter().rev() {
            self.add(["--perms", "0755", "--dir"]).add([dir]);
        }
    }

    fn read_only(&mut self, source: &Path, target: &Path) {
        self.add(["--ro-bind"]).add([source, target]);
    }

    fn link(&mut self, to: &Path, at: &Path) {
        self.add(["--symlink"]).add([to, at]);
    }

    fn memory(&mut self, target: &Path, mode: &str, size: u64) {
        if size > 0 {
            self.add(["--size".to_owned(), size.to_string()]);
        }
        self.add(["--perms", mode, "--tmpfs"]).add([target]);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn of_a_directory_with_something_private_root_gets_the_public_pieces() {
        let etc = tempfile::tempdir().expect("a directory");
        let path = |name: &str| etc.path().join(name);
        for dir in ["ssh", "ssh/conf.d", "ssl", "ssl/sub", "ssl/sub/private", "apt"] {
            fs::create_dir(path(dir)).expect("made");
        }
        for (file, mode) in [("ssh/host_key", 0o600), ("ssh/ssh_config", 0o644), ("ssl/sub/cert", 0o644)] {
            fs::write(path(file), "x").expect("made");
            fs::set_permissions(path(file), fs::Permissions::from_mode(mode)).expect("ours");
        }
        fs::set_permissions(path("ssl/sub/private"), fs::Permissions::from_mode(0o700)).expect("ours");
        std::os::unix::fs::symlink("host_key", path("ssh/link")).expect("made");

        let mut args = Arguments::default();
        args.show_public(etc.path(), &Hidden::below(etc.path())).expect("looked through");
        let given = |words: &[&str], name: &str| {
            let wanted: Vec<OsString> =
                words.iter().map(|word| (*word).into()).chain([path(name).into_os_string()]).collect();
            args.0.windows(wanted.len()).any(|window| window == wanted)
        };
        for made in ["ssh", "ssl", "ssl/sub"] {
            assert!(given(&["--perms", "0755", "--dir"], made), "{made}: {args:?}");
        }
        for bound in ["apt", "ssh/conf.d", "ssh/ssh_config", "ssl/sub/cert"] {
            assert!(given(&["--ro-bind-try"], bound), "{bound}: {args:?}");
        }
        assert!(given(&["--symlink", "host_key"], "ssh/link"), "{args:?}");
        for private in ["ssh", "ssh/host_key", "ssl", "ssl/sub", "ssl/sub/private"] {
            assert!(!given(&["--ro-bind-try"], private), "{private}: {args:?}");
        }
    }
}
