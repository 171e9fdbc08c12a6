//! The kinds of jobs, and what is remembered of one.

use std::time::Instant;

/// How many bytes a job of [`Kind::Writes`] leaves.
pub const WRITTEN: usize = 2 * 1024 * 1024;
/// How many lines a job of [`Kind::Talks`] prints.
const LINES: usize = 20_000;

/// What a job does, and with it how it must end if nothing goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Exits with 0 after so many ms.
    Succeeds(u64),
    /// Exits with this code.
    Fails(u8),
    /// Is killed by a signal of its own.
    Crashes,
    /// Goes on beyond its limit, and exits with 0 when asked to stop.
    Overruns,
    /// Takes more memory than it may.
    RunsOut,
    /// Goes on until its client stops it.
    Aborted,
    /// Two of them, which exit with 0.
    Twins,
    /// Two of them: the second exits with 5, the first goes on until it is stopped for that.
    Uneven,
    /// Prints much.
    Talks,
    /// Leaves a large file, or exits with 9 if there is no room for it.
    Writes,
}

impl Kind {
    /// Any of them; most are of the ordinary kinds.
    pub fn any(random: u64) -> Self {
        match random % 20 {
            0..=5 => Self::Succeeds(random / 20 % 3000),
            6..=8 => Self::Fails(u8::try_from(1 + random / 20 % 120).expect("small")),
            9 => Self::Crashes,
            10..=11 => Self::Overruns,
            12 => Self::RunsOut,
            13..=14 => Self::Aborted,
            15 => Self::Twins,
            16 => Self::Uneven,
            17 => Self::Talks,
            _ => Self::Writes,
        }
    }

    pub const fn replicas(self) -> usize {
        if matches!(self, Self::Twins | Self::Uneven) { 2 } else { 1 }
    }

    /// The execution limit in seconds, if it has one of its own.
    pub const fn limit(self) -> Option<u64> {
        if matches!(self, Self::Overruns) { Some(2) } else { None }
    }

    /// What a replica prints that comes to its own end.
    pub fn prints(self, replica: usize) -> String {
        let count = |last: usize| (1..=last).fold(String::new(), |text, n| text + &n.to_string() + "\n");
        match self {
            Self::Talks => count(LINES),
            Self::Fails(code) => "tried\n".to_owned() + &count(code.into()),
            Self::Succeeds(_) | Self::Twins => "said\n".to_owned(),
            Self::Uneven if replica == 1 => "said\n".to_owned(),
            Self::Uneven | Self::Writes | Self::Crashes | Self::RunsOut | Self::Aborted => String::new(),
            Self::Overruns => "stopped\n".to_owned(),
        }
    }

    /// The command. It keeps a ledger of its own: a line when it begins and one, with its exit code, when it ends.
    pub fn command(self) -> String {
        let body = match self {
            Self::Succeeds(ms) => format!("sleep {}.{:03}; echo said; end 0", ms / 1000, ms % 1000),
            Self::Fails(code) => format!("echo tried; sleep 0.2; seq 1 {code}; end {code}"),
            Self::Crashes => "ulimit -c 0; echo e SEGV >> $ledger; kill -SEGV $$; sleep 5".to_owned(),
            Self::Overruns => "trap 'echo stopped; exit 0' TERM; while :; do sleep 0.1; done".to_owned(),
            Self::RunsOut => "x=$(head -c 300000000 /dev/zero | tr '\\0' x); end 0".to_owned(),
            Self::Aborted => "while :; do sleep 0.1; done".to_owned(),
            Self::Twins => "sleep 0.5; echo said; end 0".to_owned(),
            Self::Uneven => {
                "[ $JOB_REPLICA = 0 ] || { sleep 0.5; echo said; end 5; }; while :; do sleep 0.1; done".to_owned()
            }
            Self::Talks => format!("seq 1 {LINES}; end 0"),
            Self::Writes => {
                format!(
                    "head -c {WRITTEN} /dev/zero > $JOB_OUTPUT_DIR/large || end 9; sync $JOB_OUTPUT_DIR/large || end 9; end 0"
                )
            }
        };
        format!(
            "ledger=/ledger/$JOB_ID.${{JOB_REPLICA:-0}}; end() {{ echo e $1 >> $ledger; exit $1; }}; echo s >> $ledger; {body}"
        )
    }
}

/// What was told of a job.
#[derive(Debug)]
pub struct Told {
    pub reason: String,
    pub exit_code: Option<i64>,
    /// The exit code of each of several replicas.
    pub replicas: Vec<Option<i64>>,
    /// The whole document, for people.
    pub document: String,
    /// What is wrong with its log or its results, if that is so.
    pub fault: Option<String>,
}

/// A job that was accepted.
#[derive(Debug)]
pub struct Job {
    pub id: String,
    pub kind: Kind,
    pub submitted: Instant,
    pub polls: u32,
    /// When its end was seen, and what was told then; `None` if none came.
    pub ended: Option<(Instant, Told)>,
    /// Answers that cannot be true: the job unknown, a phase after a later one.
    pub untrue: Vec<String>,
    /// Whether its client deleted it.
    pub is_deleted: bool,
}
