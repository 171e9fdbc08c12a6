//! Little room on the disk: new jobs are refused, old outputs go, records stay.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::geteuid;
use uwsd::config::Disk;
use uwsd::domain::Timestamp;
use uwsd::ports::Pull;

use crate::bed::{Bed, Daemon, eventually};
use crate::documents::is_valid;
use crate::uws::{FORM, LIST, create, ended, job, listed, post, reaches, status};

/// A disk of 32 MiB; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, said aloud, where no disk can be made.
    fn at(path: &Path) -> Option<Self> {
        if !geteuid().is_root() {
            eprintln!("SKIPPED: only root can make a small disk");
            return None;
        }
        std::fs::create_dir_all(path).expect("made");
        let (tmpfs, size) = (Some("tmpfs"), Some("size=32m"));
        mount(tmpfs, path, tmpfs, MsFlags::empty(), size).expect("root may mount");
        Some(Self(path.to_owned()))
    }

    /// Leaves so many MiB.
    fn leave(&self, mib: usize) {
        std::fs::write(self.0.join("filler"), vec![1; (32 - mib) << 20]).expect("there is room");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).expect("it was mounted");
    }
}

const MIB: u64 = 1 << 20;

async fn available(daemon: &Daemon) -> String {
    daemon.client().get("/api/ocps/availability").await.text().to_owned()
}

/// That an availability document says what `Retry-After: 60` says.
fn is_back_in_a_minute(daemon: &Daemon, told: &str) {
    let (_, rest) = told.split_once("<vosi:backAt>").unwrap_or_else(|| panic!("when? {told}"));
    let at = Timestamp::parse(rest.split('<').next().expect("a value")).expect("an instant");
    let left = at.millis() - daemon.now().millis();
    assert!((50_000..=60_000).contains(&left), "{left} ms: {told}");
}

#[tokio::test]
async fn with_little_room_new_jobs_are_refused_until_there_is_room_again() {
    let mut bed = Bed::new();
    let Some(disk) = SmallDisk::at(&bed.config.server.jobs_dir) else { return };
    bed.config.disk = Disk { refuse_below: 16 * MIB, clean_below: 0, clean_min_age: Duration::ZERO };
    let daemon = bed.start().await;
    let (old, _) = ended(&daemon, "write a 1", "COMPLETED").await;
    let running = create(&daemon, "COMMAND=hang&PHASE=RUN").await;
    let key = ("idempotency-key", "k");
    let make = async || daemon.client().send("POST", LIST, &[FORM, key], "COMMAND=print+1").await;
    let first = make().await;
    reaches(&daemon, &running, "EXECUTING").await;
    disk.leave(10);
    eventually("the lack to be told", || async {
        available(&daemon).await.contains("<vosi:available>false<").then_some(())
    })
    .await;
    let refused = post(&daemon, "", "COMMAND=print+1").await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.header("retry-after"), "60");
    let sentence = format!(
        "MiB are free in {}, and 17.5 MiB are wanted; try again later",
        daemon.config.server.jobs_dir.display()
    );
    assert!(refused.text().starts_with("no new jobs: ") && refused.text().ends_with(&sentence), "{}", refused.text());
    let json = daemon.put(&serde_json::json!({"command": "print 1"})).await;
    assert_eq!((json.status, json.header("retry-after")), (503, "60"));
    let told = available(&daemon).await;
    assert!(told.contains("<vosi:available>false<") && told.contains("no new jobs: "), "{told}");
    is_valid(&told, &daemon);
    is_back_in_a_minute(&daemon, &told);
    let ready = daemon.client().get("/readyz").await;
    assert!(ready.status == 503 && ready.text().contains("no new jobs: "), "{}", ready.text());
    // What is there goes on, and a request sent again is answered.
    assert_eq!(status(&daemon, &format!("/{old}/results/a")).await, 200);
    assert_eq!(job(&daemon, &running).await.value("uws:phase"), "EXECUTING");
    assert_eq!(make().await.header("location"), first.header("location"));
    // A tenth more than wanted, so that it does not go back and forth.
    disk.leave(17);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(post(&daemon, "", "COMMAND=print+1").await.status, 503);
    disk.leave(20);
    eventually("jobs to be accepted", || async {
        (post(&daemon, "", "COMMAND=print+1").await.status == 303).then_some(())
    })
    .await;
    let told = available(&daemon).await;
    assert!(told.contains("<vosi:available>true<") && !told.contains("backAt"), "{told}");
}

