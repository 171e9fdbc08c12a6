//! A backup put back, and what is not taken for one.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::bed::{Bed, Daemon, Engine};
use crate::program::{database, ids, integrity, look, names, uwsd};

fn backup(bed: &Bed) -> String {
    let path = bed.path().join("backup");
    let name = path.to_str().expect("plain").to_owned();
    uwsd(bed, &["backup", "--force", &name]).done();
    name
}

/// The file that a restore said to have kept.
fn kept(said: &str) -> PathBuf {
    let line = said.lines().find_map(|line| line.trim().strip_prefix("what it replaces is kept as "));
    PathBuf::from(line.unwrap_or_else(|| panic!("nothing was kept: {said}")))
}

async fn status(bed: &Bed, id: &str) -> u16 {
    bed.get(&format!("/api/v1/job/{id}")).await.status.as_u16()
}

async fn a_backup_is_restored_and_what_it_replaces_is_kept_after(end: impl AsyncFn(Daemon)) {
    let bed = Bed::new(&Engine::Process, "");
    let daemon = bed.start(None).await;
    let old = bed.submit("echo kept > $JOB_OUTPUT_DIR/a; exit 3").await;
    bed.ends(&old).await;
    let backup = backup(&bed);
    let newer = bed.submit("exit 0").await;
    bed.ends(&newer).await;
    let running = bed.submit("echo x >> /count/$JOB_ID; sleep 1000").await;
    bed.until("the start", async || bed.times_run(&running) == 1).await;
    end(daemon).await;
    let instance = |path: &Path| -> String {
        look(path).query_row("SELECT value FROM meta WHERE key = 'instance_id'", [], |row| row.get(0)).expect("read")
    };
    let before = instance(&database(&bed));

    let said = uwsd(&bed, &["restore", &backup]).done();
    assert!(said.contains("  schema 7, 1 job (1 ERROR)\n"), "{said}");
    assert!(said.contains("systemctl start uwsd"), "{said}");
    let kept = kept(&said);
    assert!(kept.file_name().is_some_and(|name| name.to_string_lossy().starts_with("uwsd.db.replaced-20")), "{said}");
    assert_eq!(ids(&kept), [old.clone(), newer.clone(), running.clone()], "with what was in its log only");
    assert_eq!((integrity(&kept).as_str(), ids(&database(&bed))), ("ok", vec![old.clone()]));
    assert!(!names(&bed.path().join("state")).iter().any(|name| name.starts_with(".uwsd-") || name.ends_with("-wal")));

    let _daemon = bed.start(None).await;
    assert_eq!(instance(&database(&bed)), before);
    let job = bed.get(&format!("/api/v1/job/{old}")).await.json();
    assert_eq!((job["jobInfo"]["exitCode"].as_i64(), job["results"].as_array().map(Vec::len)), (Some(3), Some(1)));
    assert_eq!(bed.get(&format!("/api/v1/job/result/{old}/0")).await.text(), "kept\n");
    assert_eq!((status(&bed, &newer).await, status(&bed, &running).await), (404, 404));
    // A run of a job that is not known any more is removed at the start; its files stay.
    bed.leaves_no_run(std::slice::from_ref(&running)).await;
    assert!(bed.path().join("state/jobs").join(&newer).exists());
    let after = bed.submit("exit 0").await;
    bed.ends(&after).await;
}

#[tokio::test]
async fn a_backup_is_restored_after_a_stop_and_what_it_replaces_is_kept() {
    let stop = async |daemon: Daemon| assert_eq!(daemon.terminate().await, Some(0));
    a_backup_is_restored_and_what_it_replaces_is_kept_after(stop).await;
}

#[tokio::test]
async fn a_backup_is_restored_after_a_kill_and_what_it_replaces_is_kept() {
    a_backup_is_restored_and_what_it_replaces_is_kept_after(async |daemon: Daemon| daemon.kill()).await;
}

