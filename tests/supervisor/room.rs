//! A file system that keeps jobs' files to the room that they may take.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use uwsd::domain::{Caller, Phase, Reason, Source, Work};
use uwsd::ports::{JobDirs, QuotaError, Quotas, Room};

use crate::bed::{Bed, eventually};

/// Counts a byte as a KiB, so that what is measured besides never comes to much, in blocks of 100. What is written beyond the limit
/// counts as not written.
#[derive(Default)]
struct FakeQuotas {
    limits: Mutex<HashMap<PathBuf, Option<u64>>>,
    /// What was asked, and whether the source was there.
    asked: Mutex<Vec<(&'static str, bool)>>,
    is_broken: bool,
}

impl FakeQuotas {
    fn asked(&self, what: &'static str, dirs: &JobDirs) -> Result<(), QuotaError> {
        let mut asked = self.asked.lock().expect("sound");
        asked.push((what, dirs.source().join("README").exists()));
        if self.is_broken {
            let source = std::io::ErrorKind::PermissionDenied.into();
            return Err(QuotaError { path: dirs.root.clone(), doing: what, source });
        }
        Ok(())
    }

    fn seen(&self) -> Vec<(&'static str, bool)> {
        self.asked.lock().expect("sound").iter().copied().filter(|(what, _)| *what != "room").collect()
    }
}

fn taken(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).expect("there");
    entries.map(|entry| entry.expect("an entry").metadata().expect("there").len()).sum()
}

#[async_trait]
impl Quotas for FakeQuotas {
    async fn count(&self, dirs: &JobDirs) -> Result<(), QuotaError> {
        self.asked("count", dirs)?;
        self.limits.lock().expect("sound").insert(dirs.root.clone(), None);
        Ok(())
    }

    async fn limit(&self, dirs: &JobDirs, most: u64) -> Result<(), QuotaError> {
        self.asked("limit", dirs)?;
        *self.limits.lock().expect("sound").get_mut(&dirs.root).expect("counted") = Some(most);
        Ok(())
    }

    async fn room(&self, dirs: &JobDirs) -> Result<Option<Room>, QuotaError> {
        self.asked("room", dirs)?;
        let limit = self.limits.lock().expect("sound").get(&dirs.root).copied().flatten();
        Ok(limit.map(|most| Room { most, used: (taken(&dirs.output()) << 10).min(most), margin: 100 << 10 }))
    }

    async fn release(&self, dirs: &JobDirs) -> Result<(), QuotaError> {
        self.asked("release", dirs)?;
        self.limits.lock().expect("sound").remove(&dirs.root);
        Ok(())
    }
}

fn bed(quotas: &Arc<FakeQuotas>) -> Bed {
    let mut bed = Bed::new();
    bed.config.services.get_mut("ocps").expect("there").max_output = Some(1 << 20);
    bed.quotas = Some(Arc::clone(quotas) as Arc<dyn Quotas>);
    bed
}

#[tokio::test]
async fn a_job_that_has_used_up_its_room_is_told_so_whatever_its_command_made_of_it() {
    let quotas = Arc::new(FakeQuotas::default());
    let bed = bed(&quotas);
    let daemon = bed.start().await;
    for (size, then, reason, exit_code) in [
        (1024, "exit 1", Reason::OutputTooLarge, Some(1)),
        (950, "exit 0", Reason::OutputTooLarge, Some(0)),
        (1024, "hang", Reason::OutputTooLarge, None),
        (900, "exit 0", Reason::Ok, Some(0)),
        (900, "exit 1", Reason::Nonzero, Some(1)),
    ] {
        let id = daemon.submit(&format!("write a {}; {then}", "x".repeat(size))).await;
        let outcome = daemon.ends(id).await.outcome.expect("ended");
        assert_eq!(outcome.reason, reason, "{size} bytes, {then}");
        if exit_code.is_some() {
            assert_eq!(outcome.exit_code, exit_code);
        }
        if reason == Reason::OutputTooLarge {
            let message = outcome.summary.expect("one").message;
            assert_eq!(message, "its files took all of the 1.0 MiB that they may take");
        }
    }
}

#[tokio::test]
async fn its_files_are_counted_from_the_first_and_limited_from_the_command_on_until_they_go() {
    let quotas = Arc::new(FakeQuotas::default());
    let bed = bed(&quotas);
    let daemon = bed.start().await;
    let source = Some(Source { url: "git://there".to_owned(), commit_ref: String::new() });
    let id = daemon.submit_work(Work { source, ..Work::of_command("exit 0") }).await.expect("accepted").id;
    daemon.ends(id).await;
    assert_eq!(quotas.seen(), [("count", false), ("limit", true)]);
    daemon.handle.delete(&Caller::Anonymous, id).await.expect("deleted");
    eventually("its files to go", || async { quotas.limits.lock().expect("sound").is_empty().then_some(()) }).await;
    // While its files were still there.
    assert_eq!(quotas.seen().last(), Some(&("release", true)));
    // A service without a bound asks for none.
    let mut free = Bed::new();
    let quotas = Arc::new(FakeQuotas::default());
    free.quotas = Some(Arc::clone(&quotas) as Arc<dyn Quotas>);
    let daemon = free.start().await;
    let id = daemon.submit("exit 0").await;
    daemon.ends(id).await;
    assert_eq!(quotas.seen(), []);
}

