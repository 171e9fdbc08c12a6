//! The ids of a job's results (contract §5).
//!
//! A file's id is its path below the output directory. `stdout` and `stderr` are the logs; of a job with replicas they
//! are those of replica 0, and `{n}/stdout`, `{n}/stderr` those of replica n. An output file of such a name has `out/`
//! before it, and so has, that ids stay unique, every file whose path differs from such a name only by `out/` before it.

use crate::domain::{Job, Log};

/// What a result's id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named<'a> {
    /// A log.
    Log(Log),
    /// The output file with this path.
    File(&'a str),
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
