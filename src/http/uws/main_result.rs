//! Which of a job's results is the main one (contract §5).

use std::borrow::Cow;

use http::HeaderValue;

use super::result_id;
use crate::domain::Job;
use crate::http::{Api, attachment};

/// The id that leads to the main result where no file has it.
pub(super) const ALIAS: &str = "result";

/// The id of the main result of a job that has ended: `result` or `result.*`, else the only file, else `stdout`.
pub(super) fn of(job: &Job) -> Option<String> {
    if !job.has_files() {
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

/// The media type of the result at `path`: of the main one what RESPONSEFORMAT asked for, in a service that declares that
/// parameter (DALI 1.1 §3.4.3), else by the name of the file.
pub(super) fn media_type(api: &Api, job: &Job, path: &str) -> Cow<'static, str> {
    let by_name = || Cow::Borrowed(attachment::media_type(path));
    let is_main = || of(job).is_some_and(|main| main == result_id::of_file(job, path));
    match response_format(api, job) {
        Some(asked) if is_main() => full_type(asked).unwrap_or_else(by_name),
        Some(_) | None => by_name(),
    }
}

/// The value of RESPONSEFORMAT, if it means something to the job's service.
fn response_format<'a>(api: &Api, job: &'a Job) -> Option<&'a str> {
    let config = api.config.get();
    let declared = config.services.get(&job.service)?.program.jdl()?.find("RESPONSEFORMAT")?;
    let given = job.work.parameters.iter().find(|given| given.name == declared.name)?;
    Some(&given.value)
}

/// The media type of a media type or of one of DALI's short names.
fn full_type(asked: &str) -> Option<Cow<'static, str>> {
    let short = [
        ("votable", "application/x-votable+xml"),
        ("csv", "text/csv"),
        ("tsv", "text/tab-separated-values"),
        ("fits", "application/fits"),
        ("text", "text/plain"),
        ("html", "text/html"),
        ("parquet", "application/vnd.apache.parquet"),
    ];
    let known = short.iter().find(|(name, _)| name.eq_ignore_ascii_case(asked)).map(|(_, full)| Cow::Borrowed(*full));
    let is_type = asked.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
    known.or_else(|| (is_type && HeaderValue::try_from(asked).is_ok()).then(|| Cow::Owned(asked.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::full_type;

    #[test]
    fn short_names_are_spelt_out_and_media_types_kept() {
        assert_eq!(full_type("VOTable").as_deref(), Some("application/x-votable+xml"));
        assert_eq!(full_type("text/csv; header=present").as_deref(), Some("text/csv; header=present"));
        assert_eq!(full_type("xyz"), None);
        assert_eq!(full_type("a/b\n"), None);
    }
}
