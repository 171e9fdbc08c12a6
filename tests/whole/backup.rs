//! Backups of the database of a daemon that runs, and what is looked at and done to it as a file.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;

use crate::bed::{Bed, Engine};
use crate::program::{SmallDisk, Told, command, database, ids, integrity, look, names, uwsd};

/// The name of a file that a test makes.
fn file(bed: &Bed, name: &str) -> (PathBuf, String) {
    let path = bed.path().join(name);
    let text = path.to_str().expect("a plain name").to_owned();
    (path, text)
}

/// A bed on which nothing starts, so that jobs are only accepted.
fn quiet() -> Bed {
    let bed = Bed::new(&Engine::Process, "");
    let file = bed.path().join("uwsd.toml");
    let config = std::fs::read_to_string(&file).expect("there").replace("max_running = 4", "max_running = 0");
    std::fs::write(file, config).expect("written");
    bed
}

#[tokio::test]
async fn what_was_answered_before_a_backup_of_a_busy_daemon_is_in_it() {
    let bed = quiet();
    let _daemon = bed.start(None).await;
    let is_over = AtomicBool::new(false);
    let answered = std::sync::Mutex::new(Vec::new());
    let submit = async || {
        while !is_over.load(Ordering::Relaxed) {
            let id = bed.submit("exit 0").await;
            answered.lock().expect("no panic").push(id);
        }
    };
    let backups = async {
        for n in 0..8 {
            bed.until("a few more jobs", async || answered.lock().expect("no panic").len() > 40 * n).await;
            let before = answered.lock().expect("no panic").clone();
            let (path, name) = file(&bed, &format!("backup-{n}"));
            let mut backup = command(&bed, &["backup", &name]);
            let told: Told =
                tokio::task::spawn_blocking(move || backup.output()).await.expect("ran").expect("started").into();
            let said = told.done();
            let inside = ids(&path);
            assert!(before.iter().all(|id| inside.contains(id)), "all of {} in {}", before.len(), inside.len());
            assert_eq!(integrity(&path), "ok");
            assert!(said.contains(&format!(", schema 7, {} job", inside.len())), "{said}");
            assert!(said.contains("not in it: the files of the jobs"), "{said}");
            let mode: String = look(&path).query_row("PRAGMA journal_mode", [], |row| row.get(0)).expect("read");
            assert_eq!(mode, "delete", "it needs no other file");
            assert_eq!(std::fs::metadata(&path).expect("made").permissions().mode() & 0o777, 0o600);
        }
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(submit(), submit(), submit(), backups);
    let expected = (0..8).map(|n| format!("backup-{n}")).collect::<Vec<_>>();
    let mut left = names(bed.path());
    left.retain(|name| !["count", "daemon.log", "state", "uwsd.toml"].contains(&name.as_str()));
    assert_eq!(left, expected, "nothing else is left");
}

#[tokio::test]
async fn a_file_that_exists_is_replaced_only_where_that_is_wished() {
    let bed = quiet();
    let daemon = bed.start(None).await;
    bed.submit("exit 0").await;
    let (path, name) = file(&bed, "backup");
    std::fs::write(&path, "mine").expect("written");
    uwsd(&bed, &["backup", &name]).refused("exists; give --force to replace it");
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "mine");
    uwsd(&bed, &["backup", "--force", &name]).done();
    assert_eq!(ids(&path).len(), 1);
    // Not even then is it the database itself, under whatever name, or a directory.
    let link = bed.path().join("link");
    std::os::unix::fs::symlink(database(&bed), &link).expect("linked");
    for target in [database(&bed), bed.path().join("state/uwsd.db-wal"), link] {
        let target = target.to_str().expect("plain");
        uwsd(&bed, &["backup", "--force", target]).refused("is the database in use itself");
    }
    let state = bed.path().join("state");
    uwsd(&bed, &["backup", "--force", state.to_str().expect("plain")]).refused("is no ordinary file");
    let dash = uwsd(&bed, &["backup", "-"]);
    assert_eq!(dash.code, Some(2));
    assert!(dash.complaint.contains("standard input and output cannot be used"), "{}", dash.complaint);
    // It is made of the database of a daemon that is stopped or was killed, too.
    daemon.kill();
    uwsd(&bed, &["backup", "--force", &name]).done();
    assert_eq!(ids(&path).len(), 1);
    std::fs::rename(database(&bed), bed.path().join("elsewhere")).expect("moved");
    uwsd(&bed, &["backup", "--force", &name]).refused("there is no database");
    assert_eq!(ids(&path).len(), 1, "the last good one stays");
}

/// Fills the database with rows that belong to nothing else, of so many KiB.
fn grow(bed: &Bed, kibibytes: u32) {
    let connection = Connection::open(database(bed)).expect("opened");
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
               INSERT INTO meta (key, value) SELECT 'ballast-' || i, hex(randomblob(512)) FROM n";
    connection.execute(sql, [kibibytes]).expect("filled");
}

