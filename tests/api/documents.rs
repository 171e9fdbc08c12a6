//! Documents about the service itself: OpenAPI, availability, health.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use uwsd::config::ListenAddress;

use crate::bed::{Bed, Daemon, eventually};
use crate::client::Client;
use crate::operator::with_socket;

/// Every `$ref` in a document.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.insert(reference);
            }
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

#[tokio::test]
async fn the_openapi_document_describes_every_route() {
    let daemon = Bed::new().start().await;
    let answer = daemon.client().get("/api/v1/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let document = answer.json();
    assert!(document["openapi"].as_str().expect("a version").starts_with("3.1."));
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    assert_eq!(document["servers"][0]["url"], "/api");
    let expected = [
        ("/v1/job", vec!["get", "put"]),
        ("/v1/job/result/{jobId}/{resultId}", vec!["get"]),
        ("/v1/job/{jobId}", vec!["delete", "get"]),
        ("/v1/job/{jobId}/parameters", vec!["get"]),
        ("/v1/job/{jobId}/phase", vec!["get"]),
        ("/v1/job/{jobId}/results", vec!["get"]),
        ("/v1/job/{jobId}/stderr", vec!["get"]),
        ("/v1/job/{jobId}/stdout", vec!["get"]),
        ("/v1/openapi.json", vec!["get"]),
    ];
    let paths = document["paths"].as_object().expect("paths");
    let methods = |item: &Value| item.as_object().expect("an item").keys().cloned().collect::<BTreeSet<_>>();
    let described: Vec<(&str, BTreeSet<String>)> =
        paths.iter().map(|(path, item)| (path.as_str(), methods(item))).collect();
    let expected: Vec<(&str, BTreeSet<String>)> =
        expected.iter().map(|(path, methods)| (*path, methods.iter().map(ToString::to_string).collect())).collect();
    assert_eq!(described, expected);
}

#[tokio::test]
async fn the_openapi_document_is_sound() {
    let daemon = Bed::new().start().await;
    let document = daemon.client().get("/api/v1/openapi.json").await.json();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.contains("#/components/schemas/Job"), "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference inside");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            let name = operation["operationId"].as_str().expect("an id");
            assert!(names.insert(name), "{name} twice");
            assert!(operation["summary"].is_string(), "{method} {path}");
            for (status, response) in operation["responses"].as_object().expect("responses") {
                assert!(status.parse::<u16>().is_ok() && response["description"].is_string(), "{method} {path}");
            }
            let parameters = operation.get("parameters").and_then(Value::as_array);
            let declared = parameters.into_iter().flatten().filter(|parameter| parameter["in"] == "path");
            assert_eq!(declared.count(), path.matches('{').count(), "{method} {path}");
        }
    }
    let job = &document["components"]["schemas"]["Job"];
    let required: BTreeSet<&str> =
        job["required"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let shown = daemon.put(&serde_json::json!({ "command": "print 1" })).await.json();
    let keys: BTreeSet<&str> = shown.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(required, keys, "a job object always has every key");
    let request = &document["components"]["schemas"]["JobRequest"];
    assert_eq!(request["required"], serde_json::json!(["command"]));
}

#[tokio::test]
async fn health_tells_that_the_process_is_up_and_readiness_that_jobs_can_run() {
    let daemon = Bed::new().start().await;
    let client = daemon.client();
    let health = client.get("/healthz").await;
    assert_eq!((health.status, health.text()), (200, "ok"));
    assert!(client.get("/readyz").await.text().contains("fake"));
}

/// Holds an availability document against its schema.
pub fn is_valid(xml: &str, daemon: &Daemon) {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema/VOSIAvailability-v1.0.xsd");
    let file = daemon.dir.path().join("availability.xml");
    std::fs::write(&file, xml).expect("written");
    let checked =
        Command::new("xmllint").arg("--noout").arg("--schema").arg(&schema).arg(&file).output().expect("xmllint runs");
    assert!(checked.status.success(), "{xml}\n{}", String::from_utf8_lossy(&checked.stderr));
}

#[tokio::test]
async fn availability_is_a_valid_document_either_way() {
    let mut bed = Bed::new();
    bed.engine_answers = false;
    let daemon = bed.start().await;
    let client = daemon.client();
    let path = "/api/ocps/availability";
    let away = client.get(path).await;
    assert_eq!((away.status, away.header("content-type")), (200, "text/xml; charset=utf-8"));
    assert!(away.text().contains("<vosi:available>false</vosi:available>"), "{}", away.text());
    is_valid(away.text(), &daemon);
    assert_eq!((client.get("/readyz").await.status, client.get("/healthz").await.status), (503, 200));
    daemon.engine.set_silent(false);
    let back = eventually("the engine to be noticed", || async {
        let answer = client.get(path).await;
        answer.text().contains("<vosi:available>true</vosi:available>").then_some(answer)
    })
    .await;
    assert!(back.text().contains("<vosi:upSince>"), "{}", back.text());
    is_valid(back.text(), &daemon);
    for told in [away, back] {
        assert!(!told.text().contains("backAt"), "{}", told.text());
    }
}

#[tokio::test]
async fn a_drained_service_does_not_say_when_it_is_back() {
    let daemon = with_socket(Bed::new()).start().await;
    let operator = Client::new(ListenAddress::Unix(daemon.dir.path().join("uwsd.sock")));
    assert_eq!(operator.send("POST", "/admin/drain", &[], "").await.status, 200);
    let told = daemon.client().get("/api/ocps/availability").await;
    assert!(told.text().contains("<vosi:available>false<"), "{}", told.text());
    assert!(told.text().contains("drained by an operator") && !told.text().contains("backAt"), "{}", told.text());
    is_valid(told.text(), &daemon);
}
