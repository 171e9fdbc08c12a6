//! Files that come with a job: multipart parts, and URLs.

use std::path::PathBuf;

use crate::bed::{Bed, Daemon, eventually};
use crate::client::Answer;
use crate::uws::{Element, FORM, LIST, is_valid, location};

pub const BOUNDARY: (&str, &str) = ("content-type", "multipart/form-data; boundary=X");

/// A part: name, file name if it is a file, content.
pub type Part<'a> = (&'a str, Option<&'a str>, &'a str);

pub fn multipart(parts: &[Part<'_>]) -> String {
    let mut body = String::new();
    for (name, file, content) in parts {
        let file = file.map_or_else(String::new, |file| format!("; filename=\"{file}\"\r\nContent-Type: text/csv"));
        let head = format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend([&head, *content, "\r\n"]);
    }
    body + "--X--\r\n"
}

pub async fn post(daemon: &Daemon, path: &str, parts: &[Part<'_>]) -> Answer {
    daemon.client().send("POST", path, &[BOUNDARY], &multipart(parts)).await
}

pub fn job_of(answer: &Answer) -> (String, String) {
    let path = location(answer, "creation").strip_prefix("http://localhost").expect("of this host").to_owned();
    let id = path.rsplit('/').next().expect("an id").to_owned();
    (path, id)
}

pub fn kept(daemon: &Daemon) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(daemon.config.server.state_dir.join("uploads")) else { return Vec::new() };
    entries.map(|entry| entry.expect("readable").path()).collect()
}

/// Files of a refused request go once it is answered.
pub async fn none_is_kept(daemon: &Daemon) {
    eventually("all files to go", || async { kept(daemon).is_empty().then_some(()) }).await;
}

pub async fn completed(daemon: &Daemon, path: &str) {
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
    none_is_kept(&daemon).await;
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
        none_is_kept(&daemon).await;
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
    none_is_kept(&daemon).await;
    assert_eq!(daemon.listed().await, 0);
}

#[tokio::test]
async fn files_can_be_added_and_replaced_while_pending() {
    let daemon = Bed::without_runs().start().await;
    let (path, _) = job_of(&post(&daemon, LIST, &[("COMMAND", None, "print 1")]).await);
    for content in ["first", "second"] {
        let parts: &[Part<'_>] = &[("UPLOAD", None, "t,param:f"), ("f", Some("f"), content)];
        let changed = post(&daemon, &format!("{path}/parameters"), parts).await;
        assert_eq!(changed.status, 303, "{}", changed.text());
        assert_eq!(daemon.client().get(&format!("{path}/parameters/f")).await.text(), content);
    }
    // A part of another name takes the place of the first one, and of its file.
    let parts: &[Part<'_>] = &[("UPLOAD", None, "t,param:g"), ("g", Some("g"), "third")];
    assert_eq!(post(&daemon, &format!("{path}/parameters"), parts).await.status, 303);
    assert_eq!(daemon.client().get(&format!("{path}/parameters/g")).await.text(), "third");
    assert_eq!(daemon.client().get(&format!("{path}/parameters/f")).await.status, 404);
    let refused: &[Part<'_>] = &[("UPLOAD", None, "t,param:none"), ("h", Some("h"), "fourth")];
    assert_eq!(post(&daemon, &format!("{path}/parameters"), refused).await.status, 400);
    assert_eq!(daemon.client().get(&format!("{path}/parameters/upload")).await.text(), "t,param:g");
    eventually("what was replaced or refused to go", || async {
        let [dir] = &kept(&daemon)[..] else { return None };
        (std::fs::read_dir(dir).ok()?.count() == 1).then_some(())
    })
    .await;
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

#[tokio::test]
async fn several_tables_come_with_one_request() {
    let daemon = Bed::new().start().await;
    let parts: &[Part<'_>] = &[
        ("COMMAND", None, "print 1"),
        ("UPLOAD", None, "one,param:a"),
        ("UPLOAD", None, "two,param:b"),
        ("a", Some("a"), "1"),
        ("b", Some("b"), "2"),
        ("PHASE", None, "RUN"),
    ];
    let (path, id) = job_of(&post(&daemon, LIST, parts).await);
    completed(&daemon, &path).await;
    for (name, content) in [("one", "1"), ("two", "2"), ("a", "1"), ("b", "2")] {
        let file = daemon.config.server.jobs_dir.join(&id).join("in").join(name);
        assert_eq!(std::fs::read_to_string(file).expect("the job sees it"), content, "{name}");
    }
    let shown = daemon.client().get(&format!("{path}/parameters/upload")).await;
    assert_eq!(shown.text(), "one,param:a\ntwo,param:b");
}
