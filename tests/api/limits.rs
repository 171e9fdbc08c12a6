//! Limits that are the operator's: of the wait, of the files, of the image.

use std::time::Duration;

use uwsd::config::Service;
use uwsd::domain::ImagePattern;

use crate::bed::Bed;
use crate::operator::{order, with_socket};
use crate::uws::{create, post, posted, reaches, status};

fn with(change: impl FnOnce(&mut Service)) -> Bed {
    let mut bed = with_socket(Bed::new());
    change(bed.config.services.get_mut("ocps").expect("there"));
    bed
}

#[tokio::test]
async fn a_job_that_has_waited_too_long_is_given_up() {
    let mut bed = with(|service| service.queue_timeout = Some(Duration::from_secs(4)));
    bed.config.queue.max_running = 1;
    let daemon = bed.start().await;
    let running = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    reaches(&daemon, &running, "EXECUTING").await;
    let waiting = create(&daemon, "COMMAND=print+1&PHASE=RUN").await;
    let [pending, held] =
        [create(&daemon, "COMMAND=print+1").await, create(&daemon, "COMMAND=print+1&PHASE=RUN").await];
    assert_eq!(order(&daemon, &held, "hold").await.status, 200);
    let ended = reaches(&daemon, &waiting, "ERROR").await;
    assert_eq!(ended.child("uws:jobInfo").value("reason"), "queue-timeout");
    let summary = ended.child("uws:errorSummary");
    assert_eq!(summary.attribute("type"), Some("transient"));
    let sentence = "it waited in the queue for 4 s, the longest that its service allows";
    assert_eq!(summary.value("uws:message"), sentence);
    // One that runs, was not run, or is held, does not wait; released it waits anew.
    for (id, phase) in [(&running, "EXECUTING"), (&pending, "PENDING"), (&held, "HELD")] {
        reaches(&daemon, id, phase).await;
    }
    assert_eq!(order(&daemon, &held, "release").await.status, 200);
    reaches(&daemon, &held, "ERROR").await;
    posted(&daemon, &format!("/{running}/phase"), "PHASE=ABORT").await;
}

#[tokio::test]
async fn a_job_whose_files_take_too_much_is_ended_and_keeps_what_it_wrote() {
    let daemon = with(|service| {
        service.max_output = Some(10_000);
        service.kill_grace = Duration::from_secs(3600);
    });
    let daemon = daemon.start().await;
    let small = create(&daemon, "COMMAND=write+a+1;hang&PHASE=RUN").await;
    let large = create(&daemon, &format!("COMMAND=write+a+{};hang&PHASE=RUN", "x".repeat(20_000))).await;
    let ended = reaches(&daemon, &large, "ABORTED").await;
    assert_eq!(ended.child("uws:jobInfo").value("reason"), "output-too-large");
    let summary = ended.child("uws:errorSummary");
    assert_eq!(summary.attribute("type"), Some("fatal"));
    let message = summary.value("uws:message");
    assert!(message.starts_with("its files took ") && message.ends_with(" and may take 9.7 KiB"), "{message}");
    assert_eq!(status(&daemon, &format!("/{large}/results/a")).await, 200);
    // One that does not heed the request has no time to fill the disk.
    let stubborn = create(&daemon, &format!("COMMAND=write+a+{};stubborn&PHASE=RUN", "x".repeat(20_000))).await;
    let ended = reaches(&daemon, &stubborn, "ABORTED").await;
    assert_eq!(ended.child("uws:jobInfo").value("reason"), "output-too-large");
    reaches(&daemon, &small, "EXECUTING").await;
}

#[tokio::test]
async fn a_job_may_ask_for_another_tag_of_the_image_and_for_no_other_image() {
    let daemon = with(|service| {
        service.image = "host:5000/lsst/scipipe:d_latest".to_owned();
        service.allowed_images = vec![ImagePattern::new("host:5000/lsst/scipipe:w_*")];
    })
    .start()
    .await;
    for (form, image) in [
        ("ENVIRONMENT=UWS_JOB_IMAGE_TAG=w_2026_40", "host:5000/lsst/scipipe:w_2026_40"),
        ("ENVIRONMENT=UWS_JOB_IMAGE_TAG=", "host:5000/lsst/scipipe:d_latest"),
        ("ENVIRONMENT=IMAGE_TAG=w_2026_40", "host:5000/lsst/scipipe:d_latest"),
    ] {
        let id = create(&daemon, &format!("COMMAND=print+1&PHASE=RUN&{form}")).await;
        let job = reaches(&daemon, &id, "COMPLETED").await;
        assert_eq!(job.child("uws:jobInfo").value("image"), image);
        assert_eq!(job.child("uws:jobInfo").value("memoryLimit"), "1073741824");
        assert_eq!(job.child("uws:jobInfo").value("cpuLimit"), "1");
        assert_eq!(job.child("uws:jobInfo").value("engine"), "fake");
    }
    for (tag, sentence) in [
        ("d_1", "UWS_JOB_IMAGE_TAG asks for the image host:5000/lsst/scipipe:d_1, which this service does not run"),
        ("../x", "UWS_JOB_IMAGE_TAG is \"../x\"; give a tag of letters, digits, '_', '.' and '-'"),
    ] {
        let refused = post(&daemon, "", &format!("COMMAND=print+1&ENVIRONMENT=UWS_JOB_IMAGE_TAG={tag}")).await;
        assert_eq!((refused.status, refused.text()), (400, sentence));
    }
    assert_eq!(daemon.listed().await, 3);
}

#[tokio::test]
async fn a_service_that_takes_one_job_at_a_time_refuses_others_meanwhile() {
    let daemon = with(|service| service.one_at_a_time = true).start().await;
    let pending = create(&daemon, "COMMAND=print+1").await;
    let many = (0..8).map(|_| post(&daemon, "", "COMMAND=hang&PHASE=RUN"));
    let answers = futures_util::future::join_all(many).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409, 409, 409, 409, 409, 409, 409], "one of all at once");
    let made = answers.iter().find(|answer| answer.status == 303).expect("one").header("location").to_owned();
    let running = made.rsplit('/').next().expect("an id").to_owned();
    let sentence = format!("job {running} is on its way, and this service takes one job at a time");
    let refused = post(&daemon, &format!("/{pending}/phase"), "PHASE=RUN").await;
    assert_eq!((refused.status, refused.text()), (409, sentence.as_str()));
    let json = daemon.put(&serde_json::json!({"command": "print 1"})).await;
    assert_eq!(json.status, 409, "{}", json.text());
    reaches(&daemon, &running, "EXECUTING").await;
    posted(&daemon, &format!("/{running}/phase"), "PHASE=ABORT").await;
    reaches(&daemon, &running, "ABORTED").await;
    posted(&daemon, &format!("/{pending}/phase"), "PHASE=RUN").await;
    reaches(&daemon, &pending, "COMPLETED").await;
}
