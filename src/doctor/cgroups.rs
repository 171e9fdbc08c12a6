//! Control groups of this host: which version, who makes them, and how the memory of jobs gets known.

use super::access::{ENTER, Person, WRITE};
use super::finding::{Finding, Subject};
use super::patience::looked;
use crate::backend::docker::EngineFigures;
use crate::backend::{GroupsSeen, Version};

/// What is told beside a Docker engine.
pub(super) async fn of_engine(figures: &EngineFigures, is_local: bool, daemon: &Person) -> Vec<Finding> {
    let (figures, is_root) = (figures.clone(), daemon.is_above);
    looked(Subject::Cgroups, "/sys/fs/cgroup", move || {
        let seen = is_local.then(GroupsSeen::look);
        vec![beside_engine(&figures, seen.as_ref(), is_root)]
    })
    .await
}

fn beside_engine(figures: &EngineFigures, seen: Option<&GroupsSeen>, is_root: bool) -> Finding {
    let driver = figures.cgroup_driver.as_deref().unwrap_or("unknown");
    let version = figures.cgroup_version.as_deref().unwrap_or("unknown");
    let engine = format!("the engine has version {version} and the driver {driver}");
    let Some(seen) = seen else {
        return Finding::fine(Subject::Cgroups, format!("{engine}; the memory that jobs use is not seen from here"));
    };
    if seen.version.is_none() {
        return Finding::wrong(
            Subject::Cgroups,
            format!("no control groups are mounted on this host; {engine}"),
            "mount -t cgroup2 none /sys/fs/cgroup; in a container give it those of the host",
        );
    }
    let sampled = if !is_root {
        Some("the daemon is not root")
    } else if figures.is_rootless {
        Some("the engine runs without root")
    } else if driver != "cgroupfs" {
        Some("with this driver its groups are systemd's")
    } else if !seen.is_whole {
        Some("its groups are not seen here by their paths")
    } else if !seen.keeps_peak {
        Some("the kernel, before 5.19, keeps no peak")
    } else {
        None
    };
    let memory = match sampled {
        None => "the kernel counts the most memory that a job used".to_owned(),
        Some(why) => format!("the most memory that a job used is sampled: {why}"),
    };
    Finding::fine(Subject::Cgroups, format!("{engine}; {memory}"))
}

/// What is told for the process backend: `own` is the daemon's `/proc/PID/cgroup`, if it runs.
pub(super) fn of_processes(seen: &GroupsSeen, daemon: &Person, own: Option<&str>) -> Finding {
    const REMEDY: &str = "run the daemon by its systemd unit with process-backend.conf, or as root";
    let advisory =
        |why: String| Finding::odd(Subject::Limits, format!("limits of jobs are only advisory: {why}"), REMEDY);
    let Some(version) = seen.version else { return advisory("there are no control groups here".into()) };
    if !seen.missing.is_empty() {
        return advisory(format!("there is no controller for {}", seen.missing.join(", ")));
    }
    let closed = seen.places.iter().find_map(|place| Some((place, daemon.may(place, WRITE | ENTER).err()?)));
    let Some((place, barrier)) = closed else {
        return Finding::fine(Subject::Limits, "the daemon limits memory, CPUs and processes by control groups");
    };
    let who = &daemon.name;
    if version == Version::V2
        && let Some((group, missing)) = GroupsSeen::of_jobs_unit()
        && daemon.may(&group, WRITE | ENTER).is_ok()
    {
        return match missing {
            None => {
                Finding::fine(Subject::Limits, format!("the controllers are delegated to {who} by uwsd-jobs.service"))
            }
            Some(path) => Finding::odd(
                Subject::Limits,
                format!("limits of jobs are only advisory: systemd cannot be asked for groups without {path}"),
                "apt-get install dbus systemd, and restart the daemon",
            ),
        };
    }
    match (version, own) {
        (Version::V2, Some(own)) if GroupsSeen::is_delegated(own) => {
            Finding::fine(Subject::Limits, format!("the controllers are delegated to the group of {who}"))
        }
        (Version::V2, None) => Finding::odd(
            Subject::Limits,
            format!("limits of jobs are kept only if controllers are delegated to {who}, which is seen once it runs"),
            REMEDY,
        ),
        (Version::V2, Some(_)) => advisory(format!("{who} may make no groups in {}: {barrier}", place.display())),
        (Version::V1, _) => Finding::odd(
            Subject::Limits,
            format!("limits of jobs are only advisory: {who} may make no groups in {}: {barrier}", place.display()),
            "run the daemon as root; or boot with systemd.unified_cgroup_hierarchy=1 and run it by its systemd unit",
        ),
    }
}

/// The version, in a sentence.
pub(super) fn version(seen: &GroupsSeen) -> Finding {
    match seen.version {
        Some(Version::V1) => Finding::fine(Subject::Cgroups, "control groups are of version 1"),
        Some(Version::V2) => Finding::fine(Subject::Cgroups, "control groups are of version 2"),
        None => Finding::odd(
            Subject::Cgroups,
            "no control groups are mounted",
            "mount -t cgroup2 none /sys/fs/cgroup; in a container give it those of the host",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::tests::sound;
    use super::super::finding::State;
    use super::*;

    fn seen() -> GroupsSeen {
        GroupsSeen {
            version: Some(Version::V2),
            missing: Vec::new(),
            places: vec!["/".into()],
            is_whole: true,
            keeps_peak: true,
        }
    }

    #[test]
    fn how_peak_memory_gets_known_is_told_with_the_reason() {
        let cgroupfs = EngineFigures { cgroup_driver: Some("cgroupfs".into()), ..sound() };
        let rootless = EngineFigures { is_rootless: true, ..cgroupfs.clone() };
        let (whole, part, old) =
            (seen(), GroupsSeen { is_whole: false, ..seen() }, GroupsSeen { keeps_peak: false, ..seen() });
        for (figures, seen, is_root, end) in [
            (&cgroupfs, &whole, true, "the kernel counts the most memory that a job used"),
            (&cgroupfs, &whole, false, "is not root"),
            (&sound(), &whole, true, "systemd's"),
            (&rootless, &whole, true, "without root"),
            (&cgroupfs, &part, true, "by their paths"),
            (&cgroupfs, &old, true, "keeps no peak"),
        ] {
            let found = beside_engine(figures, Some(seen), is_root);
            assert!(found.sentence.ends_with(end), "{}", found.sentence);
            assert_eq!(found.state, State::Fine);
        }
        let none = GroupsSeen { version: None, ..seen() };
        assert_eq!(beside_engine(&sound(), Some(&none), true).state, State::Wrong);
    }

    #[test]
    fn limits_of_processes_are_advisory_where_groups_cannot_be_made() {
        let root = Person::of(0);
        let other = Person::in_a_job(987_654, Vec::new());
        let state = |seen: &GroupsSeen, daemon, own| of_processes(seen, daemon, own).state;
        assert_eq!(state(&seen(), &root, None), State::Fine);
        assert_eq!(state(&seen(), &other, None), State::Odd);
        assert_eq!(state(&seen(), &other, Some("0::/no/such/group\n")), State::Odd);
        assert_eq!(state(&GroupsSeen { missing: vec!["pids"], ..seen() }, &root, None), State::Odd);
        assert_eq!(state(&GroupsSeen { version: None, ..seen() }, &root, None), State::Odd);
    }
}
