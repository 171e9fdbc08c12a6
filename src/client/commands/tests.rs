//! Every command against a scripted server.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use clap::Parser as _;
use serde_json::{Value, json};
use tokio::io::AsyncWrite;

use super::{Cli, Ending, Failure, Output, run};
use crate::client::scripted::{Answer, Seen, Server, answer};

const ID: &str = "0192f0c1a5b07c3d8e9f00112233aabb";

/// What a command came to.
struct Done {
    ending: Result<Ending, Failure>,
    out: String,
    err: String,
}

async fn uwsctl(server: &Server, arguments: &[&str]) -> Done {
    let arguments = [&["uwsctl", "--url", &server.url], arguments].concat();
    let cli = Cli::try_parse_from(arguments).expect("good usage");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let json = cli.json;
    let ending = run(cli, &mut Output { out: &mut out, err: &mut err, json }).await;
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Done { ending, out: text(out), err: text(err) }
}

fn job(phase: &str) -> Value {
    let result = |id: &str, size: Option<u64>| json!({"id": id, "href": format!("http://h/api/ocps/async/{ID}/results/{id}"), "size": size});
    json!({
        "version": "1.1", "jobId": ID, "runId": "7", "phase": phase, "creationTime": "2031-03-04T08:15:00.250Z",
        "parameters": [{"id": "COMMAND", "byReference": false, "value": "work"}],
        "results": [result("a.txt", Some(5)), result("sub/b.txt", Some(6)), result("stdout", Some(7))],
        "errorSummary": {"message": if phase == "ERROR" { "it exited with 3" } else { "" }},
        "jobInfo": {},
    })
}

/// What answers a change: where to look.
fn see_other(location: &str) -> Answer {
    let mut answer = answer(303, "");
    answer.headers_mut().insert("location", location.parse().expect("a header"));
    answer
}

fn made() -> Answer {
    see_other(&format!("http://h/api/ocps/async/{ID}"))
}

fn document(value: &Value) -> Answer {
    answer(200, value.to_string())
}

/// A log or result of which the client has the first `have` bytes.
fn file(seen: &Seen, content: &str) -> Answer {
    match &seen.range {
        None => answer(200, content.to_owned()),
        Some(range) => {
            let from: usize = range.trim_start_matches("bytes=").trim_end_matches('-').parse().expect("a number");
            if from < content.len() { answer(206, content[from..].to_owned()) } else { answer(416, "") }
        }
    }
}

#[tokio::test]
async fn submit_sends_the_job_and_prints_its_id_also_over_a_restart() {
    let server = Server::start(|before, seen| match before {
        0 | 2 => answer(503, "restarting"),
        1 => made(),
        _ if seen.line.starts_with("GET") => document(&job("QUEUED")),
        _ => answer(500, "no third time"),
    })
    .await;
    let options = "submit --run-id 7 --source https://h/x --ref main --replicas 2 --kill-grace 30s";
    let arguments: Vec<&str> = options.split(' ').chain(["-e", "A=b c", "ls", "a b"]).collect();
    let done = uwsctl(&server, &arguments).await;
    assert_eq!((done.ending.expect("done"), done.out), (Ending::Done, format!("{ID}\n")));
    let create = "POST /api/ocps/async";
    let read = format!("GET /api/ocps/async/{ID}");
    assert_eq!(server.lines(), [create, create, &read, &read]);
    let seen = server.seen();
    assert!(seen[0].key.is_some() && seen[0].key == seen[1].key, "sent twice it is one request");
    assert_eq!(
        seen[0].body,
        "PHASE=RUN&COMMAND=ls+%27a+b%27&RUNID=7&URL=https%3A%2F%2Fh%2Fx&COMMIT_REF=main&REPLICAS=2&KILL_GRACE=30&\
         ENVIRONMENT=A%3Db+c"
    );
}

