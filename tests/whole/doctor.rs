//! `uwsd doctor` on a sound host, and on one where one thing is really broken at a time.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::bed::{Bed, Engine, UWSD, everywhere, free_port};
use crate::git_server::GitServer;

/// A user that no account has.
const STRANGER: u32 = 61_778;
/// All looks together: one after the other at the most two of them wait.
const BOUND: Duration = Duration::from_secs(20);

/// What was found.
struct Seen {
    code: Option<i32>,
    /// Subject, state, sentence and remedy.
    findings: Vec<[String; 4]>,
    took: Duration,
}

impl Seen {
    fn of_state(&self, state: &str) -> Vec<&[String; 4]> {
        self.findings.iter().filter(|finding| finding[1] == state).collect()
    }

    /// The sentence of the first finding of this kind.
    fn told(&self, subject: &str, state: &str) -> &str {
        let found = self.findings.iter().find(|finding| finding[0] == subject && finding[1] == state);
        &found.unwrap_or_else(|| panic!("{subject} is not {state}: {:#?}", self.findings))[2]
    }

    /// The only thing that is wrong: what it is about, what is said of it, and what of the remedy.
    fn is_wrong(&self, subject: &str, sentence: &str, remedy: &str) {
        let wrong = self.of_state("fail");
        assert_eq!((wrong.len(), self.code), (1, Some(1)), "{:#?}", self.findings);
        let [found, _, said, cure] = wrong[0];
        assert_eq!(found, subject, "{said}");
        assert!(said.contains(sentence) && cure.contains(remedy), "{said}\n→ {cure}");
    }
}

impl Bed {
    fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Changes the file of the configuration.
    fn replace(&self, from: &str, to: &str) {
        let file = self.path().join("uwsd.toml");
        let text = fs::read_to_string(&file).expect("written");
        assert!(text.contains(from), "{text}");
        fs::write(file, text.replace(from, to)).expect("written");
    }

    fn look(&self) -> Seen {
        self.look_by(Command::new(UWSD), &[])
    }

    /// By a command that takes the arguments of `uwsd` at its end.
    fn look_by(&self, mut command: Command, more: &[&str]) -> Seen {
        command.args(["doctor", "--json", "--config"]).arg(self.path().join("uwsd.toml")).args(more);
        command.env("UWSD_STATE_DIR", self.state()).stdin(Stdio::null());
        let begun = Instant::now();
        let output = command.output().expect("it runs");
        let took = begun.elapsed();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&output.stderr)));
        let word = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let findings = told.as_array().expect("an array").iter();
        let findings =
            findings.map(|one| ["subject", "state", "sentence", "remedy"].map(|key| word(one, key))).collect();
        Seen { code: output.status.code(), findings, took }
    }
}

/// Every file below `dir`, with its mode and size.
fn files(dir: &Path) -> BTreeMap<PathBuf, (u32, u64)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("listed") {
        let path = entry.expect("an entry").path();
        let facts = path.symlink_metadata().expect("there");
        if facts.is_dir() {
            found.extend(files(&path));
        }
        found.insert(path, (facts.mode(), if facts.is_dir() { 0 } else { facts.len() }));
    }
    found
}

async fn a_sound_host_has_nothing_wrong_and_is_left_as_it_was(engine: &Engine) {
    let bed = Bed::new(engine, "");
    for has_state in [false, true] {
        if has_state {
            bed.start(None).await.terminate().await;
        }
        let before = files(bed.path());
        let seen = bed.look();
        assert_eq!((seen.code, seen.of_state("fail").len()), (Some(0), 0), "{:#?}", seen.findings);
        assert_eq!(files(bed.path()), before);
        match engine {
            Engine::Docker { image, .. } => {
                assert!(seen.told("engine", "ok").contains(" (API 1."), "{:#?}", seen.findings);
                assert!(seen.told("images", "ok").contains(image), "{:#?}", seen.findings);
            }
            Engine::Process => assert!(seen.told("bubblewrap", "ok").contains("makes a sandbox")),
        }
        let database = if has_state { "schema version " } else { "is made at the first start" };
        assert!(seen.told("database", "ok").contains(database), "{:#?}", seen.findings);
        assert!(seen.told("daemon", "warn").contains("no daemon answers"), "{:#?}", seen.findings);
    }
}

