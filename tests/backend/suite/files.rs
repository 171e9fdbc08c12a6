//! The job's files come back and go, whoever owns them.

use std::sync::Arc;

use uwsd::ports::RunSpec;

use super::{Bed, clean, end_of, launch, live};

/// The spec as the bed makes it, and as another user where the bed can.
fn as_every_user(bed: &Arc<dyn Bed>, script: &str) -> Vec<RunSpec> {
    let other = bed.other_user().map(|user| RunSpec { user, ..bed.spec(script) });
    std::iter::once(bed.spec(script)).chain(other).collect()
}

pub async fn private_files_come_back_readable(bed: &Arc<dyn Bed>) {
    let script = "umask 077; cd \"$JOB_OUTPUT_DIR\"; mkdir -p d/e; echo deep > d/e/f; echo top > g; chmod 0400 g; chmod 0500 d/e";
    for spec in as_every_user(bed, script) {
        let backend = bed.backend();
        live(&*backend, &spec).await;
        assert_eq!(std::fs::read_to_string(spec.dirs.output().join("d/e/f")).expect("readable"), "deep\n");
        assert_eq!(std::fs::read_to_string(spec.dirs.output().join("g")).expect("readable"), "top\n");
        backend.take_back(&spec).await.expect("a second time is fine");
        clean(&*backend, &spec).await;
    }
}

pub async fn files_come_back_after_the_service_got_another_user(bed: &Arc<dyn Bed>) {
    let (Some(user), backend) = (bed.other_user(), bed.backend()) else { return };
    let script = "umask 077; mkdir \"$JOB_OUTPUT_DIR/d\"; echo deep > \"$JOB_OUTPUT_DIR/d/f\"";
    let now = bed.spec(script).user;
    for (at_launch, now) in [(user, now), (now, user)] {
        let spec = RunSpec { user: at_launch, ..bed.spec(script) };
        launch(&*backend, &spec).await;
        end_of(&*backend, &spec).await;
        let as_configured_now = RunSpec { user: now, ..spec.clone() };
        backend.take_back(&as_configured_now).await.expect("the output comes back");
        assert_eq!(std::fs::read_to_string(spec.dirs.output().join("d/f")).expect("readable"), "deep\n");
        clean(&*backend, &spec).await;
    }
}

pub async fn every_name_of_a_file_comes_back(bed: &Arc<dyn Bed>) {
    let script = "cd \"$JOB_OUTPUT_DIR\"; mkdir d; echo one > b; ln b a; ln b d/c; ln -s b link; ln link d/link; true";
    for spec in as_every_user(bed, script) {
        let backend = bed.backend();
        live(&*backend, &spec).await;
        for name in ["a", "b", "d/c"] {
            let path = spec.dirs.output().join(name);
            assert_eq!(std::fs::read_to_string(path).expect("readable"), "one\n", "{name}");
        }
        clean(&*backend, &spec).await;
    }
}

pub async fn links_are_left_alone(bed: &Arc<dyn Bed>) {
    let outside = tempfile::tempdir().expect("a directory outside");
    let (file, dir) = (outside.path().join("file"), outside.path().join("dir"));
    super::put(&file, "precious");
    std::fs::create_dir(&dir).expect("made");
    super::put(&dir.join("inner"), "precious");
    let private = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(&file, private(0o600)).expect("ours");
    let script = format!(
        "cd \"$JOB_OUTPUT_DIR\"; ln -s {} file; ln -s {} dir; ln -s / root; ln -s .. up; ln -s nowhere dangling; true",
        file.display(),
        dir.display()
    );
    for spec in as_every_user(bed, &script) {
        let backend = bed.backend();
        live(&*backend, &spec).await;
        backend.hand_over(&spec).await.expect("handed over again, links and all");
        clean(&*backend, &spec).await;
        let meta = std::fs::metadata(&file).expect("still there");
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777, 0o600);
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&meta), nix::unistd::geteuid().as_raw());
        assert_eq!(std::fs::read_to_string(dir.join("inner")).expect("still there"), "precious");
    }
}

pub async fn whatever_the_job_owns_is_removed(bed: &Arc<dyn Bed>) {
    let script = "umask 077; for d in \"$JOB_OUTPUT_DIR\" \"$HOME\"; do cd \"$d\"; mkdir -p a/b/c '-rf' 'sp ace\n'; \
                  touch a/b/c/f '-rf/x' .hidden; mkfifo pipe; chmod 0 a/b/c/f; chmod 0 a/b/c; done; true";
    for spec in as_every_user(bed, script) {
        let backend = bed.backend();
        launch(&*backend, &spec).await;
        end_of(&*backend, &spec).await;
        clean(&*backend, &spec).await; // without take_back: as after an abort
    }
}

pub async fn files_are_removed_twice(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("touch \"$JOB_OUTPUT_DIR/x\""));
    live(&*backend, &spec).await;
    clean(&*backend, &spec).await;
    clean(&*backend, &spec).await;
}

pub async fn a_run_leaves_no_helper_behind(bed: &Arc<dyn Bed>) {
    for spec in as_every_user(bed, "true") {
        let backend = bed.backend();
        live(&*backend, &spec).await;
        clean(&*backend, &spec).await;
        let left = backend.find_runs().await.expect("the engine answers");
        assert!(left.iter().all(|found| found.run.job != spec.run.job), "{left:?}");
    }
}