#[tokio::test]
async fn a_service_of_its_own_parameters_needs_no_command() {
    let server = Server::start(|_, seen| {
        let is_new = seen.line.starts_with("POST");
        if is_new { see_other(&format!("http://h/api/cutout/async/{ID}")) } else { document(&job("QUEUED")) }
    })
    .await;
    let done = uwsctl(&server, &["--service", "cutout", "submit", "-p", "RA=1.5", "-p", "BAND=g"]).await;
    assert_eq!(done.out, format!("{ID}\n"));
    assert_eq!(server.lines()[0], "POST /api/cutout/async");
    assert_eq!(server.seen()[0].body, "PHASE=RUN&RA=1.5&BAND=g");
}

#[tokio::test]
async fn run_shows_both_logs_as_they_come_and_ends_as_the_job_did() {
    for (phase, ending) in [("COMPLETED", Ending::Done), ("ERROR", Ending::Error), ("ABORTED", Ending::Aborted)] {
        let server = Server::start(move |before, seen| match seen.line.rsplit('/').next() {
            Some("async") => made(),
            Some("stdout") if before < 5 => answer(404, ""),
            Some("stdout") if before < 8 => file(seen, "one\n"),
            Some("stdout") => file(seen, "one\ntwo\n"),
            Some("stderr") => file(seen, "oops\n"),
            _ if before == 5 => answer(503, "restarting"),
            _ if before < 9 => document(&job("EXECUTING")),
            _ => document(&job(phase)),
        })
        .await;
        let done = uwsctl(&server, &["run", "work"]).await;
        assert_eq!((done.ending.expect("done"), done.out.as_str()), (ending, "one\ntwo\n"));
        assert!(done.err.contains("oops\n") && done.err.matches("oops").count() == 1, "{}", done.err);
        assert_eq!(done.err.contains("ended in ERROR: it exited with 3"), phase == "ERROR", "{}", done.err);
    }
}

#[tokio::test]
async fn run_shows_the_logs_of_every_replica() {
    let server = Server::start(|_, seen| match seen.line.split(ID).nth(1) {
        _ if seen.line.starts_with("POST") => made(),
        Some("/results/stdout") => file(seen, "zero\n"),
        Some("/results/1/stdout") => file(seen, "one\n"),
        Some("/results/stderr" | "/results/1/stderr") => answer(200, ""),
        _ => document(&job("COMPLETED")),
    })
    .await;
    assert_eq!(uwsctl(&server, &["run", "--replicas", "2", "work"]).await.out, "zero\none\n");
    assert_eq!(uwsctl(&server, &["logs", "--replica", "1", ID]).await.out, "one\n");
}

#[tokio::test]
async fn logs_says_what_becomes_of_the_rest_of_a_long_one_beside_it() {
    let server = Server::start(|before, seen| match seen.line.ends_with("/stdout") {
        true if before < 3 => {
            let mut answer = file(seen, "first");
            answer.headers_mut().insert("log-rest", "shown when the job has ended".parse().expect("a header"));
            answer
        }
        true => file(seen, "firstlast"),
        false => document(&job(if before < 3 { "EXECUTING" } else { "COMPLETED" })),
    })
    .await;
    let done = uwsctl(&server, &["logs", ID]).await;
    let said = "uwsctl: the rest of this log is shown when the job has ended\n";
    assert_eq!((done.out.as_str(), done.err.as_str()), ("first", said));
    assert_eq!(uwsctl(&server, &["logs", "--follow", ID]).await.out, "firstlast");
    assert_eq!(uwsctl(&server, &["logs", ID]).await.err, "");
}

#[tokio::test]
async fn wait_lets_the_server_wait_also_over_a_restart() {
    let server = Server::start(|before, _| match before {
        0 => document(&job("QUEUED")),
        1 => answer(502, "<html>"),
        2 => document(&job("HELD")),
        _ => document(&job("ABORTED")),
    })
    .await;
    let done = uwsctl(&server, &["wait", ID]).await;
    assert_eq!((done.ending.expect("done"), done.out.as_str()), (Ending::Aborted, "ABORTED\n"));
    assert_eq!(server.lines()[1], format!("GET /api/ocps/async/{ID}?WAIT=30&PHASE=QUEUED"));
}