#[tokio::test]
async fn what_waited_in_a_backup_waits_on_if_it_is_restored_drained() {
    let bed = Bed::new(&Engine::Process, "");
    let config = bed.path().join("uwsd.toml");
    let text = std::fs::read_to_string(&config).expect("there");
    std::fs::write(&config, text.replace("max_running = 4", "max_running = 0")).expect("written");
    let daemon = bed.start(None).await;
    let waiting = bed.submit("echo x >> /count/$JOB_ID").await;
    let backup = backup(&bed);
    assert_eq!(daemon.terminate().await, Some(0));
    std::fs::write(&config, text).expect("written");
    let daemon = bed.start(None).await;
    bed.ends(&waiting).await;
    assert_eq!(daemon.terminate().await, Some(0));
    let said = uwsd(&bed, &["restore", &backup]).done();
    assert!(said.contains("1 job that waited then runs at the next start, also if it has run since"), "{said}");
    let said = uwsd(&bed, &["restore", "--drained", &backup]).done();
    assert!(said.contains("no job is started until uwsd undrain"), "{said}");
    let _daemon = bed.start(None).await;
    bed.until("the drain", async || bed.get("/readyz").await.text().contains("drained")).await;
    assert_eq!(bed.get(&format!("/api/v1/job/{waiting}")).await.json()["phase"], "queued");
    assert_eq!(bed.times_run(&waiting), 1);
    let status = crate::reload::order(&bed, &["undrain"]);
    assert!(status.status.success());
    bed.ends(&waiting).await;
    assert_eq!(bed.times_run(&waiting), 2, "which is what the operator was told");
}

#[tokio::test]
async fn what_ran_in_a_backup_is_gone_on_with_if_it_still_runs_and_else_lost() {
    let bed = Bed::new(&Engine::Process, "");
    let daemon = bed.start(None).await;
    let until =
        |file: &str| format!("echo x >> /count/$JOB_ID; until [ -e /count/{file} ]; do sleep 0.05; done; exit 7");
    let (runs_on, ends) = (bed.submit(&until("late")).await, bed.submit(&until("soon")).await);
    bed.until("the starts", async || bed.times_run(&runs_on) == 1 && bed.times_run(&ends) == 1).await;
    let backup = backup(&bed);
    std::fs::write(bed.path().join("count/soon"), "").expect("written");
    bed.ends(&ends).await;
    bed.leaves_no_run(std::slice::from_ref(&ends)).await;
    assert_eq!(daemon.terminate().await, Some(0));
    let said = uwsd(&bed, &["restore", &backup]).done();
    assert!(said.contains("2 jobs (2 EXECUTING)"), "{said}");
    let _daemon = bed.start(None).await;
    assert_eq!(bed.ends(&ends).await["jobInfo"]["reason"], "lost");
    std::fs::write(bed.path().join("count/late"), "").expect("written");
    assert_eq!(bed.ends(&runs_on).await["jobInfo"]["exitCode"], 7);
    assert_eq!((bed.times_run(&runs_on), bed.times_run(&ends)), (1, 1));
}

#[tokio::test]
async fn what_is_no_backup_is_refused_and_nothing_changes() {
    let bed = Bed::new(&Engine::Process, "");
    let daemon = bed.start(None).await;
    let id = bed.submit("exit 0").await;
    bed.ends(&id).await;
    let good = backup(&bed);
    uwsd(&bed, &["restore", &good]).refused("a daemon runs on ");
    assert_eq!(bed.get(&format!("/api/v1/job/{id}")).await.status, 200);
    assert_eq!(daemon.terminate().await, Some(0));

    let state = bed.path().join("state");
    let before = (names(&state), std::fs::read(database(&bed)).expect("there"));
    let bad = bed.path().join("bad");
    let name = bad.to_str().expect("plain");
    let changed = |sql: &str| {
        std::fs::copy(&good, &bad).expect("copied");
        Connection::open(&bad).expect("opened").execute_batch(sql).expect("changed");
    };
    let refused = |why: &str| {
        uwsd(&bed, &["restore", name]).refused(why);
        let told = uwsd(&bed, &["restore", name]).complaint;
        assert!(told.starts_with("uwsd: nothing was restored, the database is as it was: "), "{told}");
        assert!((names(&state), std::fs::read(database(&bed)).expect("there")) == before, "{why}: something changed");
    };
    refused("there is no database ");
    changed("PRAGMA user_version = 99");
    refused("it has schema version 99, this program knows up to 7");
    std::fs::write(&bad, "no database at all ".repeat(999)).expect("written");
    refused("is damaged or is no database (file is not a database)");
    std::fs::write(&bad, "").expect("written");
    refused("it is no database of uwsd's");
    std::fs::remove_file(&bad).expect("removed");
    Connection::open(&bad)
        .expect("made")
        .execute_batch("CREATE TABLE job (id); PRAGMA user_version = 3")
        .expect("somebody's");
    refused("it is no database of uwsd's");
    changed("DROP INDEX job_list");
    refused("it lacks index job_list on job (service, created_at, seq), partial");
    changed("PRAGMA foreign_keys = OFF; DELETE FROM job");
    refused("1 rows of work belong to rows of job that are not there");
    changed("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 2 WHERE name = 'event_by_job'");
    refused("the database is damaged: ");
    // Cut short, as by a disk that was full.
    let whole = std::fs::read(&good).expect("there");
    std::fs::write(&bad, &whole[..whole.len() / 2]).expect("written");
    refused("damaged");
    let own = database(&bed);
    uwsd(&bed, &["restore", own.to_str().expect("plain")]).refused("is the database in use itself");
    uwsd(&bed, &["restore", state.to_str().expect("plain")]).refused("is no ordinary file");
    uwsd(&bed, &["restore", &good]).done();
    let _daemon = bed.start(None).await;
    assert_eq!(bed.get(&format!("/api/v1/job/{id}")).await.status, 200);
}

