//! Every command against a scripted server.

use clap::Parser as _;
use serde_json::{Value, json};

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
    json!({
        "jobId": ID, "runId": "7", "phase": phase, "creationTime": "2031-03-04 08:15:00+00:00",
        "parameters": {"command": ["/bin/bash", "-c", "work"], "environment": []},
        "results": [
            {"id": 0, "uri": format!("/uws/jobs/{ID}/out/a.txt")},
            {"id": 1, "uri": format!("/uws/jobs/{ID}/out/sub/b.txt")},
        ],
        "errorSummary": {"message": if phase == "error" { "it exited with 3" } else { "" }},
        "jobInfo": {},
    })
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
async fn submit_sends_the_job_and_prints_its_id() {
    let server = Server::start(|_, _| document(&job("queued"))).await;
    let arguments = [
        "submit",
        "--run-id",
        "7",
        "--source",
        "https://h/x",
        "--ref",
        "main",
        "-e",
        "A=b c",
        "--replicas",
        "2",
        "ls",
        "a b",
    ];
    let done = uwsctl(&server, &arguments).await;
    assert_eq!((done.ending.expect("done"), done.out), (Ending::Done, format!("{ID}\n")));
    assert_eq!(server.lines(), ["PUT /api/v1/job"]);
    assert_eq!(
        serde_json::from_str::<Value>(&server.seen()[0].body).expect("JSON"),
        json!({"command": "ls 'a b'", "run_id": "7", "url": "https://h/x", "commit_ref": "main",
               "environment": [{"name": "A", "value": "b c"}], "replicas": 2})
    );
}

#[tokio::test]
async fn run_shows_both_logs_as_they_come_and_ends_as_the_job_did() {
    for (phase, ending) in [("completed", Ending::Done), ("error", Ending::Error), ("aborted", Ending::Aborted)] {
        let server = Server::start(move |before, seen| match seen.line.rsplit('/').next() {
            Some("job") => document(&job("queued")),
            Some("stdout") if before < 4 => answer(404, "\"\""),
            Some("stdout") if before < 7 => file(seen, "one\n"),
            Some("stdout") => file(seen, "one\ntwo\n"),
            Some("stderr") if before < 7 => file(seen, "oops\n"),
            Some("stderr") => file(seen, "oops\n"),
            _ if before == 4 => answer(503, "restarting"),
            _ if before < 8 => document(&job("executing")),
            _ => document(&job(phase)),
        })
        .await;
        let done = uwsctl(&server, &["run", "work"]).await;
        assert_eq!((done.ending.expect("done"), done.out.as_str()), (ending, "one\ntwo\n"));
        assert!(done.err.contains("oops\n") && done.err.matches("oops").count() == 1, "{}", done.err);
        assert_eq!(done.err.contains("ended in ERROR: it exited with 3"), phase == "error", "{}", done.err);
    }
}

#[tokio::test]
async fn run_shows_the_logs_of_every_replica() {
    let server = Server::start(|_, seen| match seen.line.split(ID).nth(1) {
        Some("/stdout") => file(seen, "zero\n"),
        Some("/stdout?replica=1") => file(seen, "one\n"),
        Some("/stderr" | "/stderr?replica=1") => answer(200, ""),
        _ => document(&job("completed")),
    })
    .await;
    assert_eq!(uwsctl(&server, &["run", "--replicas", "2", "work"]).await.out, "zero\none\n");
    assert_eq!(uwsctl(&server, &["logs", "--replica", "1", ID]).await.out, "one\n");
}

#[tokio::test]
async fn wait_asks_until_the_end_also_over_a_restart() {
    let server = Server::start(|before, _| match before {
        0 => document(&job("queued")),
        1 => answer(502, "<html>"),
        2 => document(&job("held")),
        _ => document(&job("aborted")),
    })
    .await;
    let done = uwsctl(&server, &["wait", ID]).await;
    assert_eq!((done.ending.expect("done"), done.out.as_str()), (Ending::Aborted, "ABORTED\n"));
}

#[tokio::test]
async fn list_asks_for_phases_and_prints_a_table_or_json() {
    let server = Server::start(|_, _| document(&json!([job("queued")]))).await;
    let done = uwsctl(&server, &["list", "--phase", "queued", "--phase", "HELD"]).await;
    assert!(done.out.contains("QUEUED") && done.out.lines().count() == 2, "{}", done.out);
    assert_eq!(server.lines(), ["GET /api/v1/job?phase=queued&phase=held"]);
    let done = uwsctl(&server, &["--json", "list"]).await;
    assert_eq!(serde_json::from_str::<Value>(&done.out).expect("JSON"), json!([job("queued")]));
}

