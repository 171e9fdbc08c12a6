//! Services with typed parameters: what they take, what they refuse, what the job is given.

use std::collections::BTreeMap;

use uwsd::config::{Program, Service, testing};
use uwsd::domain::jdl::{Declaration, Jdl, Template, ValueKind};

use crate::bed::{Bed, Daemon};
use crate::client::Answer;
use crate::operator::{order, with_socket};
use crate::uws::{Element, FORM, is_valid, location};

const LIST: &str = "/api/cutout/async";

fn declarations() -> Vec<Declaration> {
    let ra = Declaration {
        is_required: true,
        min: Some(0.0),
        max: Some(360.0),
        unit: Some("deg".to_owned()),
        ucd: Some("pos.eq.ra".to_owned()),
        description: "Right ascension".to_owned(),
        ..Declaration::new("RA", ValueKind::Real)
    };
    let band = ValueKind::Enum(["g", "r", "i"].map(str::to_owned).to_vec());
    vec![
        ra,
        Declaration { is_multiple: true, ..Declaration::new("BAND", band) },
        Declaration { default: Some("5".to_owned()), ..Declaration::new("SIZE", ValueKind::Integer) },
        Declaration::new("FLAG", ValueKind::Boolean),
        Declaration::new("WHEN", ValueKind::Timestamp),
        Declaration::new("CATALOG", ValueKind::File),
        Declaration::new("RESPONSEFORMAT", ValueKind::Text),
    ]
}

/// The fake engine plays the last word of a command as its script.
fn cutout() -> Service {
    let words = ["run", "--ra={RA}", "--band", "{BAND}", "print {RA} {SIZE}; write result.dat x"];
    let declarations = declarations();
    let command = Template::parse(&words.map(str::to_owned), &declarations, &["BAND"]).expect("a template");
    Service { program: Program::Command(Jdl { declarations, command }), ..testing::service() }
}

fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.config.services = BTreeMap::from([("cutout".to_owned(), cutout()), ("ocps".to_owned(), testing::service())]);
    bed
}

async fn post(daemon: &Daemon, path: &str, form: &str) -> Answer {
    daemon.client().send("POST", path, &[FORM], form).await
}

async fn document(daemon: &Daemon, path: &str) -> Element {
    let answer = daemon.client().get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    is_valid(daemon, answer.text());
    Element::parse(answer.text())
}

fn path_of(answer: &Answer, what: &str) -> String {
    location(answer, what).strip_prefix("http://localhost").expect("of this host").to_owned()
}

