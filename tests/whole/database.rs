//! What becomes of requests and jobs while the database cannot be written: locked by somebody, on a disk that became
//! read-only, on a full one; and while the log cannot.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::bed::{Bed, Engine, UWSD};

/// A small file system of a test's own, unmounted when dropped.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    /// `None`, said aloud, if this process may not mount.
    fn make(mebibytes: u64) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: a disk of its own needs root");
            return None;
        }
        let disk = Self { dir: tempfile::tempdir().expect("a directory") };
        let (image, at) = (disk.dir.path().join("image"), disk.path());
        std::fs::create_dir(&at).expect("made");
        std::fs::File::create(&image).and_then(|file| file.set_len(mebibytes << 20)).expect("a file");
        run(Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-m", "0"]).arg(&image));
        if let Err(why) = disk.mount(&image) {
            eprintln!("SKIPPED: no file can be mounted here: {why}");
            return None;
        }
        Some(disk)
    }

    fn mount(&self, image: &Path) -> Result<(), String> {
        // A failure makes it read-only, as Debian's installer sets it up.
        let mounted = Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(image).arg(self.path()).output();
        let mounted = mounted.expect("mount");
        if mounted.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&mounted.stderr).into_owned()) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Unmounts it, has it checked, and mounts it again: a copy of it, since a process with a view of its own on what is mounted,
    /// as other tests start them, may hold the old one for a while.
    fn repair(&self) {
        run(Command::new("umount").arg(self.path()));
        let (image, copy) = (self.dir.path().join("image"), self.dir.path().join("copy"));
        run(Command::new("cp").arg("--sparse=always").arg(&image).arg(&copy));
        let checked = Command::new("/usr/sbin/e2fsck").args(["-f", "-p"]).arg(&copy).output().expect("e2fsck");
        // 1: what was wrong has been put right.
        assert!(matches!(checked.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&checked.stdout));
        self.mount(&copy).expect("it was mounted before");
    }

    /// Fills it to the last block.
    fn fill(&self) {
        let ballast = self.path().join("ballast");
        let mut file = std::fs::File::options().create(true).append(true).open(ballast).expect("opened");
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    /// Has the kernel find an error on it, and with that make it read-only.
    fn fail(&self) {
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
        let at = self.path();
        let device = mounts.lines().find(|line| line.split(' ').nth(1) == at.to_str()).expect("mounted");
        let device = Path::new(device.split(' ').next().expect("a device")).file_name().expect("a name");
        let trigger = Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error");
        std::fs::write(trigger, "a test wants it\n").expect("triggered");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.path()).status());
    }
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("a program");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn state_on(disk: &Disk, bed: &Bed) {
    std::os::unix::fs::symlink(disk.path(), bed.path().join("state")).expect("linked");
}

/// A submission's status, its text and whether it tells when to try again.
async fn submission(bed: &Bed) -> (u16, String, bool) {
    let answer = bed.put(&serde_json::json!({ "command": "true", "url": null })).await;
    (answer.status.as_u16(), answer.text(), answer.headers.contains_key("retry-after"))
}

/// Whoever looks at the daemon is told as soon as a submission was refused.
async fn complains_at_once(bed: &Bed) {
    let told = bed.until("the complaint", async || bed.get("/readyz").await.status == 503);
    tokio::time::timeout(Duration::from_secs(1), told).await.expect("at once");
}

#[tokio::test]
async fn one_daemon_has_a_database_whichever_way_leads_to_it() {
    let bed = Bed::new(&Engine::Process, "");
    let _daemon = bed.start(None).await;
    let runs = bed.submit("echo x >> /count/$JOB_ID; until [ -e /count/go ]; do sleep 0.1; done; exit 7").await;
    bed.until("the start", async || bed.times_run(&runs) == 1).await;
    let (path, link) = (bed.path().join("state/uwsd.db"), bed.path().join("link.db"));
    std::os::unix::fs::symlink(&path, &link).expect("linked");
    for way in [&path, &link] {
        let other = Bed::new(&Engine::Process, &format!("[store]\npath = '{}'\n", way.display()));
        let mut second = other.spawn(Command::new(UWSD));
        assert_eq!(second.dies().await, Some(1), "{}", other.log());
        assert!(other.log().contains("another uwsd runs on "), "{}", other.log());
        // Nor does anybody restore or shrink it.
        let config = other.path().join("uwsd.toml");
        let shrunk = Command::new(UWSD)
            .args(["db", "vacuum", "--config"])
            .arg(config)
            .arg("--state-dir")
            .arg(other.path().join("state"))
            .output()
            .expect("a program");
        let said = String::from_utf8_lossy(&shrunk.stderr);
        assert!(shrunk.status.code() == Some(1) && said.contains("a daemon runs on "), "{said}");
    }
    std::fs::write(bed.path().join("count/go"), "").expect("written");
    let job = bed.ends(&runs).await;
    assert_eq!(job["jobInfo"]["exitCode"], 7, "{job}");
}