#[tokio::test]
async fn list_asks_for_phases_and_prints_a_table_or_json() {
    let entry = || json!({"id": ID, "phase": "QUEUED"});
    let server = Server::start(move |_, _| document(&json!({"version": "1.1", "jobs": [entry()]}))).await;
    let done = uwsctl(&server, &["list", "--phase", "queued", "--phase", "HELD", "-n", "3"]).await;
    assert!(done.out.contains("QUEUED") && done.out.lines().count() == 2, "{}", done.out);
    assert_eq!(server.lines(), ["GET /api/ocps/async?PHASE=QUEUED&PHASE=HELD&LAST=3"]);
    let done = uwsctl(&server, &["--json", "list"]).await;
    assert_eq!(serde_json::from_str::<Value>(&done.out).expect("JSON"), json!([entry()]));
}

#[tokio::test]
async fn what_the_server_says_is_what_is_told() {
    let server = Server::start(|_, _| answer(404, "there is no such job")).await;
    for arguments in [&["show", ID][..], &["phase", ID], &["results", ID], &["get", ID], &["logs", ID], &["wait", ID]] {
        let failure = uwsctl(&server, arguments).await.ending.expect_err("refused");
        assert_eq!((failure.code(), failure.to_string().as_str()), (1, "there is no such job (HTTP 404)"));
    }
    let done = uwsctl(&server, &["delete", ID]).await;
    assert_eq!(done.ending.expect("said"), Ending::Failed);
    assert!(done.err.contains("there is no such job"), "{}", done.err);
}

#[tokio::test]
async fn phase_show_results_abort_and_delete_print_what_they_got() {
    let server = Server::start(|_, seen| match seen.line.split(' ').next() {
        Some("DELETE") => see_other("http://h/api/ocps/async"),
        Some("POST") => made(),
        _ if seen.line.ends_with("/phase") => answer(200, "\"EXECUTING\""),
        _ => document(&job("ERROR")),
    })
    .await;
    assert_eq!(uwsctl(&server, &["phase", ID]).await.out, "EXECUTING\n");
    assert!(uwsctl(&server, &["show", ID]).await.out.contains("error    it exited with 3"));
    let table = "BYTES  NAME\n5      a.txt\n6      sub/b.txt\n7      stdout\n";
    assert_eq!(uwsctl(&server, &["results", ID]).await.out, table);
    assert_eq!(uwsctl(&server, &["abort", ID]).await.out, format!("{ID} is being aborted\n"));
    assert_eq!(uwsctl(&server, &["delete", ID]).await.out, format!("{ID} is deleted\n"));
}

#[tokio::test]
async fn operators_order_over_the_administration_socket() {
    let dir = tempfile::tempdir().expect("temp dir");
    let socket = dir.path().join("uwsd.sock");
    let server = Server::start_on(&socket, |_, _| document(&json!({"jobId": ID, "phase": "HELD"})));
    for order in ["hold", "release", "suspend", "resume"] {
        let done = uwsctl(&server, &["--admin-socket", socket.to_str().expect("UTF-8"), order, ID]).await;
        assert_eq!(done.out, format!("{ID} is HELD\n"));
        assert_eq!(server.lines().pop(), Some(format!("POST /admin/job/{ID}/{order}")));
    }
    let first = uwsctl(&server, &["--admin-socket", socket.to_str().expect("UTF-8"), "priority", "10", ID]).await;
    assert_eq!(first.out, format!("{ID} is HELD\n"));
    assert_eq!(server.lines().pop(), Some(format!("POST /admin/job/{ID}/priority?value=10")));
    let nowhere = uwsctl(&server, &["--admin-socket", "/nowhere", "hold", ID]).await.ending.expect_err("not there");
    assert!(nowhere.to_string().contains("unix:/nowhere cannot be reached"), "{nowhere}");
}

/// Output whose reader has gone away.
struct Closed;

