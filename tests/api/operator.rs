//! What an operator orders over the administration socket, and records that are kept.

use std::sync::atomic::Ordering;
use std::time::Duration;

use uwsd::config::ListenAddress;
use uwsd::domain::{JobId, Phase};
use uwsd::ports::Store;

use crate::bed::{Bed, Daemon, eventually};
use crate::client::{Answer, Client};
use crate::odd_store::odd;
use crate::uws::{LIST, create, ended, job, listed, post, posted, reaches, scalar, status};
use crate::uws_uploads::{BOUNDARY, job_of, kept, multipart};

pub fn with_socket(mut bed: Bed) -> Bed {
    bed.config.server.admin_socket = Some(bed.dir.path().join("uwsd.sock"));
    bed
}

fn operator(daemon: &Daemon) -> Client {
    Client::new(ListenAddress::Unix(daemon.dir.path().join("uwsd.sock")))
}

pub async fn order(daemon: &Daemon, id: &str, order: &str) -> Answer {
    operator(daemon).send("POST", &format!("/admin/job/{id}/{order}"), &[], "").await
}

async fn ordered(daemon: &Daemon, id: &str, what: &str, phase: &str) {
    let answer = order(daemon, id, what).await;
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    assert_eq!(answer.json(), serde_json::json!({"jobId": id, "phase": phase}), "{what}");
}

#[tokio::test]
async fn only_the_administration_socket_takes_orders_and_only_its_own_group_gets_in() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = with_socket(Bed::without_runs()).start().await;
    let id = create(&daemon, "COMMAND=print+1&PHASE=RUN").await;
    for what in ["hold", "release", "suspend", "resume"] {
        let answer = daemon.client().send("POST", &format!("/admin/job/{id}/{what}"), &[], "").await;
        assert_eq!(answer.status, 404, "{what}");
    }
    let file = std::fs::metadata(daemon.dir.path().join("uwsd.sock")).expect("there");
    assert_eq!(file.permissions().mode() & 0o777, 0o660);
    assert_eq!(order(&daemon, &id, "frobnicate").await.status, 404);
    assert_eq!(order(&daemon, "x", "hold").await.status, 404);
    assert_eq!(order(&daemon, &"0".repeat(32), "hold").await.status, 404);
    let read = operator(&daemon).get(&format!("/admin/job/{id}/hold")).await;
    assert_eq!((read.status, read.header("allow")), (405, "POST, OPTIONS"));
    // An operator sees what everybody sees, and more.
    assert_eq!(operator(&daemon).get(&format!("{LIST}/{id}")).await.status, 200);
}

#[tokio::test]
async fn a_job_that_an_operator_puts_before_others_runs_before_them() {
    let mut bed = with_socket(Bed::new());
    bed.config.queue.max_running = 1;
    let daemon = bed.start().await;
    let first = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    reaches(&daemon, &first, "EXECUTING").await;
    let second = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    let third = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    for (value, complaint) in [("", "not given"), ("?value=x", "\"x\""), ("?value=101", "from 0 to 100")] {
        let answer = order(&daemon, &third, &format!("priority{value}")).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(complaint), "{}", answer.text());
    }
    ordered(&daemon, &third, "priority?value=1", "QUEUED").await;
    assert_eq!(order(&daemon, &first, "priority?value=1").await.status, 403, "it runs already");
    posted(&daemon, &format!("/{first}/phase"), "PHASE=ABORT").await;
    reaches(&daemon, &third, "EXECUTING").await;
    assert_eq!(scalar(&daemon, &format!("/{second}/phase")).await, "QUEUED");
}

#[tokio::test]
async fn a_held_job_does_not_run_before_it_is_released() {
    let mut bed = with_socket(Bed::new());
    bed.config.queue.max_running = 1;
    let daemon = bed.start().await;
    let first = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    reaches(&daemon, &first, "EXECUTING").await;
    let second = create(&daemon, "COMMAND=print+2&PHASE=RUN").await;
    ordered(&daemon, &second, "hold", "HELD").await;
    ordered(&daemon, &second, "hold", "HELD").await;
    daemon.engine.end_by_itself(0);
    reaches(&daemon, &first, "COMPLETED").await;
    // The JSON API never strands who waits: HELD reads queued there.
    assert_eq!(daemon.job(&second).await["phase"], "queued");
    assert_eq!(post(&daemon, &format!("/{second}/phase"), "PHASE=RUN").await.status, 403);
    assert_eq!(job(&daemon, &second).await.value("uws:phase"), "HELD");
    let answer = order(&daemon, &second, "release").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    reaches(&daemon, &second, "COMPLETED").await;
    let again = order(&daemon, &second, "release").await;
    assert_eq!(again.status, 403);
    assert!(again.text().contains("only a job that an operator holds can be released"), "{}", again.text());
    assert_eq!(order(&daemon, &second, "hold").await.status, 403);
}