#[tokio::test]
async fn with_almost_none_the_outputs_of_those_that_ended_first_go_and_their_records_say_so() {
    let mut bed = Bed::new();
    let Some(disk) = SmallDisk::at(&bed.config.server.jobs_dir) else { return };
    bed.config.disk = Disk { refuse_below: 0, clean_below: 8 * MIB, clean_min_age: Duration::from_secs(100) };
    let daemon = bed.start().await;
    let mut old = Vec::new();
    for _ in 0..12 {
        let (id, _) = ended(&daemon, &format!("write a {}; print 1", "x".repeat(100_000)), "COMPLETED").await;
        old.push(id);
    }
    daemon.clock.advance(Duration::from_secs(101));
    let (young, _) = ended(&daemon, "write a 1", "COMPLETED").await;
    let running = create(&daemon, "COMMAND=write+a+1;hang&PHASE=RUN").await;
    reaches(&daemon, &running, "EXECUTING").await;
    // 1.2 of it is taken: less than 8 are free, and more once two or three are gone.
    disk.leave(9);
    eventually("an old output to go", || async {
        (status(&daemon, &format!("/{}/results/a", old[0])).await == 404).then_some(())
    })
    .await;
    let dir = |id: &str| daemon.config.server.jobs_dir.join(id);
    eventually("the files to go", || async { (!dir(&old[0]).exists()).then_some(()) }).await;
    let record = job(&daemon, &old[0]).await;
    assert_eq!(record.value("uws:phase"), "COMPLETED");
    assert!(record.child("uws:results").children.is_empty());
    let removed = record.child("uws:jobInfo").value("filesRemoved").to_owned();
    assert!(removed.ends_with('Z'), "{removed}");
    let gone = daemon.client().get(&format!("{LIST}/{}/results/a", old[0])).await;
    assert_eq!(gone.text(), format!("the files of this job were removed at {removed} to make room on the disk"));
    assert_eq!(daemon.client().get(&format!("/api/v1/job/{}/results", old[0])).await.text(), "[]");
    let log = daemon.client().get(&format!("/api/v1/job/{}/stdout", old[0])).await;
    assert_eq!(log.status, 404, "an empty log would not be true");
    assert!(listed(&daemon, "").await.contains(&old[0]), "the record stays");
    // Not many more than that: the youngest, those that run, and the rest of the old ones once there is room.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(status(&daemon, &format!("/{young}/results/a")).await, 200);
    assert!(dir(&running).join("out/a").exists());
    assert_eq!(status(&daemon, &format!("/{}/results/a", old[7])).await, 200);
    assert_eq!(daemon.client().send("DELETE", &format!("{LIST}/{}", old[0]), &[], "").await.status, 303);
    assert_eq!(status(&daemon, &format!("/{}", old[0])).await, 404);
}

