//! Changing a job: phase, limits, parameters, deletion (UWS 1.1 §2.2.3).

use std::time::Duration;

use crate::bed::{Bed, eventually};
use crate::client::Answer;
use crate::uws::{LIST, ROOT, create, document, ended, job, location, post, posted, reaches, scalar, status};
use crate::uws_uploads::{BOUNDARY, multipart};

fn is_refused(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    assert!(answer.header("content-type").starts_with("text/plain"), "{what}");
    assert!(!answer.text().is_empty() && !answer.text().contains('\n'), "{what}: {}", answer.text());
}

#[tokio::test]
async fn run_queues_a_pending_job_before_the_answer_and_is_refused_later() {
    let daemon = Bed::without_runs().start().await;
    let id = create(&daemon, "COMMAND=print+1").await;
    let path = format!("/{id}/phase");
    assert_eq!(posted(&daemon, &path, "PHASE=RUN").await, format!("{ROOT}/{id}"));
    assert_eq!(scalar(&daemon, &path).await, "QUEUED");
    is_refused(&post(&daemon, &path, "PHASE=RUN").await, 403, "RUN of a queued job");
    let empty = create(&daemon, "").await;
    is_refused(&post(&daemon, &format!("/{empty}/phase"), "PHASE=RUN").await, 400, "RUN without a command");
    assert_eq!(scalar(&daemon, &format!("/{empty}/phase")).await, "PENDING");
}

#[tokio::test]
async fn abort_ends_a_job_in_every_phase_before_the_end_and_twice_is_once() {
    let daemon = Bed::new().start().await;
    let pending = create(&daemon, "COMMAND=print+1").await;
    let path = format!("/{pending}/phase");
    assert_eq!(posted(&daemon, &path, "phase=abort").await, format!("{ROOT}/{pending}"));
    let aborted = job(&daemon, &pending).await;
    assert_eq!(aborted.value("uws:phase"), "ABORTED");
    assert!(!aborted.is_nil("uws:endTime") && aborted.is_nil("uws:startTime"));
    assert!(aborted.find("uws:errorSummary").is_none());
    posted(&daemon, &path, "PHASE=ABORT").await;
    is_refused(&post(&daemon, &path, "PHASE=RUN").await, 403, "RUN of an aborted job");
    let running = create(&daemon, "COMMAND=print+1%3Bhang&PHASE=RUN").await;
    reaches(&daemon, &running, "EXECUTING").await;
    posted(&daemon, &format!("/{running}/phase"), "PHASE=ABORT").await;
    let stopped = reaches(&daemon, &running, "ABORTED").await;
    assert_eq!(stopped.child("uws:jobInfo").value("reason"), "aborted");
    assert_eq!(scalar(&daemon, &format!("/{running}/results/stdout")).await, "1\n", "results so far stay");
    for phase in ["COMPLETED", "ERROR"] {
        let command = if phase == "ERROR" { "exit 1" } else { "print 1" };
        let (id, _) = ended(&daemon, command, phase).await;
        is_refused(&post(&daemon, &format!("/{id}/phase"), "PHASE=ABORT").await, 403, phase);
        assert_eq!(scalar(&daemon, &format!("/{id}/phase")).await, phase);
    }
}

#[tokio::test]
async fn a_word_that_is_no_change_of_phase_is_400_and_changes_nothing() {
    let daemon = Bed::without_runs().start().await;
    let id = create(&daemon, "COMMAND=print+1").await;
    for form in ["PHASE=JUMP", "PHASE=", "", "PHASE=QUEUED", "PHASE=RUN&PHASE=RUN", "RUN", "PHASE=%ff"] {
        is_refused(&post(&daemon, &format!("/{id}/phase"), form).await, 400, form);
    }
    for form in ["", "PHASE=RUN", "ACTION=RUN", "ACTION=DELETE&ACTION=DELETE", "COMMAND=other"] {
        is_refused(&post(&daemon, &format!("/{id}"), form).await, 400, form);
    }
    let astray = post(&daemon, &format!("/{id}"), "PHASE=ABORT").await;
    assert!(astray.text().contains(&format!("PHASE is posted to {ROOT}/{id}/phase")), "{}", astray.text());
    let job = job(&daemon, &id).await;
    assert_eq!((job.value("uws:phase"), job.child("uws:parameters").children[0].text.as_str()), ("PENDING", "print 1"));
}

