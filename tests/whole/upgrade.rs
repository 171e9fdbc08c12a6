//! A daemon on what an older one left: the database of every released schema is opened, backed up, migrated and served.

use http::StatusCode;
use serde_json::{Value, json};

use crate::bed::{Bed, Engine};
use crate::program::{SmallDisk, Told, command, database, ids, integrity, look, names, uwsd};

/// The newest schema.
const NEWEST: u32 = 7;

/// The job that a daemon of schema 6 has forgotten.
const FORGOTTEN: &str = "019ff3b0000074008000000a11ce0fff";

/// What the JSON API tells: pointers into its document, and the JSON there.
type Facts = &'static [(&'static str, &'static str)];

/// What the jobs of a fixture are, by their run ids: since which schema, and what is told of them after the start.
const JOBS: [(&str, u32, Facts); 17] = [
    ("pending", 1, &[("/phase", "\"pending\""), ("/parameters/command/2", "\"echo not yet\""), ("/startTime", "null")]),
    ("queued", 1, &[("/phase", "\"completed\""), ("/jobInfo/exitCode", "0"), ("/results/0/id", "0")]),
    ("executing", 1, &[("/phase", "\"error\""), ("/jobInfo/reason", "\"host-restart\"")]),
    (
        "completed",
        1,
        &[
            ("/phase", "\"completed\""),
            ("/jobInfo/exitCode", "0"),
            ("/jobInfo/peakMemory", "52428800"),
            ("/jobInfo/host", "\"summit\""),
            ("/jobInfo/commit", "\"c0ffee0000000000000000000000000000000000\""),
            ("/parameters/url", "\"https://github.com/lsst-dm/uws_scripts\""),
            ("/parameters/commit_ref", "\"main\""),
            ("/destruction", "\"2100-01-01 00:00:00+00:00\""),
            ("/executionDuration", "60.0"),
        ],
    ),
    (
        "failed",
        1,
        &[
            ("/phase", "\"error\""),
            ("/jobInfo/reason", "\"nonzero\""),
            ("/jobInfo/exitCode", "7"),
            ("/errorSummary/type", "\"fatal\""),
            ("/errorSummary/message", "\"the command ended with exit code 7\""),
        ],
    ),
    ("oom", 1, &[("/jobInfo/reason", "\"oom\""), ("/jobInfo/signal", "9"), ("/jobInfo/peakMemory", "268435456")]),
    ("no-source", 1, &[("/phase", "\"error\""), ("/jobInfo/reason", "\"clone-failed\""), ("/startTime", "null")]),
    ("aborted", 1, &[("/phase", "\"aborted\""), ("/jobInfo/reason", "\"aborted\"")]),
    ("timeout", 1, &[("/phase", "\"aborted\""), ("/jobInfo/reason", "\"timeout\"")]),
    ("to-abort", 1, &[("/phase", "\"aborted\""), ("/jobInfo/reason", "\"aborted\""), ("/startTime", "null")]),
    // Held as the JSON API tells it.
    ("held", 2, &[("/phase", "\"queued\""), ("/startTime", "null")]),
    ("suspended", 2, &[("/phase", "\"error\""), ("/jobInfo/reason", "\"host-restart\"")]),
    ("archived", 2, &[("/phase", "\"completed\""), ("/jobInfo/reason", "\"ok\"")]),
    ("replicas", 3, &[("/jobInfo/replicas/1/exitCode", "1"), ("/jobInfo/replicas/0/peakMemory", "1048576")]),
    ("cleaned", 3, &[("/phase", "\"completed\""), ("/jobInfo/filesRemoved", "\"2026-07-12T04:00:00.000Z\"")]),
    // By the clock that nobody sets, not the difference of its stamps.
    ("failed", 6, &[("/executionDuration", "1.25")]),
    // What it was being stopped for before the host went down.
    ("overused", 7, &[("/phase", "\"aborted\""), ("/jobInfo/reason", "\"output-too-large\"")]),
];

/// The UWS phase, where it is not that of the JSON API.
fn uws_phase(run_id: &str, json: &str) -> String {
    match run_id {
        "held" => "HELD".to_owned(),
        "archived" => "ARCHIVED".to_owned(),
        _ => json.to_uppercase(),
    }
}

/// A bed whose database is the fixture of a schema.
fn bed_of(version: u32) -> Bed {
    let bed = bed();
    std::fs::create_dir(bed.path().join("state")).expect("made");
    fill(&bed, version);
    bed
}

fn bed() -> Bed {
    let service = "\n[service.cutout]\ncommand = [\"/bin/true\", \"{RA}\"]\n\
                   parameters = [{ name = \"RA\", type = \"real\", required = true }]\n";
    Bed::new(&Engine::Process, service)
}

fn fill(bed: &Bed, version: u32) {
    let fixture = format!("{}/tests/fixtures/schema-{version}.sql", env!("CARGO_MANIFEST_DIR"));
    let sql = std::fs::read_to_string(fixture).expect("every released schema has a fixture");
    rusqlite::Connection::open(database(bed)).expect("made").execute_batch(&sql).expect("filled");
}

