//! Files that come with a job: multipart parts, and URLs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uwsd::config::{Program, Service, testing};
use uwsd::domain::jdl::{Declaration, Jdl, Template, ValueKind};

use crate::bed::{Bed, Daemon, eventually};
use crate::client::Answer;
use crate::uws::{Element, FORM, LIST, is_valid, location};

const BOUNDARY: (&str, &str) = ("content-type", "multipart/form-data; boundary=X");

/// A part: name, file name if it is a file, content.
type Part<'a> = (&'a str, Option<&'a str>, &'a str);

fn multipart(parts: &[Part<'_>]) -> String {
    let mut body = String::new();
    for (name, file, content) in parts {
        let file = file.map_or_else(String::new, |file| format!("; filename=\"{file}\"\r\nContent-Type: text/csv"));
        let head = format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend([&head, *content, "\r\n"]);
    }
    body + "--X--\r\n"
}

async fn post(daemon: &Daemon, path: &str, parts: &[Part<'_>]) -> Answer {
    daemon.client().send("POST", path, &[BOUNDARY], &multipart(parts)).await
}

fn job_of(answer: &Answer) -> (String, String) {
    let path = location(answer, "creation").strip_prefix("http://localhost").expect("of this host").to_owned();
    let id = path.rsplit('/').next().expect("an id").to_owned();
    (path, id)
}

fn kept(daemon: &Daemon) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(daemon.config.server.state_dir.join("uploads")) else { return Vec::new() };
    entries.map(|entry| entry.expect("readable").path()).collect()
}

async fn completed(daemon: &Daemon, path: &str) {
    eventually("the job to be COMPLETED", || async {
        (daemon.client().get(&format!("{path}/phase")).await.text() == "COMPLETED").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_file_part_reaches_the_job_and_is_shown_by_reference_until_the_job_goes() {
    let daemon = Bed::new().start().await;
    let parts: &[Part<'_>] = &[
        ("COMMAND", None, "print 1"),
        ("UPLOAD", None, "mytable,param:catalog"),
        ("catalog", Some("c.csv"), "a,b\n1,2\n"),
        ("PHASE", None, "RUN"),
    ];
    let (path, id) = job_of(&post(&daemon, LIST, parts).await);
    completed(&daemon, &path).await;
    let shown = daemon.client().get(&path).await;
    is_valid(&daemon, shown.text());
    let document = Element::parse(shown.text());
    let list = &document.child("uws:parameters").children;
    let by_reference = list.iter().find(|one| one.attribute("id") == Some("catalog")).expect("shown");
    assert_eq!(by_reference.attribute("byReference"), Some("true"));
    let url = by_reference.text.strip_prefix("http://localhost").expect("of this host");
    let file = daemon.client().get(url).await;
    assert_eq!((file.status, file.text(), file.header("content-type")), (200, "a,b\n1,2\n", "text/csv"));
    assert!(list.iter().any(|one| one.attribute("id") == Some("UPLOAD") && one.text == "mytable,param:catalog"));
    for name in ["catalog", "mytable"] {
        let seen = std::fs::read_to_string(daemon.config.server.jobs_dir.join(&id).join("in").join(name));
        assert_eq!(seen.expect("the job sees it"), "a,b\n1,2\n", "{name}");
    }
    assert_eq!(daemon.client().send("DELETE", &path, &[], "").await.status, 303);
    eventually("the upload to go", || async { kept(&daemon).is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn a_request_that_is_refused_leaves_no_file() {
    let daemon = Bed::without_runs().start().await;
    let file: Part<'_> = ("catalog", Some("c.csv"), "1");
    let table: Part<'_> = ("UPLOAD", None, "t,param:catalog");
    for (parts, status, sentence) in [
        (&[file][..], 400, "nothing asks for the file part \"catalog\"; give UPLOAD=NAME,param:catalog"),
        (&[table][..], 400, "UPLOAD asks for \"param:catalog\", and no file part of that name came with the request"),
        (&[file, file, table][..], 400, "two file parts are called \"catalog\""),
        (&[file, table, table][..], 400, "UPLOAD gives the name \"t\" to two files"),
        (&[file, ("UPLOAD", None, "1t,param:catalog")][..], 400, "UPLOAD is \"1t,param:catalog\"; give NAME,URI"),
        (
            &[("../x", Some("x"), "1"), ("UPLOAD", None, "t,param:../x")][..],
            400,
            "the file part \"../x\" cannot be kept",
        ),
        (&[("parameters.json", Some("x"), "1"), ("UPLOAD", None, "t,param:parameters.json")][..], 400, "the file part"),
        (&[file, table, ("REPLICAS", None, "x")][..], 400, "REPLICAS is \"x\""),
        (&[file, table, ("PHASE", None, "RUN")][..], 400, "COMMAND is missing"),
    ] {
        let answer = post(&daemon, LIST, parts).await;
        assert_eq!(answer.status, status, "{parts:?}: {}", answer.text());
        assert!(answer.text().starts_with(sentence), "{parts:?}: {}", answer.text());
        assert!(kept(&daemon).is_empty(), "{parts:?}");
    }
    // Longer than all files of a request may be.
    let long = "x".repeat((1 << 20) + 1);
    let large = post(&daemon, LIST, &[("catalog", Some("c.csv"), &long), table]).await;
    assert_eq!(large.status, 413, "{}", large.text());
    let broken = daemon
        .client()
        .send("POST", LIST, &[BOUNDARY], "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1")
        .await;
    assert_eq!(broken.status, 400);
    assert!(kept(&daemon).is_empty());
    assert_eq!(daemon.listed().await, 0);
}

#[tokio::test]
async fn files_can_be_added_and_replaced_while_pending() {
    let daemon = Bed::without_runs().start().await;
    let (path, _) = job_of(&post(&daemon, LIST, &[("COMMAND", None, "print 1")]).await);
    for content in ["first", "second"] {
        let parts: &[Part<'_>] = &[("UPLOAD", None, "t,param:f"), ("f", Some("f"), content)];
        let changed = post(&daemon, &format!("{path}/parameters"), parts).await;
        if content == "first" {
            assert_eq!(changed.status, 303, "{}", changed.text());
        } else {
            // UPLOAD has several values: the name is there already.
            assert_eq!(changed.status, 400, "{}", changed.text());
        }
    }
    let file = daemon.client().get(&format!("{path}/parameters/f")).await;
    assert_eq!(file.text(), "first");
    let dir = kept(&daemon);
    assert_eq!(dir.len(), 1);
    assert_eq!(std::fs::read_dir(&dir[0]).expect("readable").count(), 1, "what was refused is gone");
}

#[tokio::test]
async fn of_many_changes_at_once_none_is_lost() {
    let daemon = Bed::without_runs().start().await;
    let (path, _) = job_of(&post(&daemon, LIST, &[("COMMAND", None, "print 1")]).await);
    let url = format!("{path}/parameters");
    let changes = (0..20).map(|n| {
        let (client, url) = (daemon.client(), url.clone());
        async move { client.send("POST", &url, &[FORM], &format!("ENVIRONMENT=V{n}=x")).await.status }
    });
    assert!(futures_util::future::join_all(changes).await.iter().all(|status| *status == 303));
    let answer = daemon.client().get(&format!("{url}/environment")).await;
    assert_eq!(answer.text().lines().count(), 20, "{}", answer.text());
}

/// A small web server with one file; gone when dropped.
async fn web(body: &'static str) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.expect("asked");
            let answer = if head[..read].starts_with(b"GET /moved") {
                "HTTP/1.1 302 Found\r\nLocation: /file\r\nContent-Length: 0\r\n\r\n".to_owned()
            } else if head[..read].starts_with(b"GET /file") {
                let length = body.len();
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: {length}\r\n\r\n{body}")
            } else {
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()
            };
            stream.write_all(answer.as_bytes()).await.expect("answered");
        }
    });
    (port, tasks)
}

fn with_urls(networks: &[&str]) -> Bed {
    let mut bed = Bed::new();
    bed.config.uploads.from_urls = true;
    bed.config.uploads.url_networks = networks.iter().map(|net| net.parse().expect("a network")).collect();
    let declarations = vec![Declaration::new("CAT", ValueKind::File)];
    let words = ["run", "print {CAT}"].map(str::to_owned);
    let command = Template::parse(&words, &declarations, &[]).expect("a template");
    let typed = Service { program: Program::Command(Jdl { declarations, command }), ..testing::service() };
    bed.config.services = BTreeMap::from([("typed".to_owned(), typed), ("ocps".to_owned(), testing::service())]);
    bed
}

#[tokio::test]
async fn a_url_is_fetched_before_the_job_is_accepted() {
    let (port, _web) = web("a,b\n").await;
    let daemon = with_urls(&["127.0.0.0/8"]).start().await;
    for place in ["file", "moved"] {
        let form = format!("CAT=http://127.0.0.1:{port}/{place}&PHASE=RUN");
        let made = daemon.client().send("POST", "/api/typed/async", &[FORM], &form).await;
        let (path, id) = job_of(&made);
        completed(&daemon, &path).await;
        let seen = daemon.client().get(&format!("{path}/results/stdout")).await;
        assert_eq!(seen.text(), format!("/uws/jobs/{id}/in/CAT\n"));
        let file = std::fs::read_to_string(daemon.config.server.jobs_dir.join(id).join("in/CAT"));
        assert_eq!(file.expect("the job sees it"), "a,b\n");
    }
    for (url, sentence) in [
        (format!("http://127.0.0.1:{port}/none"), "the server answered 404 Not Found"),
        ("http://127.0.0.1:1/x".to_owned(), "client error (Connect)"),
    ] {
        let refused = daemon.client().send("POST", "/api/typed/async", &[FORM], &format!("CAT={url}")).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(&format!("CAT: {url} cannot be fetched: {sentence}")), "{}", refused.text());
    }
}

#[tokio::test]
async fn what_only_this_host_can_reach_is_not_fetched() {
    let (port, _web) = web("secret").await;
    let daemon = with_urls(&[]).start().await;
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433"] {
        let form = format!("CAT=http://{host}:{port}/file");
        let refused = daemon.client().send("POST", "/api/typed/async", &[FORM], &form).await;
        assert_eq!(refused.status, 400, "{host}: {}", refused.text());
        assert!(refused.text().contains("its address is not public"), "{host}: {}", refused.text());
    }
    assert!(kept(&daemon).is_empty());
}

#[tokio::test]
async fn what_is_in_no_part_is_not_read_for_ever() {
    let daemon = Bed::new().start().await;
    let endless = "a".repeat(3 << 20);
    let head = "--X\r\nContent-Disposition: form-data; name=\"";
    for (body, expected) in [
        (endless.clone(), 400),
        (format!("{head}{endless}\"\r\n\r\n1\r\n--X--\r\n"), 400),
        (format!("{head}n\"\r\n\r\n\r\n").repeat(100_000) + "--X--\r\n", 413),
    ] {
        let answer = daemon.client().send("POST", LIST, &[BOUNDARY], &body).await;
        assert_eq!(answer.status, expected, "{}", answer.text());
    }
    assert_eq!(daemon.listed().await, 0);
}