#[tokio::test]
async fn a_job_runs_and_is_measured_where_the_file_system_fails_to_keep_its_limit() {
    let quotas = Arc::new(FakeQuotas { is_broken: true, ..FakeQuotas::default() });
    let mut bed = bed(&quotas);
    bed.config.services.get_mut("ocps").expect("there").max_output = Some(10_000);
    let daemon = bed.start().await;
    let small = daemon.submit("write a 1; exit 0").await;
    assert_eq!(daemon.ends(small).await.outcome.expect("ended").reason, Reason::Ok);
    let large = daemon.submit(&format!("write a {}; hang", "x".repeat(20_000))).await;
    let job = daemon.ends(large).await;
    assert_eq!((job.phase, job.outcome.expect("ended").reason), (Phase::Aborted, Reason::OutputTooLarge));
}

#[tokio::test]
async fn a_limit_that_an_earlier_daemon_set_is_found_again() {
    let quotas = Arc::new(FakeQuotas::default());
    let mut bed = bed(&quotas);
    let daemon = bed.start().await;
    let id = daemon.submit("sleep 1000; exit 0").await;
    daemon.reaches(id, Phase::Executing).await;
    drop(daemon);
    // Configured without a bound meanwhile.
    bed.config.services.get_mut("ocps").expect("there").max_output = None;
    fs::write(bed.config.server.jobs_dir.join(id.to_string()).join("out/a"), vec![1; 1024]).expect("written");
    let daemon = bed.start().await;
    assert_eq!(daemon.ends(id).await.outcome.expect("ended").reason, Reason::OutputTooLarge);
}

/// A daemon's bed whose jobs' files are measured.
fn measured(most: u64) -> Bed {
    let mut bed = Bed::new();
    bed.config.services.get_mut("ocps").expect("there").max_output = Some(most);
    bed
}

#[tokio::test]
async fn what_is_written_beside_the_directories_counts_with_them_and_of_all_replicas() {
    let bed = measured(1 << 20);
    let daemon = bed.start().await;
    let files = "x".repeat(600_000);
    for (script, replicas, reason) in [
        ("fill 600000; exit 0".to_owned(), 1, Reason::Ok),
        ("fill 600000; exit 0".to_owned(), 2, Reason::OutputTooLarge),
        (format!("write a {files}; fill 600000; exit 3"), 1, Reason::OutputTooLarge),
        (format!("write a {files}; exit 0"), 1, Reason::Ok),
    ] {
        let work = Work { replicas, ..Work::of_command(&script) };
        let id = daemon.submit_work(work).await.expect("accepted").id;
        let outcome = daemon.ends(id).await.outcome.expect("ended");
        assert_eq!(outcome.reason, reason, "{replicas} of {}", script.replace(&files, "…"));
        if reason == Reason::OutputTooLarge {
            assert_eq!(outcome.summary.expect("one").message, "its files took 1.1 MiB and may take 1.0 MiB");
        }
    }
}

#[tokio::test]
async fn what_is_written_beside_the_directories_ends_a_job_that_goes_on() {
    let bed = measured(1 << 20);
    let daemon = bed.start().await;
    let id = daemon.submit("fill 2000000; hang").await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(daemon.reaches(id, Phase::Executing).await.phase, Phase::Executing, "it is asked only every 10 s");
    let job = daemon.ends(id).await;
    assert_eq!((job.phase, job.outcome.expect("ended").reason), (Phase::Aborted, Reason::OutputTooLarge));
}

#[tokio::test]
async fn what_is_beside_the_directories_is_added_to_what_the_file_system_counts() {
    let quotas = Arc::new(FakeQuotas::default());
    let bed = bed(&quotas);
    let daemon = bed.start().await;
    let half = format!("write a {}", "x".repeat(512));
    for (script, reason) in [
        (format!("{half}; exit 0"), Reason::Ok),
        (format!("{half}; fill 600000; exit 0"), Reason::OutputTooLarge),
        (format!("{half}; fill 400000; exit 0"), Reason::Ok),
    ] {
        let id = daemon.submit(&script).await;
        assert_eq!(daemon.ends(id).await.outcome.expect("ended").reason, reason, "{script}");
    }
}

#[tokio::test]
async fn an_engine_that_does_not_tell_what_is_beside_the_directories_holds_up_neither_measuring_nor_end() {
    let bed = measured(500_000);
    let daemon = bed.start().await;
    for (then, reason, most) in [
        // As soon as a look at the directories shows it; and the last answer is waited for for 3 s.
        (format!("write a {}; hang", "x".repeat(600_000)), Reason::OutputTooLarge, 8),
        ("exit 0".to_owned(), Reason::Ok, 5),
    ] {
        let begun = Instant::now();
        let id = daemon.submit(&format!("mute; {then}")).await;
        assert_eq!(daemon.ends(id).await.outcome.expect("ended").reason, reason);
        assert!(begun.elapsed() < Duration::from_secs(most), "{:?}", begun.elapsed());
    }
    // While a question is out: it was asked after 10 s.
    let begun = Instant::now();
    let id = daemon.submit(&format!("mute; sleep 10500; write a {}; hang", "x".repeat(600_000))).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(daemon.ends(id).await.outcome.expect("ended").reason, Reason::OutputTooLarge);
    assert!(begun.elapsed() < Duration::from_secs(18), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn where_files_are_not_shared_nothing_is_counted_twice() {
    let bed = measured(1 << 20);
    bed.engine.hide_files();
    let daemon = bed.start().await;
    // As its output is then in the container, too.
    let id = daemon.submit(&format!("write a {}; fill 600000; exit 0", "x".repeat(600_000))).await;
    assert_eq!(daemon.ends(id).await.outcome.expect("ended").reason, Reason::Ok);
}
