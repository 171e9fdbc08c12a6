//! What the tests of the UWS side share: posting forms, reading documents, checking them against the schemas.

use std::path::{Path, PathBuf};
use std::process::Command;

use http::HeaderMap;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

use crate::bed::{Daemon, eventually};
use crate::client::Answer;

/// The job list of the service.
pub const LIST: &str = "/api/ocps/async";
/// Where clients of these tests find it.
pub const ROOT: &str = "http://localhost/api/ocps/async";

/// A job of the fake engine with results, parameters and logs.
pub const BED_COMMAND: &str = "COMMAND=write+a+b.csv+1;print+x&PHASE=RUN&RUNID=walk&NOTE=a%01b&ENVIRONMENT=A=1";

pub const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// An element of a document.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// The root of a document.
    pub fn parse(xml: &str) -> Self {
        let mut reader = Reader::from_str(xml);
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().unwrap_or_else(|error| panic!("{error}: {xml}")) {
                Event::Start(start) => open.push(Self::begun(&start)),
                Event::Empty(start) => open.last_mut().expect("a parent").children.push(Self::begun(&start)),
                Event::End(_) => {
                    let closed = open.pop().expect("it was opened");
                    open.last_mut().expect("a parent").children.push(closed);
                }
                Event::Text(text) => open.last_mut().expect("a parent").text.push_str(&text),
                Event::GeneralRef(reference) => {
                    let code = reference.resolve_char_ref().expect("a character");
                    let text = code.map(String::from);
                    let text = text.or_else(|| resolve_predefined_entity(&reference).map(str::to_owned));
                    open.last_mut().expect("a parent").text.push_str(&text.expect("a known entity"));
                }
                Event::Eof => break,
                _ => (),
            }
        }
        assert_eq!(open.len(), 1, "an element was not closed: {xml}");
        open.remove(0).children.remove(0)
    }

    fn begun(start: &BytesStart<'_>) -> Self {
        let attributes = start.attributes().map(|attribute| {
            let attribute = attribute.expect("well-formed");
            let value = quick_xml::escape::unescape(&attribute.value).expect("well-formed");
            (attribute.key.as_ref().to_owned(), value.into_owned())
        });
        Self { name: start.name().as_ref().to_owned(), attributes: attributes.collect(), ..Self::default() }
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn find(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The child of this name, which must be there.
    pub fn child(&self, name: &str) -> &Self {
        self.find(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The text of the child of this name.
    pub fn value(&self, name: &str) -> &str {
        &self.child(name).text
    }

    pub fn is_nil(&self, name: &str) -> bool {
        let child = self.child(name);
        child.attribute("xsi:nil") == Some("true") && child.text.is_empty()
    }

    pub fn names(&self) -> Vec<&str> {
        self.children.iter().map(|child| child.name.as_str()).collect()
    }
}

/// The schemas, where they are at hand; `UWSD_TEST_SCHEMA` names the file that imports them all.
fn schema() -> Option<PathBuf> {
    let named = std::env::var_os("UWSD_TEST_SCHEMA").map(PathBuf::from);
    let beside = || {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/uws/schema/all.xsd");
        path.exists().then_some(path)
    };
    named.or_else(beside)
}

/// Fails unless the document is valid, as far as the schemas are at hand; says so if they are not.
pub fn is_valid(daemon: &Daemon, xml: &str) {
    let Some(schema) = schema() else {
        eprintln!("SKIPPED: no schemas at hand (UWSD_TEST_SCHEMA): only the structure was checked");
        return;
    };
    let file = daemon.dir.path().join("document.xml");
    std::fs::write(&file, xml).expect("written");
    let checked = Command::new("xmllint")
        .args(["--noout", "--nonet", "--schema"])
        .arg(&schema)
        .arg(&file)
        .output()
        .expect("xmllint runs");
    assert!(checked.status.success(), "{xml}\n{}", String::from_utf8_lossy(&checked.stderr));
}

/// A valid XML document at a path below the service's list.
pub async fn document(daemon: &Daemon, below: &str) -> Element {
    let answer = daemon.client().get(&format!("{LIST}{below}")).await;
    assert_eq!(answer.status, 200, "{below}: {}", answer.text());
    assert_eq!(answer.header("content-type"), "application/xml; charset=utf-8", "{below}");
    is_valid(daemon, answer.text());
    Element::parse(answer.text())
}

/// The job's document.
pub async fn job(daemon: &Daemon, id: &str) -> Element {
    document(daemon, &format!("/{id}")).await
}

/// The text at a path below the service's list.
pub async fn scalar(daemon: &Daemon, below: &str) -> String {
    let answer = daemon.client().get(&format!("{LIST}{below}")).await;
    assert_eq!(answer.status, 200, "{below}: {}", answer.text());
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8", "{below}");
    answer.text().to_owned()
}

/// Posts an url-encoded form below the service's list.
pub async fn post(daemon: &Daemon, below: &str, form: &str) -> Answer {
    daemon.client().send("POST", &format!("{LIST}{below}"), &[FORM], form).await
}

/// Posts a form that is met: the answer is exactly 303 with an absolute location, which is returned.
pub async fn posted(daemon: &Daemon, below: &str, form: &str) -> String {
    let answer = post(daemon, below, form).await;
    location(&answer, form)
}

/// The location of a 303.
pub fn location(answer: &Answer, what: &str) -> String {
    assert_eq!(answer.status, 303, "{what}: {}", answer.text());
    let location = answer.header("location").to_owned();
    assert!(location.starts_with("http") && !location.ends_with('/'), "{what}: {location}");
    location
}

/// Creates a job; returns its id.
pub async fn create(daemon: &Daemon, form: &str) -> String {
    let location = posted(daemon, "", form).await;
    let id = location.strip_prefix(&format!("{ROOT}/")).unwrap_or_else(|| panic!("{location}"));
    assert_eq!(id.len(), 32, "{location}");
    id.to_owned()
}

/// A job that has ended in this phase; its document.
pub async fn ended(daemon: &Daemon, command: &str, phase: &str) -> (String, Element) {
    let id = create(daemon, &format!("PHASE=RUN&COMMAND={}", command.replace(' ', "+").replace(';', "%3B"))).await;
    (id.clone(), reaches(daemon, &id, phase).await)
}

/// Waits until a job is in a phase; its document then.
pub async fn reaches(daemon: &Daemon, id: &str, phase: &str) -> Element {
    eventually(&format!("{id} to be {phase}"), || async {
        (scalar(daemon, &format!("/{id}/phase")).await == phase).then_some(())
    })
    .await;
    job(daemon, id).await
}

/// The status of a GET below the service's list.
pub async fn status(daemon: &Daemon, below: &str) -> u16 {
    daemon.client().get(&format!("{LIST}{below}")).await.status
}

/// The ids that a list shows.
pub async fn listed(daemon: &Daemon, query: &str) -> Vec<String> {
    let list = document(daemon, query).await;
    list.children.iter().map(|child| child.attribute("id").expect("an id").to_owned()).collect()
}

/// A header's value, for what occurs more than once.
pub fn has(headers: &HeaderMap, name: &str, value: &str) -> bool {
    headers.get_all(name).iter().any(|found| found.to_str().is_ok_and(|found| found.contains(value)))
}
