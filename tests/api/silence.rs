//! A file system that hangs: what lies on it is refused after a while, and everything else goes on.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use uwsd::supervisor::Gate;

use crate::bed::Bed;
use crate::uws::LIST;
use crate::uws_uploads::{Part, completed, job_of, post};

/// As many blocking threads as the daemon has.
const THREADS: usize = 64;

/// A disk that hangs while it is told to, and answers again when this is dropped: else the runtime would wait for ever.
#[derive(Default)]
struct Disk {
    hangs: Mutex<bool>,
    changed: Condvar,
    waiting: AtomicU32,
}

struct Answers(Arc<Disk>);

impl Disk {
    fn set(&self, hangs: bool) {
        *self.hangs.lock().unwrap_or_else(PoisonError::into_inner) = hangs;
        self.changed.notify_all();
    }

    fn wait(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let hangs = self.hangs.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(hangs, |hangs| *hangs).unwrap_or_else(PoisonError::into_inner));
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

#[test]
fn while_the_disk_of_jobs_files_hangs_everything_else_is_answered() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).max_blocking_threads(THREADS).enable_all();
    let runtime = runtime.build().expect("a runtime");
    let disk = Arc::<Disk>::default();
    let _answers = Answers(Arc::clone(&disk));
    runtime.block_on(async {
        let mut bed = Bed::new();
        let hanging = Arc::clone(&disk);
        bed.files = Gate::with(Duration::from_millis(500), move || hanging.wait());
        let daemon = bed.start().await;
        let id = daemon.submit("write a 1; print 2").await;
        daemon.reaches(&id, "completed").await;
        let (result, log) = (format!("/api/v1/job/result/{id}/0"), format!("{LIST}/{id}/results/stdout"));

        disk.set(true);
        let paths = [&result, &log].into_iter().cycle().take(THREADS + 20);
        let refused = join_all(paths.map(|path| async { daemon.client().get(path).await })).await;
        for answer in refused {
            assert_eq!((answer.status, answer.header("retry-after")), (503, "30"), "{}", answer.text());
            assert!(answer.text().contains("the disk of this job's files does not answer"), "{}", answer.text());
        }
        let waiting = disk.waiting.load(Ordering::SeqCst);
        assert!((1..=16).contains(&waiting), "{waiting} threads wait");

        // Polling, listing and submitting, also with a file, and the run of a job.
        assert_eq!(daemon.client().get(&format!("{LIST}/{id}/phase")).await.text(), "COMPLETED");
        assert_eq!(daemon.listed().await, 1);
        let parts: &[Part<'_>] = &[
            ("COMMAND", None, "print 1"),
            ("UPLOAD", None, "mytable,param:catalog"),
            ("catalog", Some("c.csv"), "a,b\n1,2\n"),
            ("PHASE", None, "RUN"),
        ];
        let (path, _) = job_of(&post(&daemon, LIST, parts).await);
        completed(&daemon, &path).await;

        disk.set(false);
        assert_eq!(daemon.client().get(&result).await.text(), "1");
        assert_eq!(daemon.client().get(&log).await.text(), "2\n");
    });
}