#[tokio::test]
async fn a_database_that_is_moved_away_is_told_and_what_runs_goes_on() {
    let bed = Bed::new(&Engine::Process, "");
    let daemon = bed.start(None).await;
    let runs = bed.submit("echo x >> /count/$JOB_ID; until [ -e /count/go ]; do sleep 0.1; done; exit 7").await;
    bed.until("the start", async || bed.times_run(&runs) == 1).await;
    let (path, aside) = (bed.path().join("state/uwsd.db"), bed.path().join("aside.db"));
    std::fs::rename(&path, &aside).expect("moved");
    bed.until("the complaint", async || bed.get("/readyz").await.status == 503).await;
    let sentence = format!("the job database {} was removed or replaced, and the daemon runs on", path.display());
    let available = bed.get("/api/ocps/availability").await.text();
    assert!(available.contains(">false<") && available.contains(&sentence), "{available}");
    assert!(!available.contains("backAt"), "that is for an operator to say: {available}");
    assert!(bed.get("/readyz").await.text().contains(&sentence));
    let (status, text, is_told_when) = submission(&bed).await;
    assert!((status, is_told_when) == (503, true) && text.contains(&sentence), "{text}");
    std::fs::write(bed.path().join("count/go"), "").expect("written");
    assert_eq!(bed.ends(&runs).await["jobInfo"]["exitCode"], 7);
    // Put back, it has all that was written meanwhile.
    std::fs::rename(&aside, &path).expect("moved back");
    bed.until("the good news", async || bed.get("/readyz").await.status == 200).await;
    let later = bed.submit("exit 4").await;
    daemon.kill();
    let _daemon = bed.start(None).await;
    for (id, code) in [(&runs, 7), (&later, 4)] {
        assert_eq!(bed.ends(id).await["jobInfo"]["exitCode"], code);
    }
}

#[tokio::test]
async fn a_database_that_somebody_locks_is_waited_for_and_then_told() {
    let bed = Bed::new(&Engine::Process, "");
    let _daemon = bed.start(None).await;
    let runs = bed.submit("sleep 1; exit 4").await;
    let other = Connection::open(bed.path().join("state/uwsd.db")).expect("opened");
    // For a while shorter than the patience of the writer.
    other.execute_batch("BEGIN EXCLUSIVE").expect("locked");
    let (submitted, ()) = tokio::join!(submission(&bed), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(bed.get(&format!("/api/v1/job/{runs}")).await.status, 200, "it is read meanwhile");
        other.execute_batch("COMMIT").expect("unlocked");
    });
    assert_eq!(submitted.0, 200, "{submitted:?}");
    // And for longer than that.
    other.execute_batch("BEGIN EXCLUSIVE").expect("locked");
    let (status, text, is_told_when) = submission(&bed).await;
    assert_eq!((status, is_told_when), (503, true), "{text}");
    assert!(text.contains("database cannot be written"), "{text}");
    complains_at_once(&bed).await;
    let told = bed.get("/api/ocps/availability").await.text();
    assert!(told.contains(">false<") && told.contains("database"), "{told}");
    other.execute_batch("COMMIT").expect("unlocked");
    bed.until("the good news", async || bed.get("/readyz").await.status == 200).await;
    let job = bed.ends(&runs).await;
    assert_eq!(job["jobInfo"]["exitCode"], 4, "{job}");
    assert_eq!(submission(&bed).await.0, 200);
}