impl AsyncWrite for Closed {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_is_asked_for_is_done_also_when_nobody_reads_of_it() {
    let server = Server::start(|_, seen| match seen.line.as_str() {
        line if line.starts_with("DELETE") => see_other("http://h/api/ocps/async"),
        line if line.contains("/results/") => answer(200, "content"),
        _ => document(&job("COMPLETED")),
    })
    .await;
    let dir = tempfile::tempdir().expect("temp dir");
    let to = dir.path().to_str().expect("UTF-8");
    for arguments in [vec!["delete", ID, ID, ID], vec!["get", ID, "-o", to]] {
        let arguments = [vec!["uwsctl", "--url", &server.url], arguments].concat();
        let cli = Cli::try_parse_from(arguments).expect("good usage");
        let done = run(cli, &mut Output { out: &mut Closed, err: &mut Closed, json: false }).await;
        assert!(done.expect_err("nobody reads").is_broken_pipe());
    }
    assert_eq!(server.lines().iter().filter(|line| line.starts_with("DELETE")).count(), 3);
    assert!(dir.path().join("a.txt").exists() && dir.path().join("sub/b.txt").exists());
}

#[tokio::test]
async fn a_server_that_lets_nobody_wait_is_asked_now_and_then() {
    let server = Server::start(|_, _| document(&job("EXECUTING"))).await;
    let waited = tokio::time::timeout(Duration::from_secs(1), uwsctl(&server, &["wait", ID])).await;
    assert!(waited.is_err());
    assert!(server.lines().len() < 8, "{}", server.lines().len());
}

#[tokio::test]
async fn get_writes_whole_files_and_leaves_nothing_else() {
    let server = Server::start(|_, seen| match seen.line.as_str() {
        line if line.ends_with("/a.txt") => answer(200, "first"),
        line if line.ends_with("/b.txt") => answer(200, "second"),
        _ => document(&job("COMPLETED")),
    })
    .await;
    let dir = tempfile::tempdir().expect("temp dir");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect(name);

    let done = uwsctl(&server, &["get", ID, "-o", &path("all")]).await;
    assert_eq!(done.out, format!("{}\n{}\n", path("all/a.txt"), path("all/sub/b.txt")));
    assert_eq!((read("all/a.txt"), read("all/sub/b.txt")), ("first".into(), "second".into()));

    uwsctl(&server, &["get", ID, "sub/b.txt", "-o", &path("all")]).await.ending.expect("done");
    uwsctl(&server, &["get", ID, "a.txt", "-o", &path("one")]).await.ending.expect("done");
    assert_eq!((read("all/b.txt"), read("one")), ("second".into(), "first".into()));
    assert_eq!(uwsctl(&server, &["get", ID, "sub/b.txt", "-o", "-"]).await.out, "second");
    let mut names: Vec<_> =
        std::fs::read_dir(path("all")).expect("dir").map(|e| e.expect("entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.txt", "b.txt", "sub"]);

    let failure = uwsctl(&server, &["get", ID, "none"]).await.ending.expect_err("none");
    assert!(failure.to_string().contains("no result \"none\""), "{failure}");
}

#[tokio::test]
async fn of_a_job_whose_files_are_gone_it_is_told_that_and_when_they_went() {
    for (phase, at, told) in [
        ("COMPLETED", json!("2031-03-04T08:15:00Z"), "the files of this job were removed at 2031-03-04T08:15:00Z to"),
        ("ARCHIVED", json!("2031-03-04T08:15:00Z"), "this job was destroyed: its files went at 2031-03-04T08:15:00Z"),
        ("ARCHIVED", json!(null), "this job was destroyed: its files went, its record is kept"),
    ] {
        let mut gone = job(phase);
        (gone["results"], gone["jobInfo"]) = (json!([]), json!({ "filesRemoved": at }));
        let no_log = |seen: &Seen| seen.line.contains("/results/");
        let server =
            Server::start(move |_, seen| if no_log(seen) { answer(404, "gone") } else { document(&gone) }).await;
        for arguments in [&["get", ID][..], &["get", ID, "a.txt"], &["logs", "-f", ID]] {
            let failure = uwsctl(&server, arguments).await.ending.expect_err("nothing is there");
            assert_eq!((failure.code(), failure.to_string().starts_with(told)), (1, true), "{failure}");
        }
        let listed = uwsctl(&server, &["results", ID]).await;
        assert_eq!((listed.ending.expect("listed"), listed.out.as_str()), (Ending::Done, "BYTES  NAME\n"));
        assert!(listed.err.contains(told), "{}", listed.err);
    }
}

#[tokio::test]
async fn a_download_that_fails_leaves_no_file() {
    let server = Server::start(|_, seen| {
        if seen.line.contains("/results/") { answer(500, "it broke") } else { document(&job("COMPLETED")) }
    })
    .await;
    let dir = tempfile::tempdir().expect("temp dir");
    let to = dir.path().join("x");
    let failure =
        uwsctl(&server, &["get", ID, "a.txt", "-o", to.to_str().expect("UTF-8")]).await.ending.expect_err("broke");
    assert_eq!(failure.to_string(), "it broke (HTTP 500)");
    assert_eq!(std::fs::read_dir(dir.path()).expect("dir").count(), 0);
}

#[tokio::test]
async fn a_server_that_is_not_there_or_not_usable_is_named() {
    let mut server = Server::start(|_, _| answer(200, "")).await;
    server.url = "http://127.0.0.1:1/api".into();
    let failure = uwsctl(&server, &["list"]).await.ending.expect_err("not there");
    assert!(failure.to_string().contains("http://127.0.0.1:1/api cannot be reached"), "{failure}");
    assert_eq!(failure.code(), 1);
    server.url = "https://ada:secret@host/api".into();
    let failure = uwsctl(&server, &["list"]).await.ending.expect_err("no TLS");
    assert_eq!(failure.code(), 2);
    assert!(!failure.to_string().contains("secret"), "{failure}");
    let failure = uwsctl(&server, &["--service", "a/b", "list"]).await.ending.expect_err("no service");
    assert_eq!(failure.code(), 2);
}

#[tokio::test]
async fn a_unix_socket_does_as_well() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Server::start_on(&dir.path().join("api.sock"), |_, _| answer(200, "\"HELD\""));
    assert_eq!(uwsctl(&server, &["phase", ID]).await.out, "HELD\n");
    assert_eq!(server.lines(), [format!("GET /api/ocps/async/{ID}/phase")]);
}