/// The id of the job with this run id.
fn id_of(bed: &Bed, run_id: &str) -> String {
    let sql = "SELECT lower(hex(id)) FROM job WHERE run_id = ?1";
    look(&database(bed)).query_row(sql, [run_id], |row| row.get(0)).expect("it is there")
}

async fn served(version: u32) {
    let bed = bed_of(version);
    let before = ids(&database(&bed));
    let check = uwsd(&bed, &["db", "check"]).done();
    let grows = format!("schema  {version} (the next start of this version brings it to {NEWEST}, after a backup)");
    assert_eq!(check.contains(&grows), version < NEWEST, "{check}");
    let deleted = id_of(&bed, "deleted");
    let owned = id_of(&bed, "owned");

    let daemon = bed.start(None).await;
    // Its own backup of what was there.
    let mut backups = names(&bed.path().join("state"));
    backups.retain(|name| name.starts_with(&format!("uwsd.db.schema-{version}-")));
    assert_eq!(backups.len(), usize::from(version < NEWEST), "{backups:?}");
    for name in &backups {
        let path = bed.path().join("state").join(name);
        let kept: u32 = look(&path).query_row("PRAGMA user_version", [], |row| row.get(0)).expect("read");
        assert_eq!((kept, integrity(&path).as_str(), ids(&path)), (version, "ok", before.clone()));
        assert!(bed.log().contains(&format!("backed up the job database to {}", path.display())), "{}", bed.log());
    }

    for (run_id, since, told) in JOBS {
        if since <= version {
            means_what_it_meant(&bed, version, run_id, told).await;
        }
    }
    let id = id_of(&bed, "queued");
    assert_eq!(bed.get(&format!("/api/v1/job/result/{id}/0")).await.text(), "hello from before");
    let typed = id_of(&bed, "typed");
    let typed = bed.get(&format!("/api/cutout/async/{typed}")).await.text();
    for part in ["<uws:parameter id=\"RA\">10.68<", "<uws:parameter id=\"DEC\">41.27<", "id=\"cutout.fits\""] {
        assert!(typed.contains(part), "{part} in {typed}");
    }
    for (gone, told) in [
        (owned.as_str(), ""),
        (&deleted, "this job was destroyed at 2026-"),
        (FORGOTTEN, if version >= 6 { "this job was destroyed at 2026-08-12T01:00:00.000Z" } else { "" }),
    ] {
        let answer = bed.get(&format!("/api/v1/job/{gone}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        let said = answer.json();
        let said = said.as_str().expect("a text");
        assert!(said.starts_with(told) && said.is_empty() == told.is_empty(), "{gone}: {said:?}");
    }
    if version >= 2 {
        let archived = format!("/api/ocps/async/{}/results/stdout", id_of(&bed, "archived"));
        let (archived, at) = (bed.get(&archived).await, if version >= 4 { "2026-08-12T02:16:05" } else { "2026-" });
        let told = format!("this job was destroyed: its files went at {at}");
        assert!(archived.status == StatusCode::NOT_FOUND && archived.text().starts_with(&told), "{}", archived.text());
        let again = bed.request(
            "PUT",
            "/api/v1/job",
            &[("content-type", "application/json"), ("idempotency-key", "from-before")],
            "{\"command\": \"true\"}",
        );
        assert_eq!(again.await.status, StatusCode::UNPROCESSABLE_ENTITY, "the key is still known");
    }

    // It goes on as any other.
    let new = bed.submit("exit 3").await;
    assert_eq!(bed.ends(&new).await["jobInfo"]["exitCode"], json!(3));
    assert!(bed.get("/api/ocps/async").await.text().contains(&new));
    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
    assert!(uwsd(&bed, &["db", "check"]).done().ends_with("it is sound\n"));

    // And back, for an older program.
    if let Some(name) = backups.first() {
        let path = bed.path().join("state").join(name);
        let said = uwsd(&bed, &["restore", path.to_str().expect("plain")]).done();
        assert!(said.contains(&format!("  schema {version}, ")), "{said}");
        assert_eq!(ids(&database(&bed)), before);
    }
}

async fn means_what_it_meant(bed: &Bed, version: u32, run_id: &str, told: Facts) {
    let id = id_of(bed, run_id);
    let path = format!("/api/v1/job/{id}");
    let expected: Vec<(&str, Value)> =
        told.iter().map(|(at, value)| (*at, serde_json::from_str(value).expect("JSON"))).collect();
    // What was on its way when the older daemon ended is brought to an end.
    if let Some((_, phase)) = expected.iter().find(|(at, _)| *at == "/phase") {
        bed.until(&format!("{run_id} to be {phase}"), async || bed.get(&path).await.json()["phase"] == *phase).await;
    }
    let job = bed.get(&path).await.json();
    assert_eq!((&job["runId"], &job["jobId"]), (&json!(run_id), &json!(id)));
    for (at, value) in expected {
        // Later schemas have their own days.
        let value =
            if at == "/jobInfo/filesRemoved" && version >= 4 { json!("2026-08-12T04:00:00.000Z") } else { value };
        assert_eq!(job.pointer(at).unwrap_or(&Value::Null), &value, "{at} of {run_id}, of schema {version}: {job}");
    }
    let document = bed.get(&format!("/api/ocps/async/{id}")).await;
    let phase = uws_phase(run_id, job["phase"].as_str().expect("a word"));
    assert_eq!(document.status, StatusCode::OK);
    for part in [format!("<uws:phase>{phase}<"), format!("<uws:runId>{run_id}<")] {
        assert!(document.text().contains(&part), "{part} in {}", document.text());
    }
}

#[tokio::test]
async fn a_database_of_schema_1_is_upgraded_and_served() {
    served(1).await;
}

#[tokio::test]
async fn a_database_of_schema_2_is_upgraded_and_served() {
    served(2).await;
}

#[tokio::test]
async fn a_database_of_schema_3_is_upgraded_and_served() {
    served(3).await;
}

#[tokio::test]
async fn a_database_of_schema_4_is_upgraded_and_served() {
    served(4).await;
}

#[tokio::test]
async fn a_database_of_schema_5_is_upgraded_and_served() {
    served(5).await;
}

#[tokio::test]
async fn a_database_of_schema_6_is_upgraded_and_served() {
    served(6).await;
}

#[tokio::test]
async fn a_database_of_schema_7_is_served() {
    served(7).await;
}

/// The order of docs/maintenance.md, "Go back": this program is the older one, on what a newer one left.
#[tokio::test]
async fn an_older_program_refuses_a_newer_schema_and_goes_back_to_the_backup_of_the_upgrade() {
    let bed = bed_of(NEWEST);
    let state = bed.path().join("state");
    let before = ids(&database(&bed));
    let backup = state.join(format!("uwsd.db.schema-{NEWEST}-20310101T000000Z"));
    std::fs::copy(database(&bed), &backup).expect("copied");
    let newer =
        format!("ALTER TABLE job ADD COLUMN later TEXT; CREATE TABLE more (x); PRAGMA user_version = {}", NEWEST + 1);
    let connection = rusqlite::Connection::open(database(&bed)).expect("opened");
    connection.pragma_update(None, "journal_mode", "WAL").expect("set");
    connection.execute_batch(&newer).expect("changed");
    connection.execute_batch("DELETE FROM job").expect("changed");
    drop(connection);

    let told: Told = command(&bed, &["serve", "--listen", "127.0.0.1:0"]).output().expect("started").into();
    assert_eq!(told.code, Some(1), "{}", told.complaint);
    let refusal =
        format!("has schema version {}, this program knows up to {NEWEST}; it was left untouched", NEWEST + 1);
    assert!(told.complaint.contains(&refusal), "{}", told.complaint);

    let said = uwsd(&bed, &["restore", "--drained", backup.to_str().expect("plain")]).done();
    assert_eq!(ids(&database(&bed)), before, "{said}");
    let kept = names(&state).into_iter().find(|name| name.starts_with("uwsd.db.replaced-")).expect("it is kept");
    let version: u32 = look(&state.join(kept)).query_row("PRAGMA user_version", [], |row| row.get(0)).expect("read");
    assert_eq!(version, NEWEST + 1);
    let _daemon = bed.start(None).await;
    let id = id_of(&bed, "completed");
    assert_eq!(bed.get(&format!("/api/v1/job/{id}")).await.json()["phase"], json!("completed"));
}

#[tokio::test]
async fn without_room_for_the_backup_nothing_is_migrated_and_what_to_do_is_said() {
    let bed = bed();
    let Some(disk) = SmallDisk::at(&bed.path().join("state"), 512) else { return };
    fill(&bed, 3);
    let before = std::fs::read(database(&bed)).expect("there");
    std::fs::write(disk.0.join("ballast"), vec![1; 360 << 10]).expect("there is room");
    let serve = command(&bed, &["serve", "--listen", "127.0.0.1:0"]);
    let mut bounded = std::process::Command::new("timeout");
    let told: Told =
        bounded.arg("60").arg(serve.get_program()).args(serve.get_args()).output().expect("started").into();
    assert_eq!(told.code, Some(1), "{}", told.complaint);
    for part in [
        "uwsd.db has schema version 3 and was not brought to 7, since it could not be backed up before; make room beside it",
        ": the copy takes ",
    ] {
        assert!(told.complaint.contains(part), "{part} in {}", told.complaint);
    }
    assert!(
        std::fs::read(database(&bed)).expect("there")[100..] == before[100..],
        "but for its header it is as it was"
    );
    assert!(!names(&disk.0).iter().any(|name| name.contains(".schema-") || name.starts_with(".uwsd-")));
    std::fs::remove_file(disk.0.join("ballast")).expect("removed");
    let _daemon = bed.start(None).await;
    assert!(names(&disk.0).iter().any(|name| name.starts_with("uwsd.db.schema-3-")));
}