#[tokio::test]
async fn what_the_server_says_is_what_is_told() {
    let server = Server::start(|_, _| answer(404, "\"there is no such job\"")).await;
    for arguments in [&["show", ID][..], &["phase", ID], &["results", ID], &["get", ID], &["logs", ID], &["wait", ID]] {
        let failure = uwsctl(&server, arguments).await.ending.expect_err("refused");
        assert_eq!((failure.code(), failure.to_string().as_str()), (1, "there is no such job (HTTP 404)"));
    }
    let done = uwsctl(&server, &["delete", ID]).await;
    assert_eq!(done.ending.expect("said"), Ending::Failed);
    assert!(done.err.contains("there is no such job"), "{}", done.err);
}

#[tokio::test]
async fn phase_show_results_and_delete_print_what_they_got() {
    let server = Server::start(|_, seen| match seen.line.split(' ').next() {
        Some("DELETE") => document(&json!({"status": "ok", "message": "gone", "phase": "executing"})),
        _ if seen.line.ends_with("/phase") => answer(200, "\"executing\""),
        _ => document(&job("error")),
    })
    .await;
    assert_eq!(uwsctl(&server, &["phase", ID]).await.out, "EXECUTING\n");
    assert!(uwsctl(&server, &["show", ID]).await.out.contains("error    it exited with 3"));
    assert_eq!(uwsctl(&server, &["results", ID]).await.out, "N  NAME\n0  a.txt\n1  sub/b.txt\n");
    assert_eq!(uwsctl(&server, &["delete", ID]).await.out, format!("{ID} is being aborted and deleted\n"));
}

#[tokio::test]
async fn get_writes_whole_files_and_leaves_nothing_else() {
    let server = Server::start(|_, seen| match seen.line.as_str() {
        line if line.ends_with("/0") => answer(200, "first"),
        line if line.ends_with("/1") => answer(200, "second"),
        _ => document(&job("completed")),
    })
    .await;
    let dir = tempfile::tempdir().expect("temp dir");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect(name);

    let done = uwsctl(&server, &["get", ID, "-o", &path("all")]).await;
    assert_eq!(done.out, format!("{}\n{}\n", path("all/a.txt"), path("all/sub/b.txt")));
    assert_eq!((read("all/a.txt"), read("all/sub/b.txt")), ("first".into(), "second".into()));

    uwsctl(&server, &["get", ID, "sub/b.txt", "-o", &path("all")]).await.ending.expect("done");
    uwsctl(&server, &["get", ID, "0", "-o", &path("one")]).await.ending.expect("done");
    assert_eq!((read("all/b.txt"), read("one")), ("second".into(), "first".into()));
    assert_eq!(uwsctl(&server, &["get", ID, "1", "-o", "-"]).await.out, "second");
    let mut names: Vec<_> =
        std::fs::read_dir(path("all")).expect("dir").map(|e| e.expect("entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.txt", "b.txt", "sub"]);

    let failure = uwsctl(&server, &["get", ID, "none"]).await.ending.expect_err("none");
    assert!(failure.to_string().contains("no result \"none\""), "{failure}");
}

#[tokio::test]
async fn a_download_that_fails_leaves_no_file() {
    let server = Server::start(|_, seen| {
        if seen.line.contains("/result/") { answer(500, "it broke") } else { document(&job("completed")) }
    })
    .await;
    let dir = tempfile::tempdir().expect("temp dir");
    let to = dir.path().join("x");
    let failure =
        uwsctl(&server, &["get", ID, "0", "-o", to.to_str().expect("UTF-8")]).await.ending.expect_err("broke");
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
    let failure = uwsctl(&server, &["--service", "cutout", "list"]).await.ending.expect_err("other service");
    assert_eq!(failure.code(), 2);
}

#[tokio::test]
async fn a_unix_socket_does_as_well() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Server::start_on(&dir.path().join("api.sock"), |_, _| answer(200, "\"held\""));
    assert_eq!(uwsctl(&server, &["phase", ID]).await.out, "HELD\n");
    assert_eq!(server.lines(), [format!("GET /api/v1/job/{ID}/phase")]);
}