async fn a_daemon_that_runs_tells_of_itself(engine: &Engine) {
    let bed = Bed::new(engine, "");
    let _daemon = bed.start(None).await;
    bed.until("it to be ready", async || bed.get("/readyz").await.status == 200).await;
    let seen = bed.look();
    assert_eq!(seen.code, Some(0), "{:#?}", seen.findings);
    assert!(seen.told("daemon", "ok").contains("accepts and runs jobs: 0 wait, 0 run"), "{:#?}", seen.findings);
    assert!(seen.told("permissions", "ok").contains("state_dir"), "{:#?}", seen.findings);
    let drained = Command::new(UWSD).args(["drain", "--socket"]).arg(bed.state().join("uwsd.sock")).output();
    assert!(drained.expect("it runs").status.success());
    assert!(bed.look().told("daemon", "warn").contains("drains it"));
}

everywhere!(a_sound_host_has_nothing_wrong_and_is_left_as_it_was, a_daemon_that_runs_tells_of_itself);

#[test]
fn people_get_lines_with_the_remedy_below() {
    let bed = Bed::new(&Engine::Process, "");
    bed.replace("\"process\"", "\"process\"\n[backend.process]\nbwrap = \"/no/such/bwrap\"");
    let output = Command::new(UWSD)
        .args(["doctor", "--config"])
        .arg(bed.path().join("uwsd.toml"))
        .env("UWSD_STATE_DIR", bed.state())
        .output()
        .expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let expected =
        "FAIL  bubblewrap     /no/such/bwrap is not there\n                     → apt-get install bubblewrap\n";
    assert!(text.contains(expected) && text.contains("\n1 thing is wrong, "), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_configuration_that_cannot_be_used_is_told_as_by_check() {
    let bed = Bed::new(&Engine::Process, "oops = 1");
    let output = Command::new(UWSD).args(["doctor", "--config"]).arg(bed.path().join("uwsd.toml")).output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.starts_with("config: 1 problem\n") && said.contains("oops"), "{said}");
}

/// A bed for the engine at `host`, which need not be one.
fn at(host: &Path) -> Bed {
    Bed::new(&Engine::Docker { host: format!("unix://{}", host.display()), image: "x".to_owned() }, "")
}

#[test]
fn an_engine_that_is_not_there_is_told_how_to_start() {
    at(Path::new("/no/such/docker.sock")).look().is_wrong("engine", "no engine answers", "systemctl start docker");
}

#[test]
fn an_engine_that_never_answers_does_not_hold_up_the_rest() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("docker.sock");
    // The kernel takes the connection, and nobody ever reads from it.
    let _silent = UnixListener::bind(&path).expect("bound");
    let seen = at(&path).look();
    seen.is_wrong("engine", "no answer in time", "journalctl -u docker");
    assert!(seen.took < BOUND, "{:?}", seen.took);
    assert!(seen.told("git", "ok").starts_with("git version "));
}

#[test]
fn a_daemon_that_never_answers_is_told() {
    let bed = Bed::new(&Engine::Process, "");
    fs::create_dir(bed.state()).expect("made");
    fs::set_permissions(bed.state(), Permissions::from_mode(0o750)).expect("ours");
    let path = bed.state().join("uwsd.sock");
    let _silent = UnixListener::bind(&path).expect("bound");
    fs::set_permissions(&path, Permissions::from_mode(0o660)).expect("ours");
    let seen = bed.look();
    seen.is_wrong("daemon", "does not answer as it should", "systemctl restart uwsd");
    assert!(seen.took < BOUND, "{:?}", seen.took);
}

#[test]
fn an_image_that_is_absent_and_never_pulled_is_wrong() {
    let Some(engine) = Engine::docker() else { return };
    let bed = Bed::new(&engine, "");
    let Engine::Docker { image, .. } = engine else { unreachable!("it is one") };
    bed.replace(&format!("{image:?}"), "\"localhost:1/no-such:1\"");
    bed.look().is_wrong(
        "images",
        "localhost:1/no-such:1 of ocps is not in the engine",
        "docker pull localhost:1/no-such:1",
    );
}

