//! What the log tells of a job's life.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use uwsd::domain::{Caller, Phase};

use crate::bed::{Bed, eventually};

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_step_of_a_job_is_told_from_its_acceptance_on() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    // Of all tests of this program: what one thread wants logged is not reliably known while others log nothing.
    tracing::subscriber::set_global_default(subscriber).expect("no other test has one");
    let daemon = Bed::new().start().await;
    let id = daemon.submit_pending("print 1").await;
    daemon.handle.run(&Caller::Anonymous, id).await.expect("queued");
    daemon.reaches(id, Phase::Completed).await;
    let told = || String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
    // It is told after it was stored.
    eventually("the end to be told", || async { told().contains("to COMPLETED").then_some(()) }).await;
    let told = told();
    for step in [
        "was accepted and is PENDING",
        "moved from PENDING to QUEUED",
        "moved from QUEUED to EXECUTING",
        "moved from EXECUTING to COMPLETED",
    ] {
        let line = told.lines().find(|line| line.contains(&format!("job {id} {step}")));
        let line = line.unwrap_or_else(|| panic!("{step} is missing: {told}"));
        assert!(line.contains(" INFO "), "{line}");
    }
}
