//! The variables that the daemon itself sets for a job.

use std::borrow::Cow;

use super::{JobId, Work, strip_credentials};

/// The daemon's own variable that holds the source's URL, credentials and all: documents strip them.
pub const SOURCE_URL: &str = "SRC_GIT_URL";

/// The variables that tell a job about itself, in the order in which the original server set them.
///
/// `inside` is the job's directory as the job sees it; `replica` is the number of the copy that they are for, `None` for
/// a document about the whole job. The caller's variables come after these, of a repeated name the last one wins.
#[must_use]
pub fn own_variables<'a>(
    id: JobId,
    work: &'a Work,
    inside: &str,
    replica: Option<u32>,
) -> Vec<(&'static str, Cow<'a, str>)> {
    let mut own: Vec<(&'static str, Cow<'a, str>)> = Vec::with_capacity(7);
    if let Some(source) = &work.source {
        own.push(("JOB_SOURCE_DIR", Cow::Owned(format!("{inside}/src"))));
        // Without a login: a job that prints its variables would give it away.
        own.push((SOURCE_URL, Cow::Owned(strip_credentials(&source.url))));
        own.push(("GIT_COMMIT_REF", Cow::Borrowed(&source.commit_ref)));
    }
    own.push(("JOB_OUTPUT_DIR", Cow::Owned(format!("{inside}/out"))));
    own.push(("JOB_ID", Cow::Owned(id.to_string())));
    if work.replicas > 1 {
        own.extend(replica.map(|replica| ("JOB_REPLICA", Cow::Owned(replica.to_string()))));
        own.push(("JOB_REPLICAS", Cow::Owned(work.replicas.to_string())));
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Source, Timestamp};

    fn names(source: Option<Source>, replicas: u32, replica: Option<u32>) -> Vec<&'static str> {
        let work = Work { source, replicas, ..Work::of_command("true") };
        let own = own_variables(JobId::new(Timestamp::from_millis(0)), &work, "/uws/jobs/1", replica);
        own.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_job_without_a_source_is_not_told_of_one() {
        assert_eq!(names(None, 1, Some(0)), ["JOB_OUTPUT_DIR", "JOB_ID"]);
        let empty = names(Some(Source::default()), 1, Some(0));
        assert_eq!(empty, ["JOB_SOURCE_DIR", SOURCE_URL, "GIT_COMMIT_REF", "JOB_OUTPUT_DIR", "JOB_ID"]);
    }

    #[test]
    fn the_login_of_a_source_is_not_told() {
        let source = Source { url: "https://ada:secret@host/x.git".into(), commit_ref: "main".into() };
        let work = Work { source: Some(source), ..Work::of_command("env") };
        let own = own_variables(JobId::new(Timestamp::from_millis(0)), &work, "/uws/jobs/1", None);
        assert!(own.contains(&(SOURCE_URL, "https://host/x.git".into())), "{own:?}");
    }

    #[test]
    fn only_one_of_several_replicas_has_a_number() {
        assert_eq!(names(None, 2, Some(1)), ["JOB_OUTPUT_DIR", "JOB_ID", "JOB_REPLICA", "JOB_REPLICAS"]);
        assert_eq!(names(None, 2, None), ["JOB_OUTPUT_DIR", "JOB_ID", "JOB_REPLICAS"]);
    }
}
