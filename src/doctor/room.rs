//! What keeps jobs' files to their `max_output`.

use super::access::{Person, existing};
use super::examine::Case;
use super::finding::{Finding, Subject};
use super::patience::looked;
use crate::quota::{Without, are_in_force, may_be_set};

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let (jobs_dir, daemon) = (case.config.server.jobs_dir.clone(), case.daemon.clone());
    let what = format!("jobs_dir {}", jobs_dir.display());
    looked(Subject::Limits, what.clone(), move || {
        // What is not there yet will be made on the same file system.
        let in_force = are_in_force(existing(&jobs_dir));
        // Of root that may not set them only itself is seen.
        let may_set = daemon.uid == 0 && (may_be_set() || !nix::unistd::geteuid().is_root());
        vec![judge(&what, in_force, may_set, &daemon)]
    })
    .await
}

/// Without quotas files are measured, which is no fault.
fn judge(what: &str, in_force: Result<(), Without>, may_set: bool, daemon: &Person) -> Finding {
    let measured =
        |why: &str| Finding::fine(Subject::Limits, format!("max_output is measured every 2 s in {what}: {why}"));
    match in_force {
        Ok(()) if may_set => Finding::fine(Subject::Limits, format!("max_output is kept by project quotas in {what}")),
        Ok(()) => {
            measured(&format!("{} may not set its project quotas, which takes root (CAP_SYS_ADMIN)", daemon.name))
        }
        Err(why) => measured(&why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn whether_files_are_kept_or_measured_is_told_with_the_reason() {
        let root = Person::of(0);
        for (in_force, may_set, sentence) in [
            (Ok(()), true, "max_output is kept by project quotas in jobs_dir /j"),
            (
                Ok(()),
                false,
                "max_output is measured every 2 s in jobs_dir /j: root may not set its project quotas, which takes root \
                 (CAP_SYS_ADMIN)",
            ),
            (
                Err(Without::None),
                true,
                "max_output is measured every 2 s in jobs_dir /j: its file system has no project quotas in force",
            ),
        ] {
            let found = judge("jobs_dir /j", in_force, may_set, &root);
            assert_eq!((found.state, found.sentence.as_str()), (State::Fine, sentence));
        }
    }
}
