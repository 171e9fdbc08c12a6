//! Files that clients hand in.

use std::path::{Path, PathBuf};

use uwsd::domain::{Caller, Parameter, Phase, Work};
use uwsd::supervisor::{Denied, Staged, Terms};

use crate::bed::{Bed, Daemon};

/// A request's files, each as short as its name.
async fn staged(daemon: &Daemon, names: &[&str]) -> Staged {
    let mut staged = daemon.handle.uploads().stage().await.expect("a place");
    for name in names {
        let mut arriving = staged.begin((*name).to_owned(), None, None).await.expect("begun");
        arriving.write(name.as_bytes()).await.expect("written");
        staged.keep(arriving).await.expect("kept");
    }
    staged
}

/// The files of all directories below `root`.
fn files(root: &Path) -> Vec<PathBuf> {
    let below = std::fs::read_dir(root).expect("there").flatten();
    below.filter_map(|dir| std::fs::read_dir(dir.path()).ok()).flat_map(Iterator::flatten).map(|e| e.path()).collect()
}

#[tokio::test]
async fn of_files_that_cannot_all_be_given_to_a_job_none_stays_with_it() {
    let daemon = Bed::new().start().await;
    let job = daemon.submit_pending("print 1").await;
    let root = daemon.handle.uploads().root().to_owned();
    let staged = staged(&daemon, &["first", "second"]).await;
    let second = &staged.files()[1].file;
    let lost = files(&root).into_iter().find(|path| path.ends_with(second)).expect("it has arrived");
    std::fs::remove_file(lost).expect("there");

    let ask = |work: Work| {
        let asked = [("a", "first"), ("b", "second")]
            .map(|(table, part)| Parameter { name: "UPLOAD".to_owned(), value: format!("{table},param:{part}") });
        Work { parameters: asked.into(), ..work }
    };
    let files_and_terms = (Some(staged), Terms::default());
    let denied = daemon.handle.change_work(&Caller::Anonymous, job, files_and_terms, ask).await.expect_err("denied");
    assert!(matches!(denied, Denied::Upload(_)), "{denied:?}");
    assert_eq!(files(&root), Vec::<PathBuf>::new());
    let job = daemon.job(job).await;
    assert!(job.phase == Phase::Pending && job.work.uploads.is_empty(), "{job:?}");
}
