//! Room where the daemon, its jobs and the engine write.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::access::existing;
use super::examine::Case;
use super::finding::{Finding, Subject, size};
use super::patience::looked;
use crate::config::Disk;
use crate::sqlite::file_system_of;

/// With fewer files left than this, in percent, something is said.
const FEW_FILES: u64 = 3;

/// Whose writing needs the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The daemon's.
    Daemon,
    /// Its jobs', whose outputs go where there is almost none left.
    Jobs,
    /// The engine's.
    Engine,
}

/// A disk as it is.
#[derive(Debug, Clone)]
struct Room {
    /// What lies there, with its path.
    what: String,
    path: PathBuf,
    file_system: String,
    free: u64,
    size: u64,
    files: u64,
    free_files: u64,
    is_read_only: bool,
}

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let server = &case.config.server;
    let state_dir = server.state_dir.clone();
    let database = case.config.store.path.parent().unwrap_or(Path::new("/")).to_owned();
    let places = [
        ("state_dir", state_dir.clone()),
        ("jobs_dir", server.jobs_dir.clone()),
        ("the database's directory", database),
    ];
    let looks = places.into_iter().map(|(name, path)| {
        let (limits, state_dir) = (case.config.disk.clone(), state_dir.clone());
        let what = format!("{name} {}", path.display());
        looked(Subject::Disks, what.clone(), move || {
            let is_told = name != "state_dir" && path.starts_with(&state_dir) && is_same_disk(&path, &state_dir);
            let of = if name == "jobs_dir" { Of::Jobs } else { Of::Daemon };
            if is_told { Vec::new() } else { at(what, &path, &limits, of) }
        })
    });
    futures_util::future::join_all(looks).await.into_iter().flatten().collect()
}

/// The disk of the engine's images.
pub(super) async fn of_engine(root: PathBuf, limits: &Disk) -> Vec<Finding> {
    let (limits, what) = (limits.clone(), format!("the engine's {}", root.display()));
    looked(Subject::Disks, what.clone(), move || at(what, &root, &limits, Of::Engine)).await
}

fn is_same_disk(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| existing(path).metadata().ok().map(|facts| facts.dev());
    device(one) == device(other)
}

fn at(what: String, path: &Path, limits: &Disk, of: Of) -> Vec<Finding> {
    // What is not there yet will be made on the same disk.
    let path = existing(path);
    match statvfs(path) {
        Ok(told) => {
            let bytes = |blocks: u64| blocks.saturating_mul(told.fragment_size());
            let room = Room {
                what,
                path: path.to_owned(),
                file_system: file_system_of(path).unwrap_or_else(|| "unknown file system".to_owned()),
                free: bytes(told.blocks_available()),
                size: bytes(told.blocks()),
                files: told.files(),
                free_files: told.files_available(),
                is_read_only: told.flags().contains(FsFlags::ST_RDONLY),
            };
            judge(&room, limits, of)
        }
        Err(error) => vec![Finding::odd(
            Subject::Disks,
            format!("it is not told how much room there is for {what}: {error}"),
            "run uwsd doctor as root",
        )],
    }
}

