//! Results and errors (UWS 1.1 §2.1.7, §2.1.10; contract §5 and §6).

use serde_json::json;

use crate::bed::Bed;
use crate::uws::{Element, LIST, ROOT, create, document, ended, job, reaches, scalar, status};

fn ids(list: &Element) -> Vec<&str> {
    list.children.iter().map(|result| result.attribute("id").expect("an id")).collect()
}

#[tokio::test]
async fn every_result_is_listed_with_its_link_and_reached_by_it() {
    let daemon = Bed::new().start().await;
    let command = "write a.txt alpha;write sub/ä b.fits beta;print out;complain err;write page.html <script>";
    let (id, job) = ended(&daemon, command, "COMPLETED").await;
    let list = document(&daemon, &format!("/{id}/results")).await;
    assert_eq!((list.name.as_str(), list.attribute("version")), ("uws:results", None));
    assert_eq!(list.children, job.child("uws:results").children);
    assert_eq!(ids(&list), ["a.txt", "page.html", "sub/ä", "stdout", "stderr"]);
    let info = job.child("uws:jobInfo");
    assert_eq!((info.value("stdoutBytes"), info.value("stderrBytes")), ("4", "4"));
    let base = format!("{ROOT}/{id}/results");
    let contents = ["alpha", "<script>", "b.fits beta", "out\n", "err\n"];
    for (result, content) in list.children.iter().zip(contents) {
        let href = result.attribute("xlink:href").expect("a link");
        assert!(href.starts_with(&base) && href.is_ascii(), "{href}");
        let answer = daemon.client().get(href.strip_prefix("http://localhost").expect("ours")).await;
        assert_eq!((answer.status, answer.text()), (200, content), "{href}");
        let size = result.attribute("size").map(|size| size.parse::<usize>().expect("a number"));
        assert_eq!(size, Some(content.len()), "{href}");
        let kind = result.attribute("mime-type").expect("a type");
        assert!(answer.header("content-type").starts_with(kind), "{href}");
        assert_eq!(result.attribute("xlink:type"), Some("simple"));
    }
    assert_eq!(list.children[0].attribute("size"), Some("5"));
    let page = daemon.client().get(&format!("{LIST}/{id}/results/page.html")).await;
    assert!(page.header("content-disposition").starts_with("attachment"));
    let part = daemon.client().send("GET", &format!("{LIST}/{id}/results/a.txt"), &[("range", "bytes=1-2")], "").await;
    assert_eq!((part.status, part.text()), (206, "lp"));
    assert_eq!(status(&daemon, &format!("/{id}/results/sub%2F%C3%A4")).await, 200);
    for away in ["nothing", "sub", "../log/stdout", "..%2Flog%2Fstdout", "%2Fetc%2Fpasswd", "stdout/x", "1/stdout", ""]
    {
        let found = status(&daemon, &format!("/{id}/results/{away}")).await;
        assert_eq!(found, if away.is_empty() { 200 } else { 404 }, "{away}");
    }
}

#[tokio::test]
async fn output_files_named_like_a_log_keep_unique_ids() {
    let daemon = Bed::new().start().await;
    let command = "write stdout mine;write out/stdout deep;write out/x plain;print log";
    let (id, job) = ended(&daemon, command, "COMPLETED").await;
    assert_eq!(ids(job.child("uws:results")), ["out/out/stdout", "out/x", "out/stdout", "stdout", "stderr"]);
    for (result, content) in
        [("stdout", "log\n"), ("out/stdout", "mine"), ("out/out/stdout", "deep"), ("out/x", "plain")]
    {
        let answer = daemon.client().get(&format!("{LIST}/{id}/results/{result}")).await;
        assert_eq!((answer.status, answer.text()), (200, content), "{result}");
    }
}

#[tokio::test]
async fn each_replica_has_its_own_logs() {
    let daemon = Bed::new().start().await;
    let id = create(&daemon, "COMMAND=print+me&REPLICAS=2&PHASE=RUN").await;
    let job = reaches(&daemon, &id, "COMPLETED").await;
    assert_eq!(ids(job.child("uws:results")), ["stdout", "stderr", "1/stdout", "1/stderr"]);
    for log in ["stdout", "1/stdout"] {
        assert_eq!(scalar(&daemon, &format!("/{id}/results/{log}")).await, "me\n");
    }
    assert_eq!(status(&daemon, &format!("/{id}/results/2/stdout")).await, 404);
}

#[tokio::test]
async fn the_main_result_is_found_where_no_file_has_its_name() {
    let daemon = Bed::new().start().await;
    for (command, expected) in [
        ("write result.csv x;write a y", "result.csv"),
        ("write only.txt x", "only.txt"),
        ("write stdout x", "out/stdout"),
        ("write a x;write b y", "stdout"),
        ("print 1", "stdout"),
        ("write sub/result x;write sub/result.txt y", "stdout"),
        ("exit 3", "stdout"),
    ] {
        let phase = if command.starts_with("exit") { "ERROR" } else { "COMPLETED" };
        let (id, _) = ended(&daemon, command, phase).await;
        let answer = daemon.client().get(&format!("{LIST}/{id}/results/result")).await;
        let location = answer.header("location");
        assert_eq!((answer.status, location), (303, format!("{ROOT}/{id}/results/{expected}").as_str()), "{command}");
        let there = daemon.client().get(location.strip_prefix("http://localhost").expect("ours")).await;
        assert_eq!(there.status, 200, "{command}");
    }
    let (id, _) = ended(&daemon, "write result itself;write result.csv x", "COMPLETED").await;
    let answer = daemon.client().get(&format!("{LIST}/{id}/results/result")).await;
    assert_eq!((answer.status, answer.text()), (200, "itself"));
}