#[tokio::test]
async fn limits_are_clamped_and_not_refused() {
    let mut bed = Bed::without_runs();
    let service = bed.config.services.get_mut("ocps").expect("the service");
    service.max_execution_duration = Some(Duration::from_secs(7200));
    service.max_destruction = Some(Duration::from_secs(86_400));
    let daemon = bed.start().await;
    let id = create(&daemon, "COMMAND=print+1&EXECUTIONDURATION=99999999999999999999999").await;
    let (duration, destruction) = (format!("/{id}/executionduration"), format!("/{id}/destruction"));
    assert_eq!(scalar(&daemon, &duration).await, "7200");
    for (asked, expected) in [("60", "60"), ("7201", "7200"), ("0", "7200"), ("1", "1")] {
        let form = format!("EXECUTIONDURATION={asked}");
        assert_eq!(posted(&daemon, &duration, &form).await, format!("{ROOT}/{id}"));
        assert_eq!(scalar(&daemon, &duration).await, expected, "{asked}");
        assert_eq!(job(&daemon, &id).await.value("uws:executionDuration"), expected);
    }
    let created = job(&daemon, &id).await.value("uws:creationTime").to_owned();
    for (asked, is_soon) in [("2999-01-01T00:00:00Z", false), ("1999-01-01", true), ("", false)] {
        assert_eq!(posted(&daemon, &destruction, &format!("DESTRUCTION={asked}")).await, format!("{ROOT}/{id}"));
        let set = scalar(&daemon, &destruction).await;
        assert_eq!(job(&daemon, &id).await.value("uws:destruction"), set, "the same text in both");
        assert!(set > created && set.as_str() < "2999", "{set}");
        let same_day = set[..10] == created[..10];
        assert!(same_day || !is_soon || created[11..16] == *"23:59", "{asked} became {set}");
    }
    for form in [
        "",
        "EXECUTIONDURATION=",
        "EXECUTIONDURATION=-1",
        "EXECUTIONDURATION=1h",
        "EXECUTIONDURATION=1&EXECUTIONDURATION=2",
    ] {
        is_refused(&post(&daemon, &duration, form).await, 400, form);
    }
    for form in ["", "DESTRUCTION=never", "DESTRUCTION=2031-02-30", "DESTRUCTION=2031-01-01T00:00:00-03:00"] {
        is_refused(&post(&daemon, &destruction, form).await, 400, form);
    }
    assert_eq!(scalar(&daemon, &duration).await, "1");
}

#[tokio::test]
async fn a_duration_that_is_changed_while_the_job_is_prepared_holds() {
    let daemon = Bed::new().start().await;
    daemon.engine.set_silent(true);
    let id = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    eventually("the preparation to have begun", || async {
        (daemon.job(&id).await["jobInfo"]["stage"] == "preparing").then_some(())
    })
    .await;
    assert_eq!(post(&daemon, &format!("/{id}/executionduration"), "EXECUTIONDURATION=1").await.status, 303);
    daemon.engine.set_silent(false);
    let ended = reaches(&daemon, &id, "ABORTED").await;
    assert!(ended.child("uws:errorSummary").value("uws:message").contains("execution limit of 1 s"));
}