#[tokio::test]
async fn a_job_that_was_pending_is_released_to_its_client() {
    let daemon = with_socket(Bed::new()).start().await;
    let id = create(&daemon, "COMMAND=print+1").await;
    ordered(&daemon, &id, "hold", "HELD").await;
    // While the operator holds it, its client changes nothing.
    assert_eq!(post(&daemon, &format!("/{id}/parameters"), "COMMAND=print+2").await.status, 403);
    ordered(&daemon, &id, "release", "HELD").await;
    posted(&daemon, &format!("/{id}/parameters"), "COMMAND=print+2&RUNID=night").await;
    posted(&daemon, &format!("/{id}/phase"), "PHASE=RUN").await;
    let ended = reaches(&daemon, &id, "COMPLETED").await;
    assert_eq!(ended.value("uws:runId"), "night");
    assert_eq!(scalar(&daemon, &format!("/{id}/parameters/command")).await, "print 2");
}

#[tokio::test]
async fn a_held_job_can_be_aborted_and_deleted() {
    let daemon = with_socket(Bed::without_runs()).start().await;
    let aborted = create(&daemon, "COMMAND=print+1&PHASE=RUN").await;
    ordered(&daemon, &aborted, "hold", "HELD").await;
    posted(&daemon, &format!("/{aborted}/phase"), "PHASE=ABORT").await;
    assert_eq!(job(&daemon, &aborted).await.value("uws:phase"), "ABORTED");
    let deleted = create(&daemon, "COMMAND=print+1").await;
    ordered(&daemon, &deleted, "hold", "HELD").await;
    assert_eq!(daemon.client().send("DELETE", &format!("{LIST}/{deleted}"), &[], "").await.status, 303);
    assert_eq!(status(&daemon, &format!("/{deleted}")).await, 404);
}

#[tokio::test]
async fn a_suspended_job_is_halted_and_its_limit_stands_still() {
    let daemon = with_socket(Bed::new()).start().await;
    let id = create(&daemon, "COMMAND=hang&PHASE=RUN&EXECUTIONDURATION=2").await;
    reaches(&daemon, &id, "EXECUTING").await;
    ordered(&daemon, &id, "suspend", "SUSPENDED").await;
    ordered(&daemon, &id, "suspend", "SUSPENDED").await;
    assert_eq!(daemon.engine.paused(), 1);
    assert_eq!(daemon.job(&id).await["phase"], "executing");
    // WAIT never blocks on it (UWS 1.1 §2.2.1.2).
    assert_eq!(job(&daemon, &id).await.value("uws:phase"), "SUSPENDED");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(job(&daemon, &id).await.value("uws:phase"), "SUSPENDED", "its limit stands still");
    ordered(&daemon, &id, "resume", "EXECUTING").await;
    ordered(&daemon, &id, "resume", "EXECUTING").await;
    assert_eq!(daemon.engine.paused(), 0);
    let ended = reaches(&daemon, &id, "ABORTED").await;
    assert!(ended.child("uws:errorSummary").value("uws:message").contains("execution limit of 2 s"));
    for what in ["suspend", "resume", "hold"] {
        assert_eq!(order(&daemon, &id, what).await.status, 403, "{what}");
    }
}

#[tokio::test]
async fn a_suspended_job_can_be_aborted_and_one_that_waits_cannot_be_suspended() {
    let daemon = with_socket(Bed::new()).start().await;
    let id = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    reaches(&daemon, &id, "EXECUTING").await;
    ordered(&daemon, &id, "suspend", "SUSPENDED").await;
    posted(&daemon, &format!("/{id}/phase"), "PHASE=ABORT").await;
    reaches(&daemon, &id, "ABORTED").await;
    let pending = create(&daemon, "COMMAND=print+1").await;
    let refused = order(&daemon, &pending, "suspend").await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("only a job that is EXECUTING can be suspended"), "{}", refused.text());
}

#[tokio::test]
async fn an_engine_that_does_not_halt_it_leaves_it_executing() {
    let daemon = with_socket(Bed::new()).start().await;
    let id = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    reaches(&daemon, &id, "EXECUTING").await;
    daemon.engine.set_silent(true);
    let refused = order(&daemon, &id, "suspend").await;
    assert_eq!(refused.status, 502, "{}", refused.text());
    daemon.engine.set_silent(false);
    assert_eq!(job(&daemon, &id).await.value("uws:phase"), "EXECUTING");
}

