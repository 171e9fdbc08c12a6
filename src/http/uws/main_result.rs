//! Which of a job's results is the main one (contract §5).

use super::result_id;
use crate::domain::{Job, Phase};

/// The id that leads to the main result where no file has it.
pub(super) const ALIAS: &str = "result";

/// The id of the main result of a job that has ended: `result` or `result.*`, else the only file, else `stdout`.
pub(super) fn of(job: &Job) -> Option<String> {
    if !job.phase.is_final() || job.phase == Phase::Archived {
        return None;
    }
    let named = |name: &str| job.results.iter().find(|file| file.path == name);
    let with_ending = || {
        let is_result = |path: &str| path.starts_with("result.") && !path.contains('/');
        job.results.iter().find(|file| is_result(&file.path))
    };
    let only = || if let [only] = job.results.as_slice() { Some(only) } else { None };
    let file = named(ALIAS).or_else(with_ending).or_else(only);
    Some(file.map_or_else(|| "stdout".to_owned(), |file| result_id::of_file(job, &file.path)))
}