#[tokio::test]
async fn the_duration_is_settled_once_it_executes_and_the_destruction_is_not() {
    let daemon = Bed::new().start().await;
    let id = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    reaches(&daemon, &id, "EXECUTING").await;
    is_refused(&post(&daemon, &format!("/{id}/executionduration"), "EXECUTIONDURATION=5").await, 403, "too late");
    posted(&daemon, &format!("/{id}/destruction"), "DESTRUCTION=2998-01-01T00:00:00.5Z").await;
    assert_eq!(scalar(&daemon, &format!("/{id}/destruction")).await, "2998-01-01T00:00:00.500Z");
}

#[tokio::test]
async fn a_duration_without_limit_is_0_and_a_destruction_that_never_comes_is_nil() {
    let mut bed = Bed::without_runs();
    let service = bed.config.services.get_mut("ocps").expect("the service");
    service.execution_duration = None;
    service.destruction = None;
    let daemon = bed.start().await;
    let id = create(&daemon, "COMMAND=print+1").await;
    let job = job(&daemon, &id).await;
    assert_eq!(job.value("uws:executionDuration"), "0");
    assert!(job.is_nil("uws:destruction"));
    for empty in ["destruction", "quote", "owner"] {
        assert_eq!(scalar(&daemon, &format!("/{id}/{empty}")).await, "", "{empty}");
    }
}

#[tokio::test]
async fn parameters_can_be_posted_while_pending_and_not_later() {
    let daemon = Bed::without_runs().start().await;
    let id = create(&daemon, "LANG=a&lang=b&ENVIRONMENT=A%3D1&KEPT=1").await;
    let path = format!("/{id}/parameters");
    let form = "COMMAND=print+1&LANG=c&ENVIRONMENT=B%3D2&NEW=n&RUNID=r&EXECUTIONDURATION=7&DESTRUCTION=2999-01-01";
    assert_eq!(posted(&daemon, &path, form).await, format!("{ROOT}/{id}"));
    let job = job(&daemon, &id).await;
    let shown: Vec<(&str, &str)> = job
        .child("uws:parameters")
        .children
        .iter()
        .map(|parameter| (parameter.attribute("id").expect("an id"), parameter.text.as_str()))
        .collect();
    let expected = [
        ("COMMAND", "print 1"),
        ("ENVIRONMENT", "A=1"),
        ("ENVIRONMENT", "B=2"),
        ("REPLICAS", "1"),
        ("KEPT", "1"),
        ("LANG", "c"),
        ("NEW", "n"),
    ];
    assert_eq!(shown, expected);
    assert_eq!((job.value("uws:runId"), job.value("uws:executionDuration")), ("r", "7"));
    assert_eq!(document(&daemon, &path).await.children, job.child("uws:parameters").children);
    assert_eq!(scalar(&daemon, &format!("{path}/environment")).await, "A=1\nB=2");
    for (below, expected) in [("/ENVIRONMENT?VALUE=1", 200), ("/ENVIRONMENT?VALUE=3", 404), ("/NOTHING", 404)] {
        assert_eq!(status(&daemon, &format!("{path}{below}")).await, expected, "{below}");
    }
    for form in ["PHASE=RUN", "REPLICAS=9", "COMMAND=a&COMMAND=b", "ENVIRONMENT=x", "RUNID=a&RUNID=b"] {
        is_refused(&post(&daemon, &path, form).await, 400, form);
    }
    posted(&daemon, &format!("/{id}/phase"), "PHASE=RUN").await;
    is_refused(&post(&daemon, &path, "COMMAND=other").await, 403, "too late");
    is_refused(&post(&daemon, &path, "RUNID=other").await, 403, "too late");
    assert_eq!(scalar(&daemon, &format!("{path}/COMMAND")).await, "print 1");
}