#[tokio::test]
async fn who_asks_is_said_by_a_login_or_a_token() {
    let server = Server::start(|_, _| document(&json!({ "jobs": [] }))).await;
    let directory = tempfile::tempdir().expect("temp dir");
    let file = directory.path().join("token");
    std::fs::write(&file, "of-a-file\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    for (arguments, told) in [
        (&["list"][..], None),
        (&["list", "--user", "ada", "--password", "a:b"], Some("Basic YWRhOmE6Yg==")),
        (&["list", "--token", "of-a-variable"], Some("Bearer of-a-variable")),
        (&["list", "--token-file", file], Some("Bearer of-a-file")),
    ] {
        uwsctl(&server, arguments).await.ending.expect("listed");
        assert_eq!(server.seen().last().expect("asked").authorization.as_deref(), told, "{arguments:?}");
    }
    let asked = server.seen().len();
    for arguments in [&["list", "--token-file", "/nowhere"][..], &["list", "--token", "two words"]] {
        let failure = uwsctl(&server, arguments).await.ending.expect_err("not asked");
        assert_eq!(failure.code(), 2, "{failure}");
    }
    assert_eq!(server.seen().len(), asked, "nobody is asked without it");
}

#[tokio::test]
async fn wait_ends_as_a_job_ended_that_is_archived_by_now() {
    for (reason, code) in [(json!("ok"), 0), (json!("nonzero"), 3), (json!("timeout"), 4), (json!(null), 1)] {
        let mut archived = job("ARCHIVED");
        archived["jobInfo"] = json!({ "reason": reason });
        let server = Server::start(move |_, _| document(&archived)).await;
        assert_eq!(uwsctl(&server, &["wait", ID]).await.ending.expect("told").code(), code, "{reason}");
    }
}