#[tokio::test]
async fn a_database_that_is_damaged_is_kept_with_its_log_and_replaced() {
    let bed = Bed::new(&Engine::Process, "");
    let daemon = bed.start(None).await;
    let id = bed.submit("exit 0").await;
    bed.ends(&id).await;
    let good = backup(&bed);
    bed.submit("exit 0").await;
    daemon.kill();
    let (log, garbage) = (bed.path().join("state/uwsd.db-wal"), "garbage ".repeat(4096));
    let whole_log = std::fs::read(&log).expect("its log");
    std::fs::write(database(&bed), &garbage).expect("damaged");
    std::fs::write(&log, "damaged, too").expect("damaged");
    let kept = kept(&uwsd(&bed, &["restore", &good]).done());
    assert!(std::fs::read_to_string(&kept).expect("kept") == garbage);
    let mut beside = kept.into_os_string();
    beside.push("-wal");
    assert_eq!(std::fs::read_to_string(beside).expect("kept"), "damaged, too");
    assert_eq!((integrity(&database(&bed)).as_str(), ids(&database(&bed))), ("ok", vec![id]));
    let daemon = bed.start(None).await;
    assert_eq!(daemon.terminate().await, Some(0));

    // And one that is gone but for its log, which belongs to no other database.
    std::fs::remove_file(database(&bed)).expect("gone");
    std::fs::write(&log, &whole_log).expect("written");
    uwsd(&bed, &["restore", &good]).done();
    assert_eq!((integrity(&database(&bed)).as_str(), ids(&database(&bed)).len()), ("ok", 1));
    let _daemon = bed.start(None).await;
}

#[tokio::test]
async fn what_root_restores_belongs_to_whom_it_belonged() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root restores for another user");
        return;
    }
    let bed = Bed::new(&Engine::Process, "");
    let daemon = bed.start(None).await;
    let good = backup(&bed);
    assert_eq!(daemon.terminate().await, Some(0));
    let (state, lock) = (bed.path().join("state"), bed.path().join("state/uwsd.lock"));
    let owner = |path: &Path| std::fs::metadata(path).map(|it| (it.uid(), it.gid(), it.mode() & 0o777)).expect("there");
    std::fs::remove_file(&lock).expect("removed");
    chown(&state, Some(61_300), Some(61_301)).expect("given");
    chown(database(&bed), Some(61_302), Some(61_303)).expect("given");
    std::fs::set_permissions(database(&bed), std::fs::Permissions::from_mode(0o640)).expect("set");
    let said = uwsd(&bed, &["restore", &good]).done();
    assert_eq!(owner(&database(&bed)), (61_302, 61_303, 0o640));
    assert_eq!(owner(&kept(&said)), (61_302, 61_303, 0o640));
    let (uid, gid, _) = owner(&lock);
    assert_eq!((uid, gid), (61_300, 61_301), "a daemon of that user can take it");
    // Of a new database the directory tells.
    std::fs::remove_file(database(&bed)).expect("removed");
    let said = uwsd(&bed, &["restore", &good]).done();
    assert!(said.contains("there was no database before"), "{said}");
    assert_eq!(owner(&database(&bed)), (61_300, 61_301, 0o600));
    uwsd(&bed, &["db", "vacuum"]).done();
    assert_eq!(owner(&database(&bed)), (61_300, 61_301, 0o600));
    let files = ["uwsd.db", "uwsd.db.lock", "uwsd.lock"];
    let others =
        names(&state).into_iter().filter(|name| name.starts_with("uwsd.db-") || files.contains(&name.as_str()));
    for name in others {
        assert_eq!(owner(&state.join(&name)).0, 61_300, "{name}");
    }
}

#[test]
fn a_state_directory_that_is_not_there_is_not_made_as_roots() {
    let bed = Bed::new(&Engine::Process, "");
    uwsd(&bed, &["restore", "/no/such/file"]).refused("there is no state directory ");
    assert!(!bed.path().join("state").exists());
}