#[tokio::test]
async fn a_deleted_job_is_404_at_once_whoever_deleted_it() {
    let daemon = Bed::new().start().await;
    let client = daemon.client();
    for (command, phase, is_json) in
        [("print 1", "COMPLETED", false), ("stubborn", "EXECUTING", false), ("stubborn", "EXECUTING", true)]
    {
        let (id, _) = ended(&daemon, command, phase).await;
        let answer = if is_json {
            client.send("DELETE", &format!("/api/v1/job/{id}"), &[], "").await
        } else {
            let answer = client.send("DELETE", &format!("{LIST}/{id}"), &[], "").await;
            assert_eq!(location(&answer, "DELETE"), ROOT);
            answer
        };
        assert!(matches!(answer.status, 200 | 303), "{}", answer.text());
        for below in ["", "/phase", "/results", "/results/stdout", "/parameters", "/owner"] {
            assert_eq!(status(&daemon, &format!("/{id}{below}")).await, 404, "{below}");
        }
        assert_eq!(client.send("DELETE", &format!("{LIST}/{id}"), &[], "").await.status, 404, "a second time");
        assert_eq!(post(&daemon, &format!("/{id}/phase"), "PHASE=ABORT").await.status, 404);
        if phase == "EXECUTING" {
            assert_eq!(daemon.job(&id).await["phase"], "executing", "the other API tells the truth");
        }
    }
    assert!(document(&daemon, "").await.children.is_empty());
}

#[tokio::test]
async fn another_method_is_405_with_allow_but_a_missing_job_is_404_first() {
    let daemon = Bed::new().start().await;
    let client = daemon.client();
    let (id, _) = ended(&daemon, "write result x", "COMPLETED").await;
    let whole = "GET, HEAD, POST, DELETE, OPTIONS";
    let posted = "GET, HEAD, POST, OPTIONS";
    let read = "GET, HEAD, OPTIONS";
    for (below, allowed) in [
        (String::new(), posted),
        ("/".to_owned(), posted),
        (format!("/{id}"), whole),
        (format!("/{id}/"), whole),
        (format!("/{id}/phase"), posted),
        (format!("/{id}/executionduration"), posted),
        (format!("/{id}/destruction"), posted),
        (format!("/{id}/parameters"), posted),
        (format!("/{id}/quote"), read),
        (format!("/{id}/owner"), read),
        (format!("/{id}/error"), read),
        (format!("/{id}/results"), read),
        (format!("/{id}/results/result"), read),
        (format!("/{id}/parameters/COMMAND"), read),
    ] {
        let path = format!("{LIST}{below}");
        for method in ["PUT", "PATCH", "DELETE", "POST"] {
            if allowed.contains(method) {
                continue;
            }
            let answer = client.send(method, &path, &[], "").await;
            assert_eq!((answer.status, answer.header("allow")), (405, allowed), "{method} {below}");
        }
        let options = client.send("OPTIONS", &path, &[], "").await;
        assert_eq!((options.status, options.header("allow")), (204, allowed), "{below}");
        let get = client.get(&path).await;
        let head = client.send("HEAD", &path, &[], "").await;
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{below}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{below}");
    }
    let none = "0".repeat(32);
    for (method, below) in
        [("PUT", ""), ("DELETE", "/phase"), ("OPTIONS", ""), ("GET", ""), ("POST", "/phase"), ("DELETE", "")]
    {
        for id in [none.as_str(), "nonsense", "%ff"] {
            assert_eq!(client.send(method, &format!("{LIST}/{id}{below}"), &[], "").await.status, 404, "{method}");
        }
    }
    for below in ["/runid", "/phase/x", "/results/nothing", "/results/..%2Flog%2Fstdout", "/parameters/NOTHING"] {
        assert_eq!(status(&daemon, &format!("/{id}{below}")).await, 404, "{below}");
    }
}

