//! The ids of a job's results (contract §5).
//!
//! A file's id is its path below the output directory. `stdout` and `stderr` are the logs; of a job with replicas they
//! are those of replica 0, and `{n}/stdout`, `{n}/stderr` those of replica n. An output file of such a name has `out/`
//! before it, and so has, that ids stay unique, every file whose path differs from such a name only by `out/` before it.

use crate::domain::Job;
use crate::ports::RunRef;

/// A log of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Log {
    /// Of which replica.
    pub(super) replica: u32,
    /// `stdout` or `stderr`.
    pub(super) stream: &'static str,
}

/// What a result's id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named<'a> {
    /// A log.
    Log(Log),
    /// The output file with this path.
    File(&'a str),
}

const STREAMS: [&str; 2] = ["stdout", "stderr"];

impl Log {
    /// Every log of a job.
    pub(super) fn all(job: &Job) -> impl Iterator<Item = Self> {
        (0..job.work.replicas).flat_map(|replica| STREAMS.map(|stream| Self { replica, stream }))
    }

    /// Its id.
    pub(super) fn id(self) -> String {
        match self.replica {
            0 => self.stream.to_owned(),
            replica => format!("{replica}/{}", self.stream),
        }
    }

    /// How many bytes it has kept, if that is known.
    pub(super) fn kept(self, job: &Job) -> Option<u64> {
        let replica = usize::try_from(self.replica).ok()?;
        let logs = job.outcome.as_ref()?.replicas.get(replica)?.logs?;
        STREAMS.iter().zip(logs).find_map(|(stream, log)| (*stream == self.stream).then_some(log.kept))
    }

    /// The run that wrote it.
    pub(super) fn run(self, job: &Job) -> RunRef {
        RunRef { job: job.id, replica: self.replica, replicas: job.work.replicas }
    }

    fn of_id(id: &str, replicas: u32) -> Option<Self> {
        let (replica, name) = match id.split_once('/') {
            None => (0, id),
            Some((number, name)) => (number.parse().ok().filter(|replica| *replica > 0)?, name),
        };
        let stream = STREAMS.into_iter().find(|stream| *stream == name)?;
        let log = Self { replica, stream };
        // `01/stdout` and `+1/stdout` are names of files.
        (replica < replicas && log.id() == id).then_some(log)
    }
}

/// The id of the output file at `path`.
pub(super) fn of_file(job: &Job, path: &str) -> String {
    if is_reserved(path, job.work.replicas) { format!("out/{path}") } else { path.to_owned() }
}

/// What `id` names, if it is there: a file of a job that has ended, a log of a job that has at least begun.
pub(super) fn named<'a>(job: &'a Job, id: &str) -> Option<Named<'a>> {
    if job.phase.is_final() && !job.has_files() {
        return None;
    }
    if let Some(log) = Log::of_id(id, job.work.replicas) {
        return (job.phase.is_final() || job.started_at.is_some()).then_some(Named::Log(log));
    }
    let path = id.strip_prefix("out/").filter(|rest| is_reserved(rest, job.work.replicas)).unwrap_or(id);
    job.results.iter().find(|file| file.path == path).map(|file| Named::File(&file.path))
}

/// Whether a path is the id of a log, perhaps with `out/` before it.
fn is_reserved(path: &str, replicas: u32) -> bool {
    let mut rest = path;
    while let Some(shorter) = rest.strip_prefix("out/") {
        rest = shorter;
    }
    Log::of_id(rest, replicas).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_logs_of_replicas_that_are_there_have_their_names() {
        for (id, replicas, expected) in [
            ("stdout", 1, Some((0, "stdout"))),
            ("stderr", 3, Some((0, "stderr"))),
            ("2/stdout", 3, Some((2, "stdout"))),
            ("3/stdout", 3, None),
            ("0/stdout", 3, None),
            ("01/stdout", 3, None),
            ("+1/stdout", 3, None),
            ("stdin", 1, None),
            ("", 1, None),
        ] {
            let found = Log::of_id(id, replicas).map(|log| (log.replica, log.stream));
            assert_eq!(found, expected, "{id} of {replicas}");
        }
    }

    #[test]
    fn a_file_is_reserved_only_under_a_log_s_name() {
        for (path, expected) in [
            ("stdout", true),
            ("out/stdout", true),
            ("out/out/stderr", true),
            ("out/a", false),
            ("a/stdout", false),
            ("1/stdout", false),
            ("stdout.txt", false),
        ] {
            assert_eq!(is_reserved(path, 1), expected, "{path}");
        }
    }
}
