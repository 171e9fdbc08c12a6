//! Documents, dashboard and alerts speak of the metrics that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;
use uwsd::domain::Reason;

use crate::bed::Bed;
use crate::exposition::Exposition;
use crate::metrics::{OCPS, until};

/// A scrape of a daemon that has done something of everything.
async fn busy() -> Exposition {
    let daemon = Bed::new().start().await;
    let id = daemon.submit("print 1").await;
    daemon.reaches(&id, "completed").await;
    until(&daemon, "uwsd_jobs", &[OCPS, ("phase", "COMPLETED")], 1.0).await
}

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("readable")
}

#[tokio::test]
async fn every_metric_is_documented_with_its_type_and_labels_and_no_other() {
    let told = busy().await.metrics();
    let table = file("docs/metrics.md");
    let rows = table.lines().filter(|line| line.starts_with("| `uwsd_") || line.starts_with("| `process_"));
    let documented: BTreeMap<String, (String, BTreeSet<String>)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let labels = cells[3].split(", ").filter(|label| !label.is_empty());
            let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
            assert!(cells[4].len() > 10, "no meaning: {row}");
            (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
        })
        .collect();
    assert!(told.len() > 35, "{told:?}");
    let wrong: Vec<String> = told
        .keys()
        .chain(documented.keys())
        .filter(|name| told.get(*name) != documented.get(*name))
        .map(|name| format!("{name}: told {:?}, documented {:?}", told.get(name), documented.get(name)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The metrics that a text asks for, with the labels that it selects or groups them by.
fn asked(text: &str) -> Vec<(String, Vec<String>)> {
    let pattern = regex::Regex::new(r"\b((?:uwsd|process)_[a-z0-9_]+)(?:\{([^}]*)\})?").expect("a pattern");
    let label = regex::Regex::new(r"([a-z_]+)\s*(?:=~|!~|!=|=)").expect("a pattern");
    let labels = |text: &str| label.captures_iter(text).map(|found| found[1].to_owned()).collect();
    let found = pattern.captures_iter(text);
    found.map(|found| (found[1].to_owned(), found.get(2).map_or_else(Vec::new, |text| labels(text.as_str())))).collect()
}

#[tokio::test]
async fn dashboard_and_alerts_ask_only_for_what_there_is() {
    let told = busy().await;
    let names = told.names();
    // What the scraper adds.
    let added = ["job", "instance", "le"];
    for (path, least) in [("packaging/grafana/uwsd.json", 30), ("packaging/prometheus/uwsd.rules.yml", 12)] {
        let asked = asked(&file(path));
        assert!(asked.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().len() >= least, "{path}: {asked:?}");
        for (name, labels) in asked {
            assert!(names.contains(name.as_str()), "{path} asks for {name}, which is not there");
            for label in labels {
                let of_it = told.samples.iter().filter(|sample| sample.name == name);
                let has = of_it.into_iter().any(|sample| sample.labels.contains_key(&label));
                assert!(has || added.contains(&label.as_str()), "{path}: {name} has no label {label}");
            }
        }
    }
}

#[test]
fn every_alert_is_documented_with_its_severity_and_tested() {
    let rules = file("packaging/prometheus/uwsd.rules.yml");
    let alerts: BTreeSet<(String, String)> = rules
        .split("- alert: ")
        .skip(1)
        .map(|rule| {
            let severity = rule.split("severity: ").nth(1).and_then(|rest| rest.lines().next()).expect("a severity");
            assert!(rule.contains("summary: ") && rule.contains("description: "), "{rule}");
            (rule.lines().next().expect("a name").to_owned(), severity.to_owned())
        })
        .collect();
    let table = file("docs/metrics.md");
    let rows = table.lines().filter(|line| line.starts_with("| `Uwsd"));
    let documented = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
    });
    assert_eq!(documented.collect::<BTreeSet<_>>(), alerts);
    let tests = file("packaging/prometheus/uwsd.rules.test.yml");
    for (alert, _) in alerts {
        assert!(tests.contains(&format!("alertname=\"{alert}\"")), "{alert} has no test that raises it");
    }
}

#[test]
fn the_dashboard_is_one_that_can_be_imported_anywhere() {
    let dashboard: serde_json::Value = serde_json::from_str(&file("packaging/grafana/uwsd.json")).expect("JSON");
    assert_eq!((&dashboard["uid"], &dashboard["id"]), (&json!("uwsd"), &json!(null)));
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    assert!(variables.iter().any(|variable| variable["type"] == "datasource" && variable["name"] == "datasource"));
    let panels = dashboard["panels"].as_array().expect("panels");
    let rows: Vec<&str> =
        panels.iter().filter(|panel| panel["type"] == "row").filter_map(|panel| panel["title"].as_str()).collect();
    assert_eq!(rows, ["Overview", "Jobs", "Queue", "Engine", "Disk and database", "HTTP", "Process"]);
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty() && targets.iter().all(|target| target["expr"].is_string()), "{}", panel["title"]);
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 10), "{}", panel["title"]);
    }
}

#[test]
fn every_reason_is_documented_with_its_phase() {
    let page = include_str!("../../docs/api.md");
    for reason in Reason::ALL {
        let rows = || page.lines().filter(|line| line.starts_with('|'));
        let row =
            rows().find(|line| line.split('|').nth(1).is_some_and(|words| words.contains(&format!("`{reason}`"))));
        let row = row.unwrap_or_else(|| panic!("{reason} is in no table of docs/api.md"));
        let phase = reason.phase().as_str().to_lowercase();
        assert_eq!(row.split('|').nth(2).map(str::trim), Some(phase.as_str()), "{row}");
    }
}
