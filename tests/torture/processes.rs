//! The processes of jobs that run without an engine.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bed::Bed;

/// A process, by what it was started with.
struct Process {
    pid: Pid,
    arguments: Vec<String>,
}

fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("a /proc");
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter_map(|pid| {
            let line = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).ok()?;
            let arguments = line.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
            Some(Process { pid: Pid::from_raw(pid), arguments: arguments.collect() })
        })
        .collect()
}

/// The supervisors of our runs, and the directories of those.
fn supervisors(bed: &Bed) -> Vec<(Pid, String)> {
    let runs = bed.path("disk/state/runs").to_string_lossy().into_owned();
    let is_ours = |process: &Process| {
        process.arguments.get(1).is_some_and(|word| word == "run-supervisor")
            && process.arguments.get(2).is_some_and(|dir| dir.starts_with(&runs))
    };
    all().into_iter().filter(is_ours).map(|process| (process.pid, process.arguments[2].clone())).collect()
}

/// Ends all of them at once, and with them what they look after.
pub fn end_all(bed: &Bed) {
    for (pid, _) in supervisors(bed) {
        // It may have ended by itself meanwhile.
        let _ = kill(pid, Signal::SIGKILL);
    }
}

/// Kills a run's supervisor, or its command alone; of which run, `choose` says. Returns the job.
pub fn hit(bed: &Bed, is_supervisor: bool, choose: impl FnOnce(usize) -> usize) -> Option<String> {
    let mut runs = supervisors(bed);
    if runs.is_empty() {
        return None;
    }
    let (supervisor, dir) = runs.swap_remove(choose(runs.len()));
    let name = Path::new(&dir).file_name()?.to_str()?.strip_prefix("uwsd-")?;
    let job = name.split('-').next()?.to_owned();
    let victim = if is_supervisor { supervisor } else { command_of(supervisor)? };
    kill(victim, Signal::SIGKILL).ok().map(|()| job)
}

/// The shell that is the command below this supervisor.
fn command_of(supervisor: Pid) -> Option<Pid> {
    let mut below = vec![supervisor];
    while let Some(pid) = below.pop() {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if line.starts_with(b"/bin/bash\0-c\0") {
            return Some(pid);
        }
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        below.extend(children.split_whitespace().filter_map(|child| child.parse().ok()).map(Pid::from_raw));
    }
    None
}

/// What is left of runs.
pub fn left(bed: &Bed) -> Vec<String> {
    let entries = fs::read_dir(bed.path("disk/state/runs")).into_iter().flatten();
    let dirs = entries.map(|entry| format!("runs/{}", entry.expect("an entry").file_name().to_string_lossy()));
    dirs.chain(supervisors(bed).into_iter().map(|(pid, dir)| format!("supervisor {pid} of {dir}"))).collect()
}