fn judge(room: &Room, limits: &Disk, of: Of) -> Vec<Finding> {
    let Room { what, path, file_system, free, size: all, files, free_files, is_read_only } = room;
    let path = path.display();
    let (free_words, mut findings) = (size(*free), Vec::new());
    let mut wrong = |sentence: String, remedy: String| findings.push(Finding::wrong(Subject::Disks, sentence, remedy));
    if *is_read_only {
        let stop = match of {
            Of::Daemon | Of::Jobs => "systemctl stop uwsd.socket uwsd.service",
            Of::Engine => "stop the engine",
        };
        wrong(
            format!("{what} is on a disk that is mounted read-only"),
            format!(
                "findmnt -T {path}; dmesg | tail    # after an error: {stop}, umount, fsck, mount, start; if it is the root's: \
                 reboot"
            ),
        );
    }
    let show = format!("du -xh -d2 {path} | sort -h | tail    # shows what takes the room; or lower disk.refuse_below");
    match of {
        Of::Daemon | Of::Jobs if *free < limits.clean_below => {
            let outputs = if of == Of::Jobs { "" } else { ", if jobs_dir is on this disk," };
            wrong(
                format!(
                    "{free_words} are free for {what}, less than disk.clean_below ({}): jobs are refused, and{outputs} the \
                     outputs of ended ones go",
                    size(limits.clean_below)
                ),
                show,
            );
        }
        Of::Daemon | Of::Jobs if *free < limits.refuse_below => wrong(
            format!(
                "{free_words} are free for {what}, less than disk.refuse_below ({}): jobs are refused",
                size(limits.refuse_below)
            ),
            show,
        ),
        Of::Engine if *free < limits.refuse_below => findings.push(Finding::odd(
            Subject::Disks,
            format!("{free_words} are free for {what}: pulls may fail"),
            "docker system df; docker image prune    # images without a name; with -a those of the services go, too",
        )),
        Of::Daemon | Of::Jobs | Of::Engine => {}
    }
    // Some file systems have no fixed number.
    if *files > 0 && *free_files <= files / 100 * FEW_FILES {
        let (sentence, remedy) = (
            format!("{free_files} files can still be made for {what}, of {files} (inodes)"),
            format!("du -x --inodes -d2 {path} | sort -n | tail    # shows where they are"),
        );
        findings.push(match free_files {
            0 => Finding::wrong(Subject::Disks, sentence, remedy),
            _ => Finding::odd(Subject::Disks, sentence, remedy),
        });
    }
    if findings.is_empty() {
        let sentence = format!("{free_words} of {} are free for {what} ({file_system})", size(*all));
        findings.push(Finding::fine(Subject::Disks, sentence));
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::finding::State;
    use super::*;

    #[test]
    fn room_is_judged_by_the_watermarks() {
        let limits = Disk { refuse_below: 1 << 30, clean_below: 1 << 29, clean_min_age: Duration::ZERO };
        let sound = Room {
            what: "state_dir /s".into(),
            path: "/s".into(),
            file_system: "ext4".into(),
            free: 10 << 30,
            size: 20 << 30,
            files: 1_000_000,
            free_files: 900_000,
            is_read_only: false,
        };
        let little = Room { free: 900 << 20, ..sound.clone() };
        for (room, of, state, part) in [
            (sound.clone(), Of::Daemon, State::Fine, "10.0 GiB of 20.0 GiB are free for state_dir /s (ext4)"),
            (little.clone(), Of::Daemon, State::Wrong, "less than disk.refuse_below (1.0 GiB): jobs are refused"),
            (
                Room { free: 1 << 20, ..sound.clone() },
                Of::Daemon,
                State::Wrong,
                "less than disk.clean_below (512.0 MiB): jobs are refused, and, if jobs_dir is on this disk, the outputs",
            ),
            (
                Room { free: 1 << 20, ..sound.clone() },
                Of::Jobs,
                State::Wrong,
                "less than disk.clean_below (512.0 MiB): jobs are refused, and the outputs of ended ones go",
            ),
            (little, Of::Engine, State::Odd, "pulls may fail"),
            (Room { is_read_only: true, ..sound.clone() }, Of::Daemon, State::Wrong, "read-only"),
            (Room { free_files: 20_000, ..sound.clone() }, Of::Daemon, State::Odd, "inodes"),
            (Room { free_files: 0, ..sound.clone() }, Of::Daemon, State::Wrong, "inodes"),
            (Room { free_files: 0, files: 0, ..sound }, Of::Daemon, State::Fine, "are free"),
        ] {
            let findings = judge(&room, &limits, of);
            assert_eq!((findings.len(), findings[0].state), (1, state), "{findings:?}");
            assert!(findings[0].sentence.contains(part), "{}", findings[0].sentence);
        }
    }

    #[test]
    fn no_remedy_harms() {
        let limits = Disk { refuse_below: 1 << 30, clean_below: 1 << 29, clean_min_age: Duration::ZERO };
        let room = |is_read_only| Room {
            what: "x /x".into(),
            path: "/x".into(),
            file_system: "ext4".into(),
            free: if is_read_only { 10 << 30 } else { 0 },
            size: 20 << 30,
            files: 0,
            free_files: 0,
            is_read_only,
        };
        let remedy = |room: &Room, of| judge(room, &limits, of)[0].remedy.clone().expect("there is one");
        // Images that no container uses are those of the services while no job runs.
        let prune = remedy(&room(false), Of::Engine);
        assert!(prune.split('#').next().is_some_and(|command| !command.contains("-a")), "{prune}");
        // What the kernel made read-only is checked before anything is written there again.
        for (of, stop) in
            [(Of::Daemon, "stop uwsd.socket uwsd.service"), (Of::Jobs, "uwsd.service"), (Of::Engine, "the engine")]
        {
            let remedy = remedy(&room(true), of);
            assert!(remedy.contains(stop) && remedy.contains("fsck") && !remedy.contains("remount"), "{remedy}");
        }
    }
}