#[tokio::test]
async fn what_the_server_knows_itself_cannot_be_set() {
    let daemon = Bed::without_runs().start().await;
    let form = "COMMAND=print+1&CREATIONTIME=2000-01-01&STARTTIME=2000-01-01&ENDTIME=2000-01-01&OWNERID=x&JOBID=x";
    let id = create(&daemon, form).await;
    let job = job(&daemon, &id).await;
    assert!(job.value("uws:creationTime") > "2026", "{}", job.value("uws:creationTime"));
    assert_eq!(job.value("uws:jobId"), id);
    assert!(["uws:startTime", "uws:endTime", "uws:ownerId"].iter().all(|name| job.is_nil(name)));
}

#[tokio::test]
async fn while_a_job_executes_its_start_is_told_and_no_end() {
    let daemon = Bed::new().start().await;
    let id = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    let job = reaches(&daemon, &id, "EXECUTING").await;
    assert!(job.value("uws:startTime").ends_with('Z') && job.is_nil("uws:endTime"));
    assert!(job.value("uws:startTime") >= job.value("uws:creationTime"));
}

#[tokio::test]
async fn after_its_destruction_time_every_url_of_a_job_is_404() {
    let daemon = Bed::new().start().await;
    let (id, _) = ended(&daemon, "write a 1", "COMPLETED").await;
    posted(&daemon, &format!("/{id}/destruction"), "DESTRUCTION=2000-01-01").await;
    daemon.clock.advance(Duration::from_secs(20));
    // Anything wakes the one who looks.
    let other = create(&daemon, "COMMAND=print+1").await;
    posted(&daemon, &format!("/{other}/destruction"), "DESTRUCTION=2100-01-01").await;
    eventually("the job to go", || async { (status(&daemon, &format!("/{id}")).await == 404).then_some(()) }).await;
    for part in ["/phase", "/results", "/results/a", "/results/stdout", "/parameters", "/error"] {
        assert_eq!(status(&daemon, &format!("/{id}{part}")).await, 404, "{part}");
    }
}

#[tokio::test]
async fn controls_are_read_from_multipart_bodies_too() {
    let daemon = Bed::new().start().await;
    let id = create(&daemon, "COMMAND=hang").await;
    let send = async |below: &str, name: &'static str, value: &'static str| {
        let body = multipart(&[(name, None, value)]);
        let answer = daemon.client().send("POST", &format!("{LIST}/{id}{below}"), &[BOUNDARY], body).await;
        assert_eq!(answer.status, 303, "{name}: {}", answer.text());
    };
    send("/executionduration", "EXECUTIONDURATION", "17").await;
    send("/destruction", "DESTRUCTION", "2100-01-01").await;
    assert_eq!(scalar(&daemon, &format!("/{id}/executionduration")).await, "17");
    send("/phase", "PHASE", "RUN").await;
    reaches(&daemon, &id, "EXECUTING").await;
    send("", "ACTION", "DELETE").await;
    assert_eq!(status(&daemon, &format!("/{id}")).await, 404);
}

#[tokio::test]
async fn parameters_and_controls_of_one_request_are_set_together_or_not_at_all() {
    let daemon = Bed::without_runs().start().await;
    for round in 0..20 {
        let id = create(&daemon, "COMMAND=print+1&RUNID=before&EXECUTIONDURATION=11").await;
        let (parameters, phase) = (format!("/{id}/parameters"), format!("/{id}/phase"));
        let change = post(&daemon, &parameters, "COMMAND=print+2&RUNID=after&EXECUTIONDURATION=22");
        let (changed, run) = tokio::join!(change, post(&daemon, &phase, "PHASE=RUN"));
        assert_eq!(run.status, 303);
        let job = job(&daemon, &id).await;
        let now = (job.value("uws:runId"), job.value("uws:executionDuration"));
        let command = scalar(&daemon, &format!("{parameters}/command")).await;
        match changed.status {
            303 => assert_eq!((now, command.as_str()), (("after", "22"), "print 2"), "round {round}"),
            403 => assert_eq!((now, command.as_str()), (("before", "11"), "print 1"), "round {round}"),
            other => panic!("{other}: {}", changed.text()),
        }
    }
}
