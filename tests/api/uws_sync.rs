//! The synchronous façade (DALI 1.1 §2.2), examples, quotes.

use std::time::Duration;

use uwsd::config::{Example, Program, Service, testing};
use uwsd::domain::jdl::{Jdl, Template};

use crate::bed::{Bed, Daemon, eventually};
use crate::client::Answer;
use crate::uws::{Element, FORM, create, ended, job, location, post as post_async, reaches};
use crate::uws_uploads::{BOUNDARY, multipart};

const SYNC: &str = "/api/ocps/sync";

async fn post(daemon: &Daemon, form: &str) -> Answer {
    daemon.client().send("POST", SYNC, &[FORM], form).await
}

fn path_of(answer: &Answer) -> String {
    location(answer, "sync").strip_prefix("http://localhost").expect("of this host").to_owned()
}

/// Follows what a POST to sync began, to its end.
async fn follow(daemon: &Daemon, form: &str) -> Answer {
    let mut answer = post(daemon, form).await;
    for _ in 0..5 {
        if answer.status != 303 {
            break;
        }
        answer = daemon.client().get(&path_of(&answer)).await;
    }
    answer
}

#[tokio::test]
async fn a_job_is_run_and_its_one_result_is_the_answer() {
    let daemon = Bed::new().start().await;
    let made = post(&daemon, "COMMAND=write+result.csv+a,b&RUNID=x").await;
    let waiting = path_of(&made);
    assert!(waiting.starts_with("/api/ocps/sync/"), "{waiting}");
    let done = daemon.client().get(&waiting).await;
    let id = waiting.rsplit('/').next().expect("an id");
    assert_eq!(path_of(&done), format!("/api/ocps/async/{id}/results/result.csv"));
    let result = daemon.client().get(&path_of(&done)).await;
    assert_eq!((result.status, result.text(), result.header("content-type")), (200, "a,b", "text/csv"));
    // It is a job like any other.
    assert_eq!(job(&daemon, id).await.value("uws:runId"), "x");
    assert_eq!(follow(&daemon, "COMMAND=print+hello").await.text(), "hello\n");
}

#[tokio::test]
async fn a_job_that_fails_is_answered_with_its_error() {
    let daemon = Bed::new().start().await;
    let failed = follow(&daemon, "COMMAND=complain+oops;exit+3").await;
    assert_eq!(failed.status, 422);
    assert!(failed.text().starts_with("the command exited with code 3\n"), "{}", failed.text());
    assert!(failed.text().ends_with("oops\n"), "{}", failed.text());
    let lost = follow(&daemon, "COMMAND=vanish").await;
    assert_eq!((lost.status, lost.header("retry-after")), (503, "1"));
    let refused = post(&daemon, "REPLICAS=x").await;
    assert_eq!(refused.status, 400);
    assert_eq!(post(&daemon, "").await.text(), "COMMAND is missing: give the command that the job runs");
}

#[tokio::test]
async fn a_job_that_takes_longer_goes_on_and_can_be_asked_for_again() {
    let mut bed = Bed::new();
    bed.config.uws.sync_timeout = Duration::from_millis(200);
    let daemon = bed.start().await;
    let waiting = path_of(&post(&daemon, "COMMAND=hang").await);
    let late = daemon.client().get(&waiting).await;
    assert_eq!((late.status, late.header("retry-after")), (503, "1"));
    let id = waiting.rsplit('/').next().expect("an id");
    let there = format!("http://localhost/api/ocps/async/{id}");
    assert!(
        late.text().contains("the job is EXECUTING and goes on") && late.text().contains(&there),
        "{}",
        late.text()
    );
    daemon.engine.end_by_itself(0);
    reaches(&daemon, id, "COMPLETED").await;
    assert_eq!(daemon.client().get(&waiting).await.status, 303);
    assert_eq!(post_async(&daemon, &format!("/{id}/phase"), "PHASE=ABORT").await.status, 403);
}

#[tokio::test]
async fn only_a_post_makes_a_job_unless_it_is_configured() {
    let daemon = Bed::new().start().await;
    for method in ["GET", "HEAD", "DELETE", "PUT"] {
        let answer = daemon.client().send(method, &format!("{SYNC}?COMMAND=print+1"), &[], "").await;
        assert_eq!((answer.status, answer.header("allow")), (405, "POST, OPTIONS"), "{method}");
    }
    assert_eq!(daemon.listed().await, 0);
    let mut bed = Bed::new();
    bed.config.uws.sync_get = true;
    let daemon = bed.start().await;
    for headers in [[("origin", "https://evil.example.org")], [("sec-fetch-site", "cross-site")]] {
        let forged = daemon.client().send("GET", &format!("{SYNC}?COMMAND=print+1"), &headers, "").await;
        assert_eq!(forged.status, 403, "{headers:?}");
    }
    assert_eq!(daemon.listed().await, 0);
    let made = daemon.client().get(&format!("{SYNC}?COMMAND=print+1")).await;
    assert_eq!(made.status, 303);
    assert_eq!(daemon.client().get(&format!("{SYNC}/{}", "0".repeat(32))).await.status, 404);
    let waiting = path_of(&made);
    assert_eq!(daemon.client().send("POST", &waiting, &[], "").await.status, 405);
    assert_eq!(daemon.listed().await, 1);
}

