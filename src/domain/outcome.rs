//! How a job ended and what it left.

use super::Reason;

/// Whether the same job may succeed if it is tried again (UWS 1.1 §2.2.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SummaryKind {
    /// It may.
    Transient,
    /// It will fail again.
    Fatal,
}

impl SummaryKind {
    /// The word of the standard.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Fatal => "fatal",
        }
    }
}

/// The error summary of a job: one clear sentence (UWS 1.1 §2.1.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Whether trying again may help.
    pub kind: SummaryKind,
    /// The sentence.
    pub message: String,
}

/// The most memory that a run used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeakMemory {
    /// In bytes.
    pub bytes: u64,
    /// Whether it is only the most that was seen, looking now and then: it may have been more for a moment.
    pub is_sampled: bool,
}

impl PeakMemory {
    /// The peak of several runs, each by itself; one that was only sampled may have been the highest.
    #[must_use]
    pub const fn or_higher(self, other: Self) -> Self {
        Self {
            bytes: if self.bytes > other.bytes { self.bytes } else { other.bytes },
            is_sampled: self.is_sampled || other.is_sampled,
        }
    }
}

/// The end of a job: one reason and the facts behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Why it ended; decides the final phase.
    pub reason: Reason,
    /// The sentence, for every reason but `ok` and `aborted`.
    pub summary: Option<Summary>,
    /// The exit code of the command, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that killed the command, if one did.
    pub signal: Option<i32>,
    /// The most memory it used, if that is known.
    pub peak_memory: Option<PeakMemory>,
    /// How each of its replicas ended, if any was started.
    pub replicas: Vec<ReplicaEnd>,
}

/// The end of one replica, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicaEnd {
    /// The exit code of its command, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that killed its command, if one did.
    pub signal: Option<i32>,
    /// The most memory it used.
    pub peak_memory: Option<PeakMemory>,
    /// How long its logs are, `stdout` and `stderr`.
    pub logs: Option<[LogBytes; 2]>,
    /// Why something of its logs may have been lost on the way, though it is not known that it was.
    pub log_gap: Option<String>,
}

/// How long a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBytes {
    /// What the command wrote, in bytes.
    pub written: u64,
    /// What is kept of it, with the marks where something was cut.
    pub kept: u64,
}

impl Outcome {
    /// An end for `reason` with its sentence; `ok` and `aborted` carry none.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let summary = match reason {
            Reason::Ok | Reason::Aborted => None,
            _ => Some(Summary { kind: reason.summary_kind(), message: message.into() }),
        };
        Self { reason, summary, exit_code: None, signal: None, peak_memory: None, replicas: Vec::new() }
    }

    /// What its command wrote to `stdout` and `stderr`, in bytes, all replicas together, if that is known of each.
    #[must_use]
    pub fn written(&self) -> Option<[u64; 2]> {
        let known: Option<Vec<[LogBytes; 2]>> = self.replicas.iter().map(|replica| replica.logs).collect();
        let sum = |stream: usize, logs: &[[LogBytes; 2]]| logs.iter().map(|logs| logs[stream].written).sum();
        known.filter(|logs| !logs.is_empty()).map(|logs| [sum(0, &logs), sum(1, &logs)])
    }

    /// Why something of its logs may have been lost on the way, if that is so.
    #[must_use]
    pub fn log_gap(&self) -> Option<&str> {
        self.replicas.iter().find_map(|replica| replica.log_gap.as_deref())
    }

    /// The same end, marked as one that a second try may cure or not.
    #[must_use]
    pub fn of_kind(mut self, kind: SummaryKind) -> Self {
        if let Some(summary) = &mut self.summary {
            summary.kind = kind;
        }
        self
    }
}

/// One file that a job left (UWS 1.1 §2.1.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobResult {
    /// The path relative to the output directory, with `/` between names.
    pub path: String,
    /// The size in bytes.
    pub size: u64,
}