#[tokio::test]
async fn an_order_that_cannot_be_written_down_is_undone_and_its_job_is_watched_on() {
    let mut bed = with_socket(Bed::new());
    bed.is_odd_within = true;
    let (daemon, store) = odd(bed).await;
    let id = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    reaches(&daemon, &id, "EXECUTING").await;
    let full = |is_full| store.is_full.store(is_full, Ordering::SeqCst);
    let refused = async |what| {
        let answer = order(&daemon, &id, what).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "60"), "{what}: {}", answer.text());
    };
    full(true);
    refused("suspend").await;
    assert_eq!(daemon.engine.paused(), 0);
    full(false);
    ordered(&daemon, &id, "suspend", "SUSPENDED").await;
    full(true);
    refused("resume").await;
    assert_eq!(daemon.engine.paused(), 1);
    assert_eq!(job(&daemon, &id).await.value("uws:phase"), "SUSPENDED");
    full(false);
    ordered(&daemon, &id, "resume", "EXECUTING").await;
    assert_eq!(daemon.engine.paused(), 0);
    // After a refused order a wish to stop is heard while the store is full still; its end waits to be written.
    full(true);
    refused("suspend").await;
    posted(&daemon, &format!("/{id}/phase"), "PHASE=ABORT").await;
    eventually("the run to be stopped", || async { (daemon.engine.running() == 0).then_some(()) }).await;
    full(false);
    reaches(&daemon, &id, "ABORTED").await;
}

fn with_archive() -> Bed {
    let mut bed = Bed::new();
    let service = bed.config.services.get_mut("ocps").expect("there");
    service.archive = Some(Duration::from_secs(1000));
    bed
}

#[tokio::test]
async fn a_record_is_kept_after_the_destruction_time_and_goes_in_its_time() {
    let daemon = with_archive().start().await;
    let (id, _) = ended(&daemon, "write a 1; exit 3", "ERROR").await;
    posted(&daemon, &format!("/{id}/destruction"), "DESTRUCTION=2000-01-01").await;
    daemon.clock.advance(Duration::from_secs(20));
    // Anything wakes the one who looks.
    let other = create(&daemon, "COMMAND=print+1").await;
    posted(&daemon, &format!("/{other}/destruction"), "DESTRUCTION=2100-01-01").await;
    let archived = reaches(&daemon, &id, "ARCHIVED").await;
    assert!(archived.child("uws:results").children.is_empty());
    assert_eq!(archived.child("uws:errorSummary").value("uws:message"), "the command exited with code 3");
    assert!(!archived.is_nil("uws:destruction") && !archived.is_nil("uws:endTime"));
    let removed = archived.child("uws:jobInfo").value("filesRemoved").to_owned();
    assert!(removed.ends_with('Z'), "{removed}");
    let told = format!("this job was destroyed: its files went at {removed}, its record is kept");
    for gone in ["async/{id}/results/a", "async/{id}/results/stdout"].map(|path| path.replace("{id}", &id)) {
        let answer = daemon.client().get(&format!("/api/ocps/{gone}")).await;
        assert_eq!((answer.status, answer.text()), (404, told.as_str()), "{gone}");
    }
    let result = daemon.client().get(&format!("/api/v1/job/result/{id}/0")).await;
    assert_eq!((result.status, result.text()), (404, told.as_str()));
    assert_eq!(status(&daemon, &format!("/{id}/results")).await, 200);
    let log = daemon.client().get(&format!("/api/v1/job/{id}/stdout")).await;
    assert_eq!((log.status, log.text()), (404, told.as_str()), "an empty log would not be true");
    assert_eq!(daemon.job(&id).await["errorSummary"]["hasDetail"], false);
    assert!(!listed(&daemon, "").await.contains(&id), "only asked for is it listed");
    assert_eq!(listed(&daemon, "?PHASE=ARCHIVED").await, std::slice::from_ref(&id));
    assert_eq!(daemon.job(&id).await["phase"], "error", "the JSON API tells how it ended");
    assert_eq!(post(&daemon, &format!("/{id}/destruction"), "DESTRUCTION=2100-01-01").await.status, 403);
    for word in ["RUN", "ABORT"] {
        assert_eq!(post(&daemon, &format!("/{id}/phase"), &format!("PHASE={word}")).await.status, 403, "{word}");
    }
    let dir = daemon.config.server.jobs_dir.join(&id);
    eventually("its files to go", || async { (!dir.exists()).then_some(()) }).await;

    daemon.clock.advance(Duration::from_secs(1001));
    posted(&daemon, &format!("/{other}/destruction"), "DESTRUCTION=2100-01-02").await;
    let stored: JobId = id.parse().expect("an id");
    eventually("the record to go", || async { daemon.store.job(stored).await.expect("read").is_none().then_some(()) })
        .await;
    // That it was there is told from then on.
    let answer = daemon.client().get(&format!("{LIST}/{id}")).await;
    assert!(answer.status == 404 && answer.text().starts_with("this job was destroyed at "), "{}", answer.text());
}

