//! How long a run is given between TERM and KILL.

use std::time::Duration;

use uwsd::domain::{Caller, JobId, Phase, Work};

use crate::bed::{Bed, Daemon, work};

const OWN: Duration = Duration::from_millis(150);
const OF_SERVICE: Duration = Duration::from_millis(40);

fn bed(change: impl FnOnce(&mut uwsd::config::Service)) -> Bed {
    let mut bed = Bed::new();
    let service = bed.config.services.get_mut("ocps").expect("there");
    service.kill_grace = OF_SERVICE;
    change(service);
    bed
}

async fn submit(daemon: &Daemon, command: &str, kill_grace: Option<Duration>) -> JobId {
    daemon.submit_work(Work { kill_grace, ..work(command) }).await.expect("accepted").id
}

async fn aborted(daemon: &Daemon, id: JobId) {
    daemon.handle.abort(&Caller::Anonymous, id).await.expect("aborted");
    daemon.reaches(id, Phase::Aborted).await;
}

#[tokio::test]
async fn an_abort_gives_a_job_its_own_grace_and_others_the_service_s() {
    for (asked, given) in [(Some(OWN), OWN), (None, OF_SERVICE), (Some(Duration::ZERO), Duration::ZERO)] {
        let bed = bed(|_| ());
        let daemon = bed.start().await;
        let id = submit(&daemon, "hang", asked).await;
        daemon.reaches(id, Phase::Executing).await;
        aborted(&daemon, id).await;
        assert_eq!(bed.engine.graces(), [given]);
    }
}

#[tokio::test]
async fn the_limit_gives_a_job_its_own_grace_too() {
    let bed = bed(|service| service.execution_duration = Some(Duration::from_millis(50)));
    let daemon = bed.start().await;
    let id = submit(&daemon, "stubborn", Some(OWN)).await;
    daemon.reaches(id, Phase::Aborted).await;
    assert_eq!(bed.engine.graces(), [OWN]);
}

#[tokio::test]
async fn files_that_take_too_much_are_no_reason_to_wait_longer_than_two_seconds() {
    for (asked, given) in [(OWN, OWN), (Duration::from_secs(50), Duration::from_secs(2))] {
        let bed = bed(|service| service.max_output = Some(1000));
        let daemon = bed.start().await;
        let command = format!("write a {}; hang", "x".repeat(3000));
        let id = submit(&daemon, &command, Some(asked)).await;
        daemon.reaches(id, Phase::Aborted).await;
        assert_eq!(bed.engine.graces(), [given]);
    }
}

#[tokio::test]
async fn a_job_that_is_adopted_keeps_its_own_grace_whatever_its_service_says_now() {
    let mut bed = bed(|_| ());
    let first = bed.start().await;
    let id = submit(&first, "hang", Some(OWN)).await;
    first.reaches(id, Phase::Executing).await;
    drop(first);
    let service = bed.config.services.get_mut("ocps").expect("there");
    (service.kill_grace, service.max_kill_grace) = (Duration::from_millis(10), Duration::from_millis(20));
    let second = bed.start().await;
    aborted(&second, id).await;
    assert_eq!(bed.engine.graces(), [OWN]);
    let later = submit(&second, "hang", Some(OWN)).await;
    second.reaches(later, Phase::Executing).await;
    aborted(&second, later).await;
    assert_eq!(bed.engine.graces(), [OWN, Duration::from_millis(20)], "it may ask for no more now");
}