#[tokio::test]
async fn an_aborted_job_has_no_result() {
    let daemon = Bed::new().start().await;
    let waiting = path_of(&post(&daemon, "COMMAND=hang").await);
    let id = waiting.rsplit('/').next().expect("an id").to_owned();
    reaches(&daemon, &id, "EXECUTING").await;
    assert_eq!(post_async(&daemon, &format!("/{id}/phase"), "PHASE=ABORT").await.status, 303);
    let answer = daemon.client().get(&waiting).await;
    assert_eq!((answer.status, answer.text()), (409, "the job is ABORTED: it has no result"));
}

#[tokio::test]
async fn examples_are_well_formed_and_marked_up() {
    let daemon = Bed::new().start().await;
    let answer = daemon.client().get("/api/ocps/examples").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/xhtml+xml; charset=utf-8");
    let page = Element::parse(answer.text());
    let all = page.child("body").child("div");
    assert_eq!(all.attribute("vocab"), Some("http://www.ivoa.net/rdf/examples#"));
    let example = all.child("div");
    assert_eq!(example.attribute("resource").map(|text| text.trim_start_matches('#')), example.attribute("id"));
    assert_eq!(example.child("h2").attribute("property"), Some("name"));
    let capabilities = daemon.client().get("/api/ocps/capabilities").await;
    assert!(capabilities.text().contains("ivo://ivoa.net/std/DALI#examples"), "{}", capabilities.text());
    assert_eq!(daemon.client().get("/api/none/examples").await.status, 404);
}

#[tokio::test]
async fn a_quote_is_an_honest_guess_or_none() {
    let daemon = Bed::new().start().await;
    let first = create(&daemon, "COMMAND=print+1").await;
    assert!(job(&daemon, &first).await.is_nil("uws:quote"), "nothing is known yet");
    for _ in 0..5 {
        ended(&daemon, "print 1", "COMPLETED").await;
    }
    // What was learnt is looked at again after a while.
    let quoted = eventually("a quote", || async {
        let document = job(&daemon, &first).await;
        (!document.is_nil("uws:quote")).then(|| document.value("uws:quote").to_owned())
    });
    let quoted = tokio::time::timeout(Duration::from_secs(15), quoted).await.expect("in time");
    assert!(quoted.ends_with('Z') && quoted.len() == 24, "{quoted}");
    let scalar = daemon.client().get(&format!("/api/ocps/async/{first}/quote")).await;
    assert_eq!(scalar.text().len(), 24);
}

#[tokio::test]
async fn a_multipart_request_with_a_file_is_run_as_well() {
    let daemon = Bed::new().start().await;
    let parts = [("COMMAND", None, "write r.txt done"), ("UPLOAD", None, "t,param:f"), ("f", Some("f"), "1,2")];
    let made = daemon.client().send("POST", SYNC, &[BOUNDARY], multipart(&parts)).await;
    let waiting = path_of(&made);
    let done = daemon.client().get(&waiting).await;
    assert_eq!(daemon.client().get(&path_of(&done)).await.text(), "done");
    let id = waiting.rsplit('/').next().expect("an id");
    let file = daemon.config.server.jobs_dir.join(id).join("in/t");
    assert_eq!(std::fs::read_to_string(file).expect("the job sees it"), "1,2");
}

#[tokio::test]
async fn several_examples_share_one_vocabulary_and_a_service_without_any_has_no_page() {
    let mut bed = Bed::new();
    let example = |id: &str| Example {
        id: id.to_owned(),
        name: format!("Name of {id}"),
        description: String::new(),
        parameters: vec![("COMMAND".to_owned(), "a < b & c".to_owned())],
    };
    bed.config.services.get_mut("ocps").expect("there").examples = vec![example("one"), example("two")];
    let command = Template::parse(&["run".to_owned()], &[], &[]).expect("a template");
    let typed = Service { program: Program::Command(Jdl { declarations: vec![], command }), ..testing::service() };
    bed.config.services.insert("typed".to_owned(), typed);
    let daemon = bed.start().await;
    let page = Element::parse(daemon.client().get("/api/ocps/examples").await.text());
    let mut found = Vec::new();
    walk(&page, &mut found);
    let with = |attribute: &str| found.iter().filter(|element| element.attribute(attribute).is_some()).count();
    assert_eq!(with("vocab"), 1);
    let names: Vec<&str> = found
        .iter()
        .filter(|element| element.attribute("property") == Some("name"))
        .map(|element| element.text.as_str())
        .collect();
    assert_eq!(names, ["Name of one", "Name of two"]);
    let ids: Vec<&str> = found.iter().filter_map(|element| element.attribute("id")).collect();
    assert_eq!(ids, ["one", "two"]);
    for element in &found {
        let leads = element.attribute("href").is_some() || element.attribute("src").is_some();
        assert!(!leads || element.attribute("property").is_none(), "{element:?}");
    }
    assert_eq!(daemon.client().get("/api/typed/examples").await.status, 404);
    let capabilities = daemon.client().get("/api/typed/capabilities").await;
    assert!(!capabilities.text().contains("DALI#examples"), "{}", capabilities.text());
}

fn walk<'a>(element: &'a Element, found: &mut Vec<&'a Element>) {
    found.push(element);
    element.children.iter().for_each(|child| walk(child, found));
}