#[tokio::test]
async fn outputs_are_kept_where_they_would_make_no_room() {
    let mut bed = Bed::new();
    let database = bed.config.server.state_dir.join("database");
    let Some(disk) = SmallDisk::at(&database) else { return };
    bed.config.store.path = database.join("uwsd.db");
    bed.config.disk = Disk { refuse_below: 8 * MIB, clean_below: 8 * MIB, clean_min_age: Duration::ZERO };
    let daemon = bed.start().await;
    let (old, _) = ended(&daemon, "write a 1", "COMPLETED").await;
    daemon.clock.advance(Duration::from_secs(1));
    disk.leave(6);
    eventually("the lack to be told", || async {
        available(&daemon).await.contains("<vosi:available>false<").then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(status(&daemon, &format!("/{old}/results/a")).await, 200);
}

#[tokio::test]
async fn outputs_whose_removal_makes_no_room_are_kept_until_it_does() {
    const IMAGE: &str = "debian:stable-slim";
    let mut bed = Bed::new();
    let Some(disk) = SmallDisk::at(&bed.config.server.jobs_dir) else { return };
    bed.config.disk = Disk { refuse_below: 7 * MIB, clean_below: 8 * MIB, clean_min_age: Duration::ZERO };
    bed.config.services.get_mut("ocps").expect("there").pull = Pull::Never;
    let daemon = bed.start().await;
    daemon.engine.images.put(IMAGE, "sha256:fake");
    daemon.engine.give_files_away();
    let mut old = Vec::new();
    for _ in 0..25 {
        let (id, _) = ended(&daemon, &format!("write a {}", "x".repeat(100_000)), "COMPLETED").await;
        old.push(id);
    }
    daemon.clock.advance(Duration::from_secs(1));
    let dir = |id: &str| daemon.config.server.jobs_dir.join(id);
    let kept = async || {
        let mut kept = 0;
        for id in &old {
            kept += usize::from(status(&daemon, &format!("/{id}/results/a")).await == 200);
        }
        kept
    };
    // Nothing can be removed for want of the image: ten are lost, and no more. 2.5 of it is taken.
    daemon.engine.images.take(IMAGE);
    disk.leave(9);
    eventually("the first to be given up", || async { (kept().await < 25).then_some(()) }).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(kept().await, 15);
    let told = available(&daemon).await;
    assert!(told.contains("old outputs cannot be removed, and the log says why"), "{told}");
    assert!(old.iter().all(|id| dir(id).exists()));
    // As soon as something can be, it goes on, and stops where there is room.
    daemon.engine.images.put(IMAGE, "sha256:fake");
    eventually("jobs to be accepted", || async {
        available(&daemon).await.contains("<vosi:available>true<").then_some(())
    })
    .await;
    eventually("the next ones to go", || async {
        (old.iter().filter(|id| !dir(id).exists()).count() == 20).then_some(())
    })
    .await;
    assert_eq!(kept().await, 5);
}

#[tokio::test]
async fn a_job_whose_files_cannot_be_removed_holds_up_no_others() {
    let mut bed = Bed::new();
    let Some(disk) = SmallDisk::at(&bed.config.server.jobs_dir) else { return };
    bed.config.disk = Disk { refuse_below: 0, clean_below: 8 * MIB, clean_min_age: Duration::ZERO };
    let daemon = bed.start().await;
    let mut old = Vec::new();
    for _ in 0..15 {
        let (id, _) = ended(&daemon, &format!("write a {}", "x".repeat(100_000)), "COMPLETED").await;
        old.push(id);
    }
    daemon.clock.advance(Duration::from_secs(1));
    let dir = |id: &str| daemon.config.server.jobs_dir.join(id);
    // Nothing that is mounted can be removed, not even by root.
    let held: Vec<SmallDisk> = old[..3].iter().filter_map(|id| SmallDisk::at(&dir(id).join("out/held"))).collect();
    assert_eq!(held.len(), 3);
    disk.leave(4);
    eventually("all others to go", || async { old[3..].iter().all(|id| !dir(id).exists()).then_some(()) }).await;
    assert!(old[..3].iter().all(|id| dir(id).exists()));
}

#[tokio::test]
async fn no_image_is_fetched_to_remove_files_while_a_disk_lacks_room() {
    const IMAGE: &str = "debian:stable-slim";
    let mut bed = Bed::new();
    let Some(disk) = SmallDisk::at(&bed.config.server.jobs_dir) else { return };
    bed.config.disk = Disk { refuse_below: 8 * MIB, clean_below: 0, clean_min_age: Duration::ZERO };
    let daemon = bed.start().await;
    daemon.engine.images.put(IMAGE, "sha256:fake");
    daemon.engine.give_files_away();
    let (id, _) = ended(&daemon, "write a 1", "COMPLETED").await;
    let is_there = || daemon.config.server.jobs_dir.join(&id).exists();
    daemon.engine.images.take(IMAGE);
    disk.leave(4);
    eventually("the lack to be told", || async {
        available(&daemon).await.contains("<vosi:available>false<").then_some(())
    })
    .await;
    assert_eq!(daemon.client().send("DELETE", &format!("{LIST}/{id}"), &[], "").await.status, 303);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(is_there() && daemon.engine.images.names().is_empty());
    disk.leave(20);
    eventually("its files to go", || async { (!is_there()).then_some(()) }).await;
    assert_eq!(daemon.engine.images.names().len(), 1);
}
