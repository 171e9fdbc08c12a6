//! What is told of one thing.

use serde::Serialize;

/// What was looked at; in this order it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// What the configuration says.
    Configuration,
    /// Addresses that the daemon listens on.
    Listeners,
    /// The Docker engine.
    Engine,
    /// The process backend's program.
    Bubblewrap,
    /// Control groups of this host.
    Cgroups,
    /// Whether limits of jobs are kept.
    Limits,
    /// Whether images are in the engine.
    Images,
    /// Whether registries give them.
    Registries,
    /// Git, its helpers and files.
    Git,
    /// Room.
    Disks,
    /// The database of jobs.
    Database,
    /// Who jobs run as, and what they find mounted.
    Users,
    /// Whether the daemon may use its own files.
    Permissions,
    /// Whether nobody else may read what is secret.
    Secrets,
    /// The host's clock.
    Clock,
    /// The daemon that runs.
    Daemon,
}

impl Subject {
    /// All of them, in their order.
    pub const ALL: [Self; 16] = [
        Self::Configuration,
        Self::Listeners,
        Self::Engine,
        Self::Bubblewrap,
        Self::Cgroups,
        Self::Limits,
        Self::Images,
        Self::Registries,
        Self::Git,
        Self::Disks,
        Self::Database,
        Self::Users,
        Self::Permissions,
        Self::Secrets,
        Self::Clock,
        Self::Daemon,
    ];

    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Listeners => "listeners",
            Self::Engine => "engine",
            Self::Bubblewrap => "bubblewrap",
            Self::Cgroups => "cgroups",
            Self::Limits => "limits",
            Self::Images => "images",
            Self::Registries => "registries",
            Self::Git => "git",
            Self::Disks => "disks",
            Self::Database => "database",
            Self::Users => "users",
            Self::Permissions => "permissions",
            Self::Secrets => "secrets",
            Self::Clock => "clock",
            Self::Daemon => "daemon",
        }
    }
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum State {
    /// As it should be.
    #[serde(rename = "ok")]
    Fine,
    /// Jobs run; somebody should know all the same.
    #[serde(rename = "warn")]
    Odd,
    /// It keeps the daemon or jobs from their work, or a secret is none.
    #[serde(rename = "fail")]
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub subject: Subject,
    /// How it is.
    pub state: State,
    /// What was seen, in a sentence without credentials.
    pub sentence: String,
    /// What to do about it: a command to copy, or a key of the configuration.
    pub remedy: Option<String>,
}

impl Finding {
    pub(super) fn fine(subject: Subject, sentence: impl Into<String>) -> Self {
        Self { subject, state: State::Fine, sentence: sentence.into(), remedy: None }
    }

    pub(super) fn odd(subject: Subject, sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject, state: State::Odd, sentence: sentence.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn wrong(subject: Subject, sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject, state: State::Wrong, sentence: sentence.into(), remedy: Some(remedy.into()) }
    }
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_has_its_rows_in_the_documentation_in_this_order() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/doctor.md");
        let text = std::fs::read_to_string(path).expect("readable");
        let mut told: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        told.dedup();
        assert_eq!(told, Subject::ALL.map(Subject::word));
    }

    #[test]
    fn words_are_the_same_in_json_and_in_lines() {
        for subject in Subject::ALL {
            assert_eq!(serde_json::to_value(subject).expect("a word"), subject.word());
        }
        assert!(Subject::ALL.is_sorted());
    }

    #[test]
    fn sizes_are_told_in_the_largest_unit() {
        assert_eq!([size(12), size(1536), size(5 << 40)], ["12 bytes", "1.5 KiB", "5.0 TiB"]);
    }
}