#[test]
fn a_registry_that_does_not_answer_is_wrong_where_its_image_is_absent() {
    let Some(engine) = Engine::docker() else { return };
    let bed = Bed::new(&engine, "");
    let Engine::Docker { image, .. } = engine else { unreachable!("it is one") };
    // In the engine's own network nobody listens there.
    bed.replace(&format!("{image:?}"), "\"127.0.0.1:1/no-such:1\"");
    bed.replace("pull = \"never\"", "pull = \"missing\"");
    let seen = bed.look();
    seen.is_wrong("registries", "connection refused", "curl -sSI https://127.0.0.1:1/v2/");
    assert!(seen.told("images", "warn").contains("is not in the engine"));
}

#[test]
fn a_secret_that_everybody_can_read_is_wrong_until_the_remedy_is_followed() {
    let bed = Bed::new(&Engine::Process, "");
    let file = bed.path().join("pgpass");
    fs::write(&file, "secret").expect("written");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("ours");
    let secrets = format!(
        "[{{ name = \"PGPASSFILE\", file = {:?}, target = \"/run/secrets/pgpass\" }}]",
        file.display().to_string()
    );
    bed.replace("kill_grace", &format!("secrets = {secrets}\nkill_grace"));
    let seen = bed.look();
    seen.is_wrong("secrets", "everybody can read", &format!("chmod 600 {}", file.display()));
    let remedy = &seen.of_state("fail")[0][3];
    assert!(Command::new("sh").args(["-c", remedy]).status().expect("a shell").success());
    assert_eq!(bed.look().code, Some(0));
}

/// A small file system in memory, full, unmounted when dropped; `None`, said aloud, if this process may not mount.
struct Full(PathBuf);

impl Full {
    fn at(path: &Path) -> Option<Self> {
        fs::create_dir(path).expect("made");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m,mode=750", "tmpfs"]).arg(path).output();
        if !mounted.expect("mount").status.success() {
            eprintln!("SKIPPED: a disk of its own needs root");
            return None;
        }
        let disk = Self(path.to_owned());
        assert!(fs::write(path.join("ballast"), vec![1; 8 << 20]).is_err(), "it is full");
        Some(disk)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}

#[test]
fn a_disk_below_the_watermark_is_wrong() {
    let bed = Bed::new(&Engine::Process, "");
    let Some(_disk) = Full::at(&bed.state()) else { return };
    bed.look().is_wrong("disks", "less than disk.clean_below (512.0 MiB)", "du -xh");
}

#[test]
fn a_database_that_is_none_is_wrong_and_left_alone() {
    let bed = Bed::new(&Engine::Process, "");
    fs::create_dir(bed.state()).expect("made");
    fs::set_permissions(bed.state(), Permissions::from_mode(0o750)).expect("ours");
    let path = bed.state().join("uwsd.db");
    let garbage = "this is no database, and it is long enough to show it".repeat(99);
    fs::write(&path, &garbage).expect("written");
    bed.look().is_wrong("database", "is damaged or is no database", "uwsd restore FILE");
    assert_eq!(fs::read_to_string(&path).expect("there"), garbage);
}

#[test]
fn a_database_of_a_newer_program_is_wrong() {
    let bed = Bed::new(&Engine::Process, "");
    fs::create_dir(bed.state()).expect("made");
    fs::set_permissions(bed.state(), Permissions::from_mode(0o750)).expect("ours");
    let database = Connection::open(bed.state().join("uwsd.db")).expect("made");
    database.pragma_update(None, "user_version", 99).expect("set");
    drop(database);
    bed.look().is_wrong("database", "has schema version 99", "install the newer uwsd again");
}

#[test]
fn a_mount_whose_source_is_not_there_is_wrong() {
    let bed = Bed::new(&Engine::Process, "");
    let source = bed.path().join("count");
    fs::remove_dir(&source).expect("removed");
    bed.look().is_wrong("users", "is not there: none of them runs", &format!("mkdir -p {}", source.display()));
}

#[test]
fn a_git_that_cannot_be_started_is_wrong() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: to take git away from one process needs root");
        return;
    }
    let bed = Bed::new(&Engine::Process, "");
    let mut command = Command::new("unshare");
    let hide = "for git in /usr/local/bin/git /usr/bin/git; do [ ! -e $git ] || mount --bind /dev/null $git; done; exec \"$@\"";
    command.args(["--mount", "sh", "-c", hide, "sh", UWSD]);
    bed.look_by(command, &[]).is_wrong("git", "git cannot be used", "apt-get install git");
}

