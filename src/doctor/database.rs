//! The database of jobs.

use std::path::Path;

use super::access::{ENTER, Person, READ, WRITE, existing, is_there};
use super::examine::Case;
use super::finding::{Finding, Subject, size};
use super::patience::looked;
use crate::sqlite::{DatabaseFacts, OpenError, examine, network_type};

/// A log larger than this is kept from being cut back.
const LARGE_LOG: u64 = 256 << 20;

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let (path, daemon) = (case.config.store.path.clone(), case.daemon.clone());
    looked(Subject::Database, path.display().to_string(), move || at(&path, &daemon)).await
}

fn at(path: &Path, daemon: &Person) -> Vec<Finding> {
    let shown = path.display();
    let directory = path.parent().unwrap_or(Path::new("/"));
    if let Some(file_system) = network_type(existing(directory)) {
        let error = OpenError::NetworkFileSystem { path: path.to_owned(), file_system };
        return vec![unusable(&error)];
    }
    match is_there(path) {
        Ok(true) => {}
        Ok(false) => return vec![Finding::fine(Subject::Database, format!("{shown} is made at the first start"))],
        Err(why) => return vec![unseen(path, &why, daemon)],
    }
    let mut findings = Vec::new();
    let closed = daemon.may(path, READ | WRITE).and_then(|()| daemon.may(directory, READ | WRITE | ENTER)).err();
    if let Some(barrier) = closed {
        let name = &daemon.name;
        findings.push(Finding::wrong(
            Subject::Database,
            format!("{name} cannot write {shown}: {barrier}"),
            format!("chown {name}: {shown}*; chmod 640 {shown}*; chmod u+rwx {}", directory.display()),
        ));
    }
    if let Err(error) = std::fs::File::open(path) {
        findings.push(unseen(path, &error.to_string(), daemon));
        return findings;
    }
    findings.push(match examine(path) {
        Ok(facts) => sound(path, &facts),
        Err(error) => unusable(&error),
    });
    findings
}

fn unseen(path: &Path, why: &str, daemon: &Person) -> Finding {
    Finding::odd(
        Subject::Database,
        format!("{} cannot be looked into: {why}", path.display()),
        format!("run uwsd doctor as root or as {}", daemon.name),
    )
}

fn sound(path: &Path, facts: &DatabaseFacts) -> Finding {
    let shown = path.display();
    let DatabaseFacts { version, known, log, .. } = facts;
    if *log > LARGE_LOG {
        return Finding::odd(
            Subject::Database,
            format!("the log of {shown} has {}: some program keeps the database open and reads", size(*log)),
            format!("fuser -v {shown}    # shows who; end it if it is not uwsd"),
        );
    }
    let schema = match version {
        0 => "it is empty".to_owned(),
        version if version < known => format!("schema version {version} becomes {known} at the next start"),
        version => format!("schema version {version}"),
    };
    Finding::fine(Subject::Database, format!("{shown} is on a local disk, {schema}, its log has {}", size(*log)))
}

fn unusable(error: &OpenError) -> Finding {
    let (sentence, remedy) = match error {
        OpenError::NetworkFileSystem { path, file_system } => (
            format!("{} lies on {file_system}, a network file system, where it can be damaged", path.display()),
            "move it to a local disk and set store.path (docs/storage.md, \"Another disk\"); jobs_dir may stay"
                .to_owned(),
        ),
        OpenError::Newer { path, found, known } => (
            format!("{} has schema version {found}, this uwsd knows up to {known}: it does not start", path.display()),
            "install the newer uwsd again, or restore a backup made before the upgrade: uwsd restore FILE".to_owned(),
        ),
        OpenError::Corrupt { path, why } => (
            format!("{} is damaged or is no database ({why})", path.display()),
            "uwsd restore FILE    # from a backup, with uwsd.socket and uwsd.service stopped; without one: \
             docs/troubleshooting.md, \"The database is damaged\""
                .to_owned(),
        ),
        OpenError::Sqlite { path, source } => (
            format!("{} cannot be read: {source}", path.display()),
            format!("sqlite3 -readonly {} 'PRAGMA quick_check'", path.display()),
        ),
        OpenError::NoBackup { path, source, .. } => {
            (format!("{} cannot be backed up: {source}", path.display()), format!("df -h {}", path.display()))
        }
        OpenError::Io { path, source } => {
            (format!("{} cannot be used: {source}", path.display()), format!("namei -l {}", path.display()))
        }
    };
    Finding::wrong(Subject::Database, sentence, remedy)
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn the_schema_and_the_log_are_told() {
        let path = Path::new("/s/uwsd.db");
        let facts = DatabaseFacts { version: 4, known: 4, newest_job: None, sources: Vec::new(), log: 2048 };
        let told = |facts: &DatabaseFacts| (sound(path, facts).state, sound(path, facts).sentence);
        assert_eq!(
            told(&facts),
            (State::Fine, "/s/uwsd.db is on a local disk, schema version 4, its log has 2.0 KiB".to_owned())
        );
        let (state, sentence) = told(&DatabaseFacts { version: 3, ..facts.clone() });
        assert!(state == State::Fine && sentence.contains("3 becomes 4"), "{sentence}");
        assert_eq!(told(&DatabaseFacts { log: 1 << 30, ..facts }).0, State::Odd);
    }

    #[test]
    fn whatever_keeps_it_from_being_opened_has_its_remedy() {
        let path = || "/s/uwsd.db".into();
        for (error, part) in [
            (
                OpenError::NetworkFileSystem { path: path(), file_system: "nfs4".into() },
                "set store.path (docs/storage.md",
            ),
            (OpenError::Newer { path: path(), found: 9, known: 4 }, "newer uwsd"),
            (OpenError::Corrupt { path: path(), why: "x".into() }, "uwsd restore"),
        ] {
            let found = unusable(&error);
            assert_eq!(found.state, State::Wrong);
            assert!(found.remedy.as_deref().is_some_and(|remedy| remedy.contains(part)), "{found:?}");
        }
    }
}