async fn a_disk_that_becomes_read_only_is_told_and_nothing_of_a_job_is_forgotten(engine: &Engine) {
    let Some(disk) = Disk::make(64) else { return };
    let store = match engine {
        Engine::Docker { .. } => String::new(),
        // What looks after its command can write the end down below the state directory only: then the database alone is on it.
        Engine::Process => format!("[store]\npath = '{}'\n", disk.path().join("uwsd.db").display()),
    };
    let bed = Bed::new(engine, &format!("\n[disk]\nrefuse_below = \"1MiB\"\nclean_below = \"1MiB\"\n{store}"));
    if store.is_empty() {
        state_on(&disk, &bed);
    }
    let daemon = bed.start(None).await;
    let ended = bed.submit("exit 6").await;
    bed.ends(&ended).await;
    let runs = bed.submit("echo x >> /count/$JOB_ID; until [ -e /count/go ]; do sleep 0.1; done; exit 7").await;
    bed.until("the start", async || bed.times_run(&runs) == 1).await;
    disk.fail();
    let (status, text, is_told_when) = submission(&bed).await;
    assert_eq!((status, is_told_when), (503, true), "{text}");
    complains_at_once(&bed).await;
    let told = bed.get("/readyz").await.text();
    assert!(told.contains("readonly") || told.contains("read-only") || told.contains("I/O"), "{told}");
    let job = bed.get(&format!("/api/v1/job/{ended}")).await.json();
    assert_eq!(job["jobInfo"]["exitCode"], 6, "it is still read: {job}");
    // The command ends while nobody can write that down.
    std::fs::write(bed.path().join("count/go"), "").expect("written");
    bed.until("the end of the command", async || bed.runs_of(&runs).await.is_empty()).await;
    bed.until("the daemon to see it", async || bed.log().contains(&format!("job {runs} waits to be written"))).await;
    assert_eq!(bed.get(&format!("/api/v1/job/{runs}")).await.json()["phase"], "executing", "it is not told unwritten");
    daemon.kill();
    disk.repair();
    let daemon = bed.start(None).await;
    let job = bed.ends(&runs).await;
    assert_eq!((&job["jobInfo"]["reason"], &job["jobInfo"]["exitCode"]), (&"nonzero".into(), &7.into()), "{job}");
    assert_eq!(bed.times_run(&runs), 1);
    assert_eq!(submission(&bed).await.0, 200);
    daemon.kill();
}

crate::bed::everywhere! {
    a_disk_that_becomes_read_only_is_told_and_nothing_of_a_job_is_forgotten,
}

#[tokio::test]
async fn a_daemon_goes_on_by_itself_once_a_full_disk_has_room() {
    let Some(disk) = Disk::make(64) else { return };
    let bed = Bed::new(&Engine::Process, "\n[disk]\nrefuse_below = \"8MiB\"\nclean_below = \"4MiB\"\n");
    state_on(&disk, &bed);
    let daemon = bed.start(None).await;
    let runs = bed.submit("echo x >> /count/$JOB_ID; sleep 2; exit 5").await;
    bed.until("the start", async || bed.times_run(&runs) == 1).await;
    let ballast = disk.path().join("ballast");
    let fill = || disk.fill();
    fill();
    let (status, text, is_told_when) = submission(&bed).await;
    assert_eq!((status, is_told_when), (503, true), "{text}");
    // The end of the job cannot be written down while nothing can: it is told as running, not as something else.
    tokio::time::sleep(Duration::from_secs(4)).await;
    fill();
    let answer = bed.get(&format!("/api/v1/job/{runs}")).await;
    let phase = answer.json()["phase"].clone();
    assert!(phase == "executing" || phase == "error", "{}", answer.text());
    // Started with no room at all it answers too.
    daemon.kill();
    let _daemon = bed.start(None).await;
    assert_eq!(submission(&bed).await.0, 503);
    std::fs::remove_file(&ballast).expect("removed");
    let begun = Instant::now();
    let job = bed.ends(&runs).await;
    assert_eq!(job["jobInfo"]["exitCode"], 5, "{job}");
    bed.until("the good news", async || bed.get("/readyz").await.status == 200).await;
    assert_eq!(submission(&bed).await.0, 200);
    println!("it went on by itself {:?} after there was room", begun.elapsed());
    let database = Connection::open(bed.path().join("state/uwsd.db")).expect("opened");
    let told: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    assert_eq!(told, "ok");
}

#[tokio::test]
async fn a_disk_that_is_full_to_the_last_block_is_emptied_of_old_outputs() {
    let Some(disk) = Disk::make(128) else { return };
    let limits = "refuse_below = \"8MiB\"\nclean_below = \"6MiB\"\nclean_min_age = \"0\"";
    let bed = Bed::new(&Engine::Process, &format!("\n[disk]\n{limits}\n"));
    state_on(&disk, &bed);
    let _daemon = bed.start(None).await;
    let old = bed.submit("head -c 20000000 /dev/zero > $JOB_OUTPUT_DIR/large").await;
    assert_eq!(bed.ends(&old).await["jobInfo"]["reason"], "ok");
    disk.fill();
    bed.until("the output to go", async || {
        bed.get(&format!("/api/ocps/async/{old}/results/large")).await.text().contains("to make room on the disk")
    })
    .await;
    bed.until("the good news", async || bed.get("/readyz").await.status == 200).await;
    assert_eq!(submission(&bed).await.0, 200);
}

#[tokio::test]
async fn a_log_that_has_no_room_takes_nobody_down() {
    let bed = Bed::new(&Engine::Process, "");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 2>/dev/full", "sh", crate::bed::UWSD]);
    let daemon = bed.start_by(command, None).await;
    let id = bed.submit("exit 4").await;
    assert_eq!(bed.ends(&id).await["jobInfo"]["exitCode"], 4);
    assert_eq!(daemon.terminate().await, Some(0));
}
