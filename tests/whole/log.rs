//! The log as programs read it.

use serde_json::Value;

use crate::bed::{Bed, Engine};

#[tokio::test]
async fn as_json_every_line_is_an_object_and_those_of_a_job_have_its_id() {
    let bed = Bed::new(&Engine::Process, "\n[log]\nformat = \"json\"\nlevel = \"debug\"\n");
    let daemon = bed.start(None).await;
    // Words of callers in the log are no lines of it.
    let answer = bed.get("/api/ocps/async?RUNID=%0A%22").await;
    assert!(answer.status.is_success(), "{}", answer.text());
    let id = bed.submit("exit 3").await;
    bed.ends(&id).await;
    assert_eq!(daemon.terminate().await, Some(0));

    let log = bed.log();
    let parsed = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let lines: Vec<Value> = log.lines().map(parsed).collect();
    for line in &lines {
        for field in ["timestamp", "level", "message", "target"] {
            assert!(line[field].is_string(), "no {field}: {line}");
        }
    }
    let ended: Vec<&Value> =
        lines.iter().filter(|line| line["job.id"] == *id && line["job.phase"] == "ERROR").collect();
    assert_eq!(ended.len(), 1, "{log}");
    assert_eq!((&ended[0]["job.reason"], &ended[0]["service"]), (&"nonzero".into(), &"ocps".into()));
    // What it is part of says it too, for entries that do not repeat it.
    assert_eq!(ended[0]["spans"][0]["job.id"], *id, "{}", ended[0]);
}