#[tokio::test]
async fn before_the_end_the_list_is_empty_and_the_log_can_be_followed() {
    let daemon = Bed::new().start().await;
    let pending = create(&daemon, "COMMAND=print+1").await;
    let running = create(&daemon, "COMMAND=print+so+far%3Bhang&PHASE=RUN").await;
    reaches(&daemon, &running, "EXECUTING").await;
    for id in [&pending, &running] {
        let list = document(&daemon, &format!("/{id}/results")).await;
        assert!(list.children.is_empty());
        assert_eq!(status(&daemon, &format!("/{id}/results/result")).await, 404);
    }
    assert_eq!(status(&daemon, &format!("/{pending}/results/stdout")).await, 404);
    crate::bed::eventually("the log to come", || async {
        (scalar(&daemon, &format!("/{running}/results/stdout")).await == "so far\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_rest_of_a_long_log_is_announced_beside_it() {
    let daemon = Bed::new().start().await;
    let id = create(&daemon, "COMMAND=print+first%3Bhang&PHASE=RUN").await;
    reaches(&daemon, &id, "EXECUTING").await;
    let told = || async {
        let log = daemon.client().get(&format!("{LIST}/{id}/results/stdout")).await;
        (log.text().to_owned(), log.header("log-rest").to_owned())
    };
    crate::bed::eventually("the log to come", || async { (told().await.0 == "first\n").then_some(()) }).await;
    assert_eq!(told().await.1, "");
    let rest = daemon.config.server.jobs_dir.join(&id).join("log/stdout.end");
    std::fs::write(&rest, "last").expect("written");
    assert_eq!(told().await, ("first\n".to_owned(), "shown when the job has ended".to_owned()));
    std::fs::remove_file(&rest).expect("removed");
    assert_eq!(told().await.1, "");
    // The host went down before it was put behind the beginning.
    let (id, _) = ended(&daemon, "print first", "COMPLETED").await;
    std::fs::write(daemon.config.server.jobs_dir.join(&id).join("log/stdout.end"), "last").expect("written");
    let log = daemon.client().get(&format!("{LIST}/{id}/results/stdout")).await;
    assert_eq!((log.text(), log.header("log-rest")), ("first\n", "lost"));
}

#[tokio::test]
async fn a_failed_job_answers_200_and_tells_why_in_summary_and_error() {
    let daemon = Bed::new().start().await;
    let (id, failed) = ended(&daemon, "complain it <broke>;exit 3", "ERROR").await;
    let summary = failed.child("uws:errorSummary");
    assert_eq!((summary.attribute("type"), summary.attribute("hasDetail")), (Some("fatal"), Some("true")));
    assert_eq!(summary.names(), ["uws:message"]);
    let info = failed.child("uws:jobInfo");
    assert_eq!((info.value("reason"), info.value("exitCode"), info.value("host")), ("nonzero", "3", "testhost"));
    assert_eq!((info.value("peakMemory"), info.value("peakMemorySampled")), ("1048576", "false"));
    let (_, sampled) = ended(&daemon, "print sampled;exit 3", "ERROR").await;
    assert_eq!(sampled.child("uws:jobInfo").value("peakMemorySampled"), "true");
    let error = scalar(&daemon, &format!("/{id}/error")).await;
    assert_eq!(error.lines().next(), Some(summary.value("uws:message")));
    assert!(error.contains("\n\nerrorType: fatal\n"), "{error}");
    assert!(error.contains("exitCode: 3") && error.contains("it <broke>"), "{error}");
    assert!(error.contains(&format!("stderr: {ROOT}/{id}/results/stderr")), "{error}");
    let (fine, completed) = ended(&daemon, "print 1", "COMPLETED").await;
    assert!(completed.find("uws:errorSummary").is_none());
    assert_eq!(status(&daemon, &format!("/{fine}/error")).await, 404);
    let pending = create(&daemon, "COMMAND=x").await;
    assert_eq!(status(&daemon, &format!("/{pending}/error")).await, 404);
    assert!(job(&daemon, &pending).await.find("uws:jobInfo").is_none());
}

#[tokio::test]
async fn a_limit_that_ends_a_job_is_told_with_aborted() {
    let daemon = Bed::new().start().await;
    let id = create(&daemon, "COMMAND=write+a+x;print+1;hang&PHASE=RUN&EXECUTIONDURATION=1").await;
    let job = reaches(&daemon, &id, "ABORTED").await;
    assert_eq!(job.child("uws:jobInfo").value("reason"), "timeout");
    for (result, content) in [("a", "x"), ("stdout", "1\n")] {
        let answer = daemon.client().get(&format!("{LIST}/{id}/results/{result}")).await;
        assert_eq!((answer.status, answer.text()), (200, content), "{result}: what was there stays");
    }
    assert_eq!(job.child("uws:errorSummary").attribute("type"), Some("fatal"));
    assert_eq!(status(&daemon, &format!("/{id}/error")).await, 200);
    let shown =
        daemon.client().send("GET", &format!("{LIST}/{id}"), &[("accept", "application/json")], "").await.json();
    assert_eq!(shown["errorSummary"]["type"], json!("fatal"));
}

#[tokio::test]
async fn of_a_job_that_never_started_the_message_is_the_whole_error() {
    let mut bed = Bed::new();
    bed.config.services.get_mut("ocps").expect("there").image = "missing".to_owned();
    let daemon = bed.start().await;
    let id = create(&daemon, "COMMAND=print+1&PHASE=RUN").await;
    let job = reaches(&daemon, &id, "ERROR").await;
    let summary = job.child("uws:errorSummary");
    assert_eq!(summary.attribute("hasDetail"), Some("false"));
    let error = daemon.client().get(&format!("{LIST}/{id}/error")).await;
    assert_eq!((error.status, error.text()), (200, summary.value("uws:message")));
}