#[tokio::test]
async fn a_repository_is_asked_as_for_a_job() {
    let bed = Bed::new(&Engine::Process, "");
    let server = GitServer::start().await;
    let seen = bed.look_by(Command::new(UWSD), &["--url", &server.url()]);
    assert_eq!(seen.code, Some(0), "{:#?}", seen.findings);
    let answers = format!("{} answers; branches and tags: 1", server.url());
    assert!(seen.findings.iter().any(|finding| finding[2] == answers), "{:#?}", seen.findings);
    let nobody = format!("http://me:secret@127.0.0.1:{}/x", free_port());
    let seen = bed.look_by(Command::new(UWSD), &["--url", &nobody]);
    seen.is_wrong("git", "does not answer as it should", "git ls-remote http://127.0.0.1:");
    assert!(!format!("{:?}", seen.findings).contains("secret"), "{:#?}", seen.findings);
    let seen = bed.look_by(Command::new(UWSD), &["--url", "file:///x"]);
    seen.is_wrong("git", "\"file\" is not allowed here", "git_protocols");
}

#[tokio::test]
async fn the_repositories_of_the_newest_jobs_are_asked() {
    let bed = Bed::new(&Engine::Process, "");
    let server = GitServer::start().await;
    let daemon = bed.start(None).await;
    let nobody = format!("http://me:secret@127.0.0.1:{}/x", free_port());
    for url in [&server.url(), &nobody] {
        let answer = bed.put(&serde_json::json!({ "command": "true", "url": url, "commit_ref": "main" })).await;
        bed.ends(answer.json()["jobId"].as_str().expect("an id")).await;
    }
    let seen = bed.look();
    let answers = format!("{} answers; branches and tags: 1", server.url());
    assert!(seen.findings.iter().any(|finding| finding[2] == answers), "{:#?}", seen.findings);
    assert!(seen.told("git", "warn").contains("does not answer as it should"), "{:#?}", seen.findings);
    assert!(!format!("{:?}", seen.findings).contains("secret"), "{:#?}", seen.findings);
    assert_eq!(daemon.terminate().await, Some(0), "{}", bed.log());
}

#[test]
fn what_counts_is_what_the_daemons_user_may_do() {
    let Some(engine) = Engine::docker() else { return };
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: to be another user needs root");
        return;
    }
    let bed = Bed::new(&engine, "");
    let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
    open(bed.path(), 0o755);
    open(&bed.path().join("uwsd.toml"), 0o644);
    let program = bed.path().join("uwsd");
    fs::copy(UWSD, &program).expect("copied");
    open(&program, 0o755);
    fs::create_dir(bed.state()).expect("made");
    open(&bed.state(), 0o750);
    chown(bed.state(), Some(STRANGER), Some(STRANGER)).expect("given");
    let as_user = || {
        let mut command = Command::new("setpriv");
        let [uid, gid] = [format!("--reuid={STRANGER}"), format!("--regid={STRANGER}")];
        command.args([&uid, &gid, "--clear-groups", "--"]).arg(&program);
        command
    };
    for command in [Command::new(UWSD), as_user()] {
        let seen = bed.look_by(command, &[]);
        seen.is_wrong("engine", &format!("the daemon's user {STRANGER} may not use the engine"), "usermod -aG");
        let job = format!("jobs of ocps run as {STRANGER}:");
        assert!(seen.findings.iter().any(|finding| finding[2].starts_with(&job)), "{:#?}", seen.findings);
    }
    // A configuration that the daemon cannot read, as root sees it.
    open(&bed.path().join("uwsd.toml"), 0o600);
    let seen = bed.look();
    let wrong: Vec<&str> = seen.of_state("fail").iter().map(|finding| finding[0].as_str()).collect();
    assert_eq!(wrong, ["engine", "permissions"], "{:#?}", seen.findings);
    assert!(seen.told("permissions", "fail").contains("cannot read"), "{:#?}", seen.findings);
}