#[tokio::test]
async fn a_disk_without_room_for_a_backup_keeps_what_it_has_and_nothing_half_made() {
    let bed = quiet();
    let _daemon = bed.start(None).await;
    bed.submit("exit 0").await;
    let Some(disk) = SmallDisk::at(&bed.path().join("disk"), 512) else { return };
    let target = disk.0.join("backup");
    let name = target.to_str().expect("plain");
    uwsd(&bed, &["backup", name]).done();
    let before = std::fs::read(&target).expect("made");
    grow(&bed, 600);
    // It is told before anything is written.
    uwsd(&bed, &["backup", "--force", name]).refused("the copy takes ");
    assert_eq!(names(&disk.0), ["backup"]);
    assert!(std::fs::read(&target).expect("there") == before, "the old one is untouched");
}

#[tokio::test]
async fn a_backup_that_fails_halfway_leaves_nothing() {
    let bed = quiet();
    let _daemon = bed.start(None).await;
    bed.submit("exit 0").await;
    grow(&bed, 600);
    let (target, name) = file(&bed, "backup");
    let before = names(bed.path());
    // A file may have 256 KiB: writing fails where the room that was promised is taken by others.
    let backup = command(&bed, &["backup", &name]);
    let limited: Told = std::process::Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 256; exec \"$0\" \"$@\""])
        .arg(backup.get_program())
        .args(backup.get_args())
        .output()
        .expect("bash")
        .into();
    limited.refused("no backup was made: failed to copy ");
    assert!(!target.exists());
    assert_eq!(names(bed.path()), before);
}

#[tokio::test]
async fn a_check_tells_what_is_there_and_every_problem_with_a_remedy() {
    let bed = quiet();
    let daemon = bed.start(None).await;
    bed.submit("exit 0").await;
    bed.submit("exit 0").await;
    let sound = uwsd(&bed, &["db", "check"]).done();
    for line in ["  schema  7\n", "  jobs    2 jobs (2 QUEUED)\n", "it is sound\n"] {
        assert!(sound.contains(line), "{line:?} in {sound}");
    }
    assert_eq!(daemon.terminate().await, Some(0));
    let connection = Connection::open(database(&bed)).expect("opened");
    let damage = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; DELETE FROM job WHERE seq = 1; \
                  UPDATE work SET body = 'no JSON' WHERE job = 2; DROP INDEX job_deleted";
    connection.execute_batch(damage).expect("damaged");
    drop(connection);
    let told = uwsd(&bed, &["db", "check"]);
    assert_eq!((told.code, told.complaint.as_str()), (Some(1), ""), "{}", told.out);
    for problem in [
        "it is damaged: CHECK constraint failed in work; stop the daemon and restore the last good backup",
        "it lacks index job_deleted on job (seq), partial; ",
        "1 rows of work belong to rows of job that are not there; ",
        "1 rows of event belong to rows of job that are not there; ",
    ] {
        assert!(told.out.contains(problem), "{problem:?} in {}", told.out);
    }
    assert!(!told.out.contains("sound"), "{}", told.out);
    // What is damaged does not take the place of a good backup.
    let (path, name) = file(&bed, "backup");
    uwsd(&bed, &["backup", &name]).refused("is not fit to be used: it lacks index job_deleted");
    assert!(!path.exists());
    std::fs::write(database(&bed), "garbage ".repeat(4096)).expect("written");
    uwsd(&bed, &["db", "check"]).refused("is damaged or is no database");
}

#[tokio::test]
async fn a_vacuum_gives_room_back_while_the_daemon_is_stopped_and_only_then() {
    let bed = quiet();
    let daemon = bed.start(None).await;
    let id = bed.submit("exit 0").await;
    grow(&bed, 2000);
    Connection::open(database(&bed))
        .expect("opened")
        .execute_batch("DELETE FROM meta WHERE key <> 'instance_id'")
        .expect("deleted");
    uwsd(&bed, &["db", "vacuum"]).refused("a daemon runs on ");
    // Killed, it leaves its log, which is part of the database.
    daemon.kill();
    assert!(bed.path().join("state/uwsd.db-wal").exists());
    assert!(uwsd(&bed, &["db", "check"]).done().contains(" are unused (uwsd db vacuum)"));
    let other = look(&database(&bed));
    let read: i64 = other.query_row("SELECT count(*) FROM job", [], |row| row.get(0)).expect("read");
    assert_eq!(read, 1);
    uwsd(&bed, &["db", "vacuum"]).refused("another program has ");
    drop(other);
    let said = uwsd(&bed, &["db", "vacuum"]).done();
    assert!(said.contains(" MiB and is ") && said.ends_with(" KiB\n"), "{said}");
    let after = std::fs::metadata(database(&bed)).expect("there").len();
    assert!(after < 300_000, "{after}");
    assert!(!uwsd(&bed, &["db", "check"]).done().contains("unused"));
    let _daemon = bed.start(None).await;
    assert_eq!(bed.get(&format!("/api/v1/job/{id}")).await.json()["phase"], "queued");
    bed.submit("exit 0").await;
    assert_eq!(ids(&database(&bed)).len(), 2, "and none has the number of another");
}