fn parameters(document: &Element) -> Vec<(String, String)> {
    let list = document.child("uws:parameters");
    list.children.iter().map(|one| (one.attribute("id").expect("an id").to_owned(), one.text.clone())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn ends(daemon: &Daemon, path: &str) -> Element {
    let answer = daemon.client().get(&format!("{path}?WAIT=10&PHASE=QUEUED")).await;
    assert_eq!(answer.status, 200);
    crate::bed::eventually("the job to end", || async {
        let job = document(daemon, path).await;
        job.find("uws:endTime").is_some_and(|_| !job.is_nil("uws:endTime")).then_some(job)
    })
    .await
}

#[tokio::test]
async fn names_in_any_case_become_the_service_s_and_defaults_are_filled_in_when_it_runs() {
    let daemon = bed().start().await;
    let made = post(&daemon, LIST, "ra=10.5&Band=g&BAND=r&LANG=x").await;
    let job = path_of(&made, "creation");
    let given = pairs(&[("RA", "10.5"), ("BAND", "g"), ("BAND", "r"), ("LANG", "x")]);
    assert_eq!(parameters(&document(&daemon, &job).await), given);
    let run = post(&daemon, &format!("{job}/phase"), "PHASE=RUN").await;
    assert_eq!(run.status, 303, "{}", run.text());
    let ended = ends(&daemon, &job).await;
    assert_eq!(ended.value("uws:phase"), "COMPLETED");
    let mut with_default = given;
    with_default.push(("SIZE".to_owned(), "5".to_owned()));
    assert_eq!(parameters(&ended), with_default);
    let log = daemon.client().get(&format!("{job}/results/stdout")).await;
    assert_eq!(log.text(), "10.5 5\n");
}

#[tokio::test]
async fn a_wrong_value_is_400_with_a_sentence_and_makes_no_job() {
    let daemon = bed().start().await;
    for (form, sentence) in [
        ("RA=x", "RA is \"x\"; give a real number from 0 to 360 in deg"),
        ("RA=361", "RA is \"361\"; give a real number from 0 to 360 in deg"),
        ("RA=1&ra=2", "RA is given more than once; give it once"),
        ("RA=1&BAND=z", "BAND is \"z\"; give one of g, r, i"),
        ("RA=1&SIZE=1.5", "SIZE is \"1.5\"; give a whole number"),
        ("RA=1&FLAG=maybe", "FLAG is \"maybe\"; give true or false"),
        ("RA=1&WHEN=now", "WHEN is \"now\"; give an instant in UTC like 2031-03-04T08:15:00.250Z"),
        ("RA=1&CATALOG=param:c", "CATALOG asks for \"param:c\", and no file part of that name came with the request"),
        ("RA=1&CATALOG=file:///etc/passwd", "CATALOG is \"file:///etc/passwd\"; give a file"),
        ("RA=1&CATALOG=http://localhost/x", "CATALOG: files are not fetched from URLs here"),
        ("BAND=g&PHASE=RUN", "RA is missing; give a real number from 0 to 360 in deg"),
        ("RA=1&UPLOAD=t", "UPLOAD is \"t\"; give NAME,URI, as in mytable,param:PART"),
        ("RA=1&UPLOAD=t,param:none", "UPLOAD asks for \"param:none\", and no file part of that name came"),
    ] {
        let answer = post(&daemon, LIST, form).await;
        assert_eq!(answer.status, 400, "{form}: {}", answer.text());
        assert!(answer.text().starts_with(sentence), "{form}: {}", answer.text());
    }
    assert!(document(&daemon, LIST).await.children.is_empty());
}

#[tokio::test]
async fn a_job_that_lacks_something_is_completed_before_it_runs() {
    let daemon = bed().start().await;
    let job = path_of(&post(&daemon, LIST, "BAND=g").await, "creation");
    let early = post(&daemon, &format!("{job}/phase"), "PHASE=RUN").await;
    assert_eq!((early.status, early.text()), (400, "RA is missing; give a real number from 0 to 360 in deg"));
    assert_eq!(document(&daemon, &job).await.value("uws:phase"), "PENDING");
    // One with several values is added to, another replaced.
    for form in ["RA=7", "band=r", "RA=8"] {
        assert_eq!(post(&daemon, &format!("{job}/parameters"), form).await.status, 303, "{form}");
    }
    let bad = post(&daemon, &format!("{job}/parameters"), "RA=x").await;
    assert_eq!(bad.status, 400);
    let expected = pairs(&[("BAND", "g"), ("BAND", "r"), ("RA", "8")]);
    assert_eq!(parameters(&document(&daemon, &job).await), expected);
    assert_eq!(post(&daemon, &format!("{job}/phase"), "PHASE=RUN").await.status, 303);
    assert_eq!(ends(&daemon, &job).await.value("uws:phase"), "COMPLETED");
}

#[tokio::test]
async fn each_service_has_its_own_list_and_no_other_s_jobs() {
    let daemon = bed().start().await;
    let job = path_of(&post(&daemon, LIST, "RA=1").await, "creation");
    let id = job.rsplit('/').next().expect("an id");
    assert_eq!(document(&daemon, LIST).await.children.len(), 1);
    assert!(document(&daemon, "/api/ocps/async").await.children.is_empty());
    assert_eq!(daemon.client().get(&format!("/api/ocps/async/{id}")).await.status, 404);
    assert_eq!(daemon.client().get(&format!("/api/v1/job/{id}")).await.status, 404);
}

#[tokio::test]
async fn the_parameters_stand_in_the_capabilities_and_in_parameters_json() {
    let daemon = bed().start().await;
    let capabilities = document(&daemon, "/api/cutout/capabilities").await;
    let uws =
        capabilities.children.iter().find(|one| one.attribute("standardID") == Some("ivo://ivoa.net/std/UWS#rest-1.1"));
    let interface = uws.expect("UWS").child("interface");
    let names: Vec<&str> =
        interface.children.iter().filter(|one| one.name == "param").map(|one| one.value("name")).collect();
    assert_eq!(names, ["RA", "BAND", "SIZE", "FLAG", "WHEN", "CATALOG", "RESPONSEFORMAT"]);
    let ra = interface.children.iter().find(|one| one.name == "param").expect("RA");
    assert_eq!((ra.attribute("use"), ra.value("unit"), ra.value("dataType")), (Some("required"), "deg", "real"));

    let job = path_of(&post(&daemon, LIST, "RA=1.5&BAND=g&FLAG=1&PHASE=RUN").await, "creation");
    ends(&daemon, &job).await;
    let id = job.rsplit('/').next().expect("an id");
    let file = daemon.config.server.jobs_dir.join(id).join("in/parameters.json");
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(file).expect("there")).expect("JSON");
    assert_eq!(written, serde_json::json!({"RA": 1.5, "BAND": ["g"], "SIZE": 5, "FLAG": true}));
}

#[tokio::test]
async fn a_default_stands_in_parameters_json_also_if_the_job_was_held_before_it_was_run() {
    let daemon = with_socket(bed()).start().await;
    let job = path_of(&post(&daemon, LIST, "RA=1.5").await, "creation");
    let id = job.rsplit('/').next().expect("an id");
    for what in ["hold", "release"] {
        assert_eq!(order(&daemon, id, what).await.status, 200, "{what}");
    }
    assert_eq!(post(&daemon, &format!("{job}/phase"), "PHASE=RUN").await.status, 303);
    ends(&daemon, &job).await;
    let file = daemon.config.server.jobs_dir.join(id).join("in/parameters.json");
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(file).expect("there")).expect("JSON");
    assert_eq!(written["SIZE"], 5);
}

#[tokio::test]
async fn the_main_result_has_the_format_that_was_asked_for() {
    let daemon = bed().start().await;
    for (asked, expected) in [("csv", "text/csv"), ("application/x-votable%2Bxml", "application/x-votable+xml")] {
        let job = path_of(&post(&daemon, LIST, &format!("RA=1&RESPONSEFORMAT={asked}&PHASE=RUN")).await, "creation");
        let ended = ends(&daemon, &job).await;
        let result = &ended.child("uws:results").children[0];
        assert_eq!(result.attribute("mime-type"), Some(expected));
        let file = daemon.client().get(&format!("{job}/results/result.dat")).await;
        assert_eq!(file.header("content-type"), expected);
    }
    let twice = post(&daemon, LIST, "RA=1&RESPONSEFORMAT=csv&responseformat=tsv").await;
    assert_eq!((twice.status, twice.text()), (400, "RESPONSEFORMAT is given more than once; give it once"));
}
