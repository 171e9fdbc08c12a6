//! Holds what was told of each job against its own ledger and against what went wrong meanwhile: pure but for the ledgers.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::bed::{Bed, Mode};
use crate::faults::{Done, Fault};
use crate::job::{Job, Kind, Told};

/// How long after a fault the daemon may still find its traces.
const AFTERMATH: Duration = Duration::from_secs(5);

/// What became of the jobs.
#[derive(Debug, Default)]
pub struct Judgement {
    pub accepted: usize,
    pub polls: u32,
    pub reasons: BTreeMap<String, u32>,
    pub lost: Vec<String>,
    pub run_twice: Vec<String>,
    pub wrong: Vec<String>,
}

/// What the command of a job wrote down itself, for each replica: how often it began, and what it ended with.
struct Ledger(Vec<(usize, Vec<String>)>);

impl Ledger {
    fn read(bed: &Bed, job: &Job) -> Self {
        let read = |replica: usize| {
            let text = fs::read_to_string(bed.path("ledger").join(format!("{}.{replica}", job.id))).unwrap_or_default();
            let begun = text.lines().filter(|line| *line == "s").count();
            let ends = text.lines().filter_map(|line| line.strip_prefix("e ").map(str::to_owned));
            (begun, ends.collect())
        };
        Self((0..job.kind.replicas()).map(read).collect())
    }

    /// Whether every replica came to its end with `code`.
    fn all_ended(&self, code: i64) -> bool {
        self.0.iter().all(|(_, ends)| *ends == [code.to_string()])
    }

    /// Whether some replica came to its end with `code`.
    fn one_ended(&self, code: i64) -> bool {
        (0..self.0.len()).any(|replica| self.has_ended(replica, code))
    }

    /// Whether this replica came to its end with `code`.
    fn has_ended(&self, replica: usize, code: i64) -> bool {
        self.0.get(replica).is_some_and(|(_, ends)| ends.contains(&code.to_string()))
    }
}

pub fn judge(bed: &Bed, faults: &[Done], jobs: Vec<Job>) -> Judgement {
    let mut judgement = Judgement { accepted: jobs.len(), ..Judgement::default() };
    for job in jobs {
        judgement.polls += job.polls;
        let ledger = Ledger::read(bed, &job);
        if ledger.0.iter().any(|(begun, _)| *begun > 1) {
            judgement.run_twice.push(format!("{job:?}"));
        }
        let Some((seen, told)) = &job.ended else {
            judgement.lost.push(format!("{job:?}"));
            continue;
        };
        *judgement.reasons.entry(told.reason.clone()).or_default() += 1;
        let happened = happened(faults, &job, *seen);
        let mut complaints = job.untrue.clone();
        complaints.extend(told.fault.clone());
        if !is_true(job.kind, told, &ledger) {
            complaints.push(format!("it wrote down {:?}", ledger.0));
        }
        if !is_expected(job.kind, told, &ledger) && !is_explained(job.kind, told, &happened, bed.mode) {
            complaints.push(format!("{} is explained by nothing of {happened:?}", told.reason));
        }
        if !complaints.is_empty() {
            let Job { id, kind, .. } = &job;
            let complaints = complaints.join("; ");
            judgement.wrong.push(format!("{id} {kind:?} {}: {complaints}; {}", told.reason, told.document));
        }
    }
    judgement
}

/// What went wrong between the submission of a job and its end.
fn happened(faults: &[Done], job: &Job, seen: Instant) -> Vec<Fault> {
    let concerns = |done: &&Done| done.job.as_ref().is_none_or(|hit| *hit == job.id);
    let meanwhile = |done: &&Done| done.from < seen && done.to + AFTERMATH > job.submitted;
    faults.iter().filter(concerns).filter(meanwhile).map(|done| done.fault).collect()
}

/// Whether the exit codes that are told are those that the commands had, and the reason one of its kind: whatever happened, this
/// must hold.
fn is_true(kind: Kind, told: &Told, ledger: &Ledger) -> bool {
    let is_had = match told.exit_code {
        // Asked to stop, it exits so without a line.
        Some(0) if kind == Kind::Overruns => true,
        Some(code) => ledger.one_ended(code) || is_of_a_kill(kind, code),
        None => true,
    };
    let mut replicas = told.replicas.iter().enumerate();
    let are_had = replicas
        .all(|(replica, code)| code.is_none_or(|code| ledger.has_ended(replica, code) || is_of_a_kill(kind, code)));
    is_had && are_had && is_reason_true(kind, told, ledger)
}

/// Whether it is the code of a kill, which the command did not write down: by KILL or TERM from outside, or by its own hand.
fn is_of_a_kill(kind: Kind, code: i64) -> bool {
    [128 + 9, 128 + 15].contains(&code) || (kind == Kind::Crashes && code == 128 + 11)
}

fn is_reason_true(kind: Kind, told: &Told, ledger: &Ledger) -> bool {
    match told.reason.as_str() {
        "ok" => told.exit_code == Some(0) && ledger.all_ended(0),
        "nonzero" => told.exit_code.is_some_and(|code| code != 0 && ledger.one_ended(code)),
        "oom" => kind == Kind::RunsOut,
        "timeout" => kind == Kind::Overruns,
        "aborted" => kind == Kind::Aborted,
        // Whatever the engine tells then.
        "host-restart" => told.exit_code.is_none(),
        _ => true,
    }
}

/// Whether the job ended as it must if nothing goes wrong.
fn is_expected(kind: Kind, told: &Told, ledger: &Ledger) -> bool {
    match kind {
        _ if told.reason == "deleted after its end" => true,
        Kind::Succeeds(_) | Kind::Twins | Kind::Talks => told.reason == "ok",
        Kind::Writes => told.reason == "ok" || (told.reason == "nonzero" && ledger.one_ended(9)),
        Kind::Uneven => told.reason == "nonzero" && told.exit_code == Some(5) && told.replicas.get(1) == Some(&Some(5)),
        Kind::Fails(code) => told.reason == "nonzero" && told.exit_code == Some(code.into()),
        Kind::Crashes => told.reason == "signal" && [Some(139), None].contains(&told.exit_code),
        Kind::Overruns => told.reason == "timeout",
        Kind::RunsOut => told.reason == "oom",
        Kind::Aborted => told.reason == "aborted",
    }
}

/// Whether another end is the work of something that went wrong.
fn is_explained(kind: Kind, told: &Told, happened: &[Fault], mode: Mode) -> bool {
    happened.iter().any(|fault| match fault {
        Fault::DaemonKilled | Fault::DaemonStopped | Fault::EngineHangs | Fault::DiskLow => false,
        // Its command may have begun just when the engine went down, or the engine missed its end; and what it did not see
        // run out of memory was killed by somebody.
        Fault::EngineKilled | Fault::EngineStopped if mode == Mode::LiveRestore => {
            told.reason == "engine-error" || (kind == Kind::RunsOut && told.reason == "signal")
        }
        // The engine tells a stop by signal until it is gone itself.
        Fault::EngineStopped => ["host-restart", "lost", "engine-error", "signal"].contains(&told.reason.as_str()),
        Fault::EngineKilled | Fault::PowerLost => ["host-restart", "lost"].contains(&told.reason.as_str()),
        Fault::DiskFull => told.reason == "disk-full",
        Fault::RunRemoved => ["lost", "engine-error"].contains(&told.reason.as_str()),
        Fault::RunKilled => told.reason == "signal" && [Some(137), None].contains(&told.exit_code),
    })
}