#[tokio::test]
async fn a_job_that_runs_at_its_destruction_time_is_aborted_and_then_archived() {
    let daemon = with_archive().start().await;
    let id = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    reaches(&daemon, &id, "EXECUTING").await;
    posted(&daemon, &format!("/{id}/destruction"), "DESTRUCTION=2000-01-01").await;
    daemon.clock.advance(Duration::from_secs(20));
    let other = create(&daemon, "COMMAND=print+1").await;
    posted(&daemon, &format!("/{other}/destruction"), "DESTRUCTION=2100-01-01").await;
    let archived = reaches(&daemon, &id, "ARCHIVED").await;
    assert!(archived.child("uws:jobInfo").value("reason") == "expired");
    let stored: JobId = id.parse().expect("an id");
    let events = daemon.store.events(0, 1000).await.expect("read");
    let phases: Vec<Phase> = events.iter().filter(|event| event.job == stored).map(|event| event.to).collect();
    assert_eq!(phases, [Phase::Queued, Phase::Executing, Phase::Aborted, Phase::Archived]);
    assert_eq!(daemon.client().send("DELETE", &format!("{LIST}/{id}"), &[], "").await.status, 303);
    assert_eq!(status(&daemon, &format!("/{id}")).await, 404);
}

#[tokio::test]
async fn the_files_that_came_with_a_job_are_gone_once_it_is_archived_and_its_parameters_stay() {
    let daemon = with_archive().start().await;
    let parts =
        [("COMMAND", None, "print 1"), ("UPLOAD", None, "t,param:f"), ("f", Some("f"), "1"), ("PHASE", None, "RUN")];
    let made = daemon.client().send("POST", LIST, &[BOUNDARY], multipart(&parts)).await;
    let (_, id) = job_of(&made);
    reaches(&daemon, &id, "COMPLETED").await;
    assert_eq!(status(&daemon, &format!("/{id}/parameters/f")).await, 200);
    posted(&daemon, &format!("/{id}/destruction"), "DESTRUCTION=2000-01-01").await;
    daemon.clock.advance(Duration::from_secs(20));
    let other = create(&daemon, "COMMAND=print+1").await;
    posted(&daemon, &format!("/{other}/destruction"), "DESTRUCTION=2100-01-01").await;
    let archived = reaches(&daemon, &id, "ARCHIVED").await;
    let shown = &archived.child("uws:parameters").children;
    let ids: Vec<_> = shown.iter().filter_map(|parameter| parameter.attribute("id")).collect();
    assert_eq!(ids, ["COMMAND", "REPLICAS", "UPLOAD"]);
    // At once, not only when the file itself is gone.
    assert_eq!(status(&daemon, &format!("/{id}/parameters/f")).await, 404);
    assert_eq!(scalar(&daemon, &format!("/{id}/parameters/upload")).await, "t,param:f");
    eventually("the file to go", || async { kept(&daemon).is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn a_prefetch_tells_how_it_goes_and_how_it_ended() {
    let daemon = with_socket(Bed::new()).start().await;
    let ask = async |what: &str| operator(&daemon).send("POST", &format!("/admin/prefetch?what={what}"), &[], "").await;
    let answer = ask("ghcr.io/lsst/scipipe:w_1").await;
    assert_eq!(answer.text(), "{\"done\":\"ghcr.io/lsst/scipipe:w_1 was pulled (sha256:fake)\"}\n");
    assert_eq!(daemon.engine.images.names(), ["ghcr.io/lsst/scipipe:w_1"]);
    assert_eq!(ask("ghcr.io/lsst/scipipe:w_1").await.text().lines().count(), 1, "again: it may have changed");
    let failed = ask("missing").await;
    assert_eq!(failed.text(), "{\"failed\":\"image missing is not to be had: no such image\"}\n");
    assert_eq!(ask("https://host/x.git").await.text(), "{\"done\":\"all of https://host/x.git is on this host\"}\n");
    assert_eq!(ask("").await.status, 400);
    assert_eq!(daemon.client().send("POST", "/admin/prefetch?what=debian", &[], "").await.status, 404);
}
