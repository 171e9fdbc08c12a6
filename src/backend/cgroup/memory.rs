//! What the kernel counts of a group's memory.

use std::fs;
use std::path::PathBuf;

use super::changes::Changes;

/// How far the usage may have stayed below a limit that it ran into: a charge of several pages fails as a whole.
const SLACK: u64 = 1 << 20;

/// The version of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// A hierarchy for each controller.
    V1,
    /// One for all.
    V2,
}

/// The files of one group's memory controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend) struct MemoryFiles {
    dir: PathBuf,
    version: Version,
}

impl MemoryFiles {
    pub(in crate::backend) fn new(dir: PathBuf, version: Version) -> Self {
        Self { dir, version }
    }

    /// The most memory that the group and those below it used, in bytes; `None` where the kernel does not keep it (before
    /// 5.19 with version 2), or nothing was ever in the group.
    pub(in crate::backend) fn peak(&self) -> Option<u64> {
        self.number(self.peak_file()).filter(|bytes| *bytes > 0)
    }

    /// Whether the kernel keeps the peak, so that no look is needed before the end.
    pub(in crate::backend) fn keeps_peak(&self) -> bool {
        self.dir.join(self.peak_file()).exists()
    }

    const fn peak_file(&self) -> &'static str {
        match self.version {
            Version::V1 => "memory.max_usage_in_bytes",
            Version::V2 => "memory.peak",
        }
    }

    /// The same as far as it can be told by a look: what is used now, where the kernel keeps no peak.
    pub(in crate::backend) fn look(&self) -> Option<u64> {
        self.peak().or_else(|| match self.version {
            Version::V1 => None,
            Version::V2 => self.number("memory.current"),
        })
    }

    /// Whether the last process has left the group, so that what it tells now is all; `false` if that cannot be read.
    pub(in crate::backend) fn is_over(&self) -> bool {
        self.event("cgroup.events", "populated") == Some(0)
    }

    /// Hears of its events, if there is the group and it is of version 2.
    pub(in crate::backend) fn changes(&self) -> Option<Changes> {
        (self.version == Version::V2).then(|| Changes::of(&self.dir)).flatten()
    }

    /// Whether the kernel killed a process of this very group (with version 2, or of one below it) because the group had
    /// run into its limit; `None` if that cannot be read.
    ///
    /// `oom_kill` alone would not do: it counts what was killed for want of memory anywhere, on the host or in a group
    /// above, whatever little the run used.
    pub(in crate::backend) fn has_run_out(&self) -> Option<bool> {
        match self.version {
            Version::V1 => {
                let is_killed = self.event("memory.oom_control", "oom_kill")? > 0;
                // `failcnt` is no longer counted by newer kernels.
                let has_reached = self.number("memory.limit_in_bytes").and_then(|limit| self.has_reached(limit));
                Some(is_killed && has_reached.unwrap_or(true))
            }
            Version::V2 => {
                let event = |key| self.event("memory.events", key);
                Some(event("oom_kill")? > 0 && event("oom")? > 0)
            }
        }
    }

    /// Whether the group, or one below it, ever came so near to `limit` bytes that it may have run into it; `None` if that
    /// cannot be read.
    pub(in crate::backend) fn has_reached(&self, limit: u64) -> Option<bool> {
        let peak = self.peak()?;
        let with_swap = match self.version {
            Version::V1 => self.number("memory.memsw.max_usage_in_bytes"),
            Version::V2 => self.number("memory.swap.peak").map(|swap| swap + peak),
        };
        Some(peak.max(with_swap.unwrap_or(0)) + SLACK >= limit)
    }

    fn number(&self, name: &str) -> Option<u64> {
        fs::read_to_string(self.dir.join(name)).ok()?.trim().parse().ok()
    }

    fn event(&self, name: &str, key: &str) -> Option<u64> {
        let text = fs::read_to_string(self.dir.join(name)).ok()?;
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use nix::unistd::{geteuid, getpid};

    use super::*;
    use crate::backend::cgroup::{Mounts, can_make_groups};

    /// What a kernel 6.1 (Debian 12) wrote, in the group of a container and in that above it, of commands in a shell.
    ///
    /// `events` of both are the same: version 2 counts upwards. `local` of the upper group is that of a group without a kill.
    struct Recorded {
        events: &'static str,
        peak: [&'static str; 2],
        /// Whether it ran out of its limit.
        is_oom: bool,
    }

    const NO_EVENT: &str = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n";
    const RECORDED: [(&str, Recorded); 5] = [
        (
            "of 24 MiB, the command itself killed, with two small processes of its pipe",
            Recorded {
                events: "low 0\nhigh 0\nmax 267\noom 14\noom_kill 3\noom_group_kill 0\n",
                peak: ["25165824\n", "25174016\n"],
                is_oom: true,
            },
        ),
        (
            "of 24 MiB, a child killed, after which the command exited with code 7",
            Recorded {
                events: "low 0\nhigh 0\nmax 86\noom 4\noom_kill 1\noom_group_kill 0\n",
                peak: ["25165824\n", "25174016\n"],
                is_oom: true,
            },
        ),
        (
            "of 64 MiB, nothing killed, exit code 3",
            Recorded { events: NO_EVENT, peak: ["6389760\n", "6397952\n"], is_oom: false },
        ),
        (
            "of 64 MiB, killed by SIGKILL of its own",
            Recorded { events: NO_EVENT, peak: ["262144\n", "270336\n"], is_oom: false },
        ),
        (
            "of 128 MiB, killed because a group above, of 24 MiB, had run out",
            Recorded {
                events: "low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\noom_group_kill 0\n",
                peak: ["25411584\n", "25419776\n"],
                is_oom: false,
            },
        ),
    ];

    #[test]
    fn of_version_2_it_is_told_from_recorded_files() {
        for (what, Recorded { events, peak, is_oom }) in RECORDED {
            let root = tempfile::tempdir().expect("a directory");
            let groups = [root.path().join("run/container"), root.path().join("run")];
            for ((group, peak), local) in groups.iter().zip(peak).zip([events, NO_EVENT]) {
                fs::create_dir_all(group).expect("made");
                for (name, content) in
                    [("memory.events", events), ("memory.events.local", local), ("memory.peak", peak)]
                {
                    fs::write(group.join(name), content).expect("written");
                }
                fs::write(group.join("memory.current"), "53248\n").expect("written");
                let files = MemoryFiles::new(group.clone(), Version::V2);
                assert_eq!(files.has_run_out(), Some(is_oom), "{what}");
                assert_eq!(files.peak(), peak.trim().parse().ok(), "{what}");
                assert_eq!((files.keeps_peak(), files.look()), (true, files.peak()), "{what}");
                assert_eq!(files.has_reached(24 << 20), Some(peak.len() > 8), "{what}");
            }
            // Before 5.19 there is no peak: what is used at the moment is all that can be seen.
            fs::remove_file(groups[1].join("memory.peak")).expect("removed");
            let files = MemoryFiles::new(groups[1].clone(), Version::V2);
            assert_eq!((files.keeps_peak(), files.peak(), files.look()), (false, None, Some(53248)), "{what}");
            assert_eq!((files.has_run_out(), files.has_reached(1)), (Some(is_oom), None), "{what}");
        }
    }

    #[test]
    fn of_what_is_not_there_nothing_is_told() {
        for version in [Version::V1, Version::V2] {
            let files = MemoryFiles::new("/nonexistent".into(), version);
            assert_eq!(
                (files.peak(), files.look(), files.has_run_out(), files.has_reached(0)),
                (None, None, None, None)
            );
        }
        let group = tempfile::tempdir().expect("a directory");
        // Kernels before 4.13 do not count kills.
        fs::write(group.path().join("memory.events"), "low 0\nhigh 0\nmax 0\noom 1\n").expect("written");
        assert_eq!(MemoryFiles::new(group.path().to_owned(), Version::V2).has_run_out(), None);
    }

    /// A command in a group of `own` bytes below one of `above`, on the real kernel: its exit code, and what both groups tell.
    fn really(mount: &Path, own: u64, above: u64, script: &str) -> (Option<i32>, MemoryFiles, MemoryFiles) {
        let (outer, inner) = (mount.join("outer"), mount.join("outer/inner"));
        fs::create_dir_all(&inner).expect("made");
        for (group, limit) in [(&outer, above), (&inner, own)] {
            fs::write(group.join("memory.limit_in_bytes"), limit.to_string()).expect("limited");
        }
        let join = format!("echo 0 > {}/cgroup.procs; {script}", inner.display());
        let status = Command::new("sh").args(["-c", &join]).status().expect("a shell");
        let code = status.code().or_else(|| std::os::unix::process::ExitStatusExt::signal(&status).map(|n| 128 + n));
        (code, MemoryFiles::new(inner, Version::V1), MemoryFiles::new(outer, Version::V1))
    }

    #[test]
    fn of_version_1_the_real_kernel_tells_an_oom_from_other_kills() {
        let mounts = Mounts::read();
        let memory =
            mounts.of("cgroup", Some("memory")).map(|mount| mount.point.join(format!("uwsd-test-{}", getpid())));
        let Some(base) = memory.filter(|base| geteuid().is_root() && can_make_groups(base)) else {
            eprintln!("SKIPPED: no memory controller of version 1 where this user may make groups");
            return;
        };
        let glutton = "x=$(head -c 300000000 /dev/zero | tr '\\0' x); echo ${#x}";
        let mib = 1 << 20;
        for (what, own, above, script, code, is_oom) in [
            ("itself", 32, 64, format!("exec sh -c \"{}\"", glutton.replace('$', "\\$")), 137, true),
            ("a child", 32, 64, format!("({glutton}) || exit 7"), 7, true),
            ("nothing", 32, 64, "/bin/true; exit 3".to_owned(), 3, false),
            ("SIGKILL", 32, 64, "/bin/true; kill -9 $$".to_owned(), 137, false),
            ("a group above", 64, 32, format!("exec sh -c \"{}\"", glutton.replace('$', "\\$")), 137, false),
        ] {
            let (told, inner, outer) = really(&base, own * mib, above * mib, &script);
            eprintln!("{what}: {told:?}, {:?} {:?}, above {:?}", inner.has_run_out(), inner.peak(), outer.peak());
            // The kernel may choose the command beside the child.
            assert!(told == Some(code) || (what == "a child" && told == Some(137)), "{what}: {told:?}");
            assert_eq!(inner.has_run_out(), Some(is_oom), "{what}");
            // Kills are not counted upwards, usage is.
            assert_eq!(outer.has_run_out(), Some(false), "{what}");
            let peak = |files: &MemoryFiles| files.peak().expect("counted");
            assert!(peak(&outer) + SLACK >= peak(&inner), "{what}");
            for group in [base.join("outer/inner"), base.join("outer")] {
                // The last of its processes may still be on their way out.
                let deadline = Instant::now() + Duration::from_secs(10);
                while fs::remove_dir(&group).is_err() {
                    assert!(Instant::now() < deadline, "{} is busy", group.display());
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        fs::remove_dir(base).expect("removed");
    }
}
