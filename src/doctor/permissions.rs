//! Whether the daemon may use its own files, and nobody else may write them.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::access::{Bits, ENTER, Person, READ, WRITE, existing, is_there};
use super::examine::Case;
use super::finding::{Finding, Subject};
use super::patience::looked;

/// Others may write.
const OTHERS_WRITE: u32 = 0o002;
/// Others may do anything.
const OTHERS: u32 = 0o007;

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let server = &case.config.server;
    let mut findings = Vec::new();
    let mut add = |found: Vec<Finding>| findings.extend(found);
    for file in case.files.clone() {
        let daemon = case.daemon.clone();
        add(looked(Subject::Permissions, file.display().to_string(), move || configuration(&file, &daemon)).await);
    }
    let directories = [("state_dir", server.state_dir.clone()), ("jobs_dir", server.jobs_dir.clone())];
    for (name, path) in directories {
        let daemon = case.daemon.clone();
        let what = format!("{name} {}", path.display());
        let is_own = name == "jobs_dir" && path.parent() == Some(&server.state_dir);
        // The daemon makes it in its state directory, of which this is told.
        let look = move || if is_own && !path.exists() { Vec::new() } else { directory(name, &path, &daemon) };
        add(looked(Subject::Permissions, what, look).await);
    }
    if let Some(path) = server.admin_socket.clone() {
        let daemon = case.daemon.clone();
        add(looked(Subject::Permissions, path.display().to_string(), move || socket(&path, &daemon)).await);
    }
    findings
}

fn configuration(file: &Path, daemon: &Person) -> Vec<Finding> {
    let (shown, name) = (file.display(), &daemon.name);
    let Ok(bits) = Bits::of(file) else { return Vec::new() }; // it was read a moment ago
    let mut findings = Vec::new();
    if let Err(barrier) = daemon.may(file, READ) {
        findings.push(Finding::wrong(
            Subject::Permissions,
            format!("the daemon's user {name} cannot read {shown}: {barrier}"),
            format!("chgrp {name} {shown} && chmod 640 {shown}"),
        ));
    }
    if bits.mode & OTHERS_WRITE != 0 {
        findings.push(Finding::wrong(
            Subject::Permissions,
            format!("everybody can change {shown} ({bits})"),
            format!("chmod o-w {shown}"),
        ));
    }
    findings
}

fn directory(name: &str, path: &Path, daemon: &Person) -> Vec<Finding> {
    let (shown, who) = (path.display(), &daemon.name);
    if let Err(why) = is_there(path) {
        return vec![Finding::odd(
            Subject::Permissions,
            format!("{name} {shown} cannot be seen: {why}"),
            format!("run uwsd doctor as root or as {who}"),
        )];
    }
    let there = existing(path);
    let wanted = if there == path { READ | WRITE | ENTER } else { WRITE | ENTER };
    if let Err(barrier) = daemon.may(there, wanted) {
        let (deed, remedy) = if there == path {
            ("write to", format!("chown {who}: {shown} && chmod 750 {shown}"))
        } else {
            ("make", format!("install -d -o {who} -m 750 {shown}"))
        };
        return vec![Finding::wrong(
            Subject::Permissions,
            format!("{who} cannot {deed} {name} {shown}: {barrier}"),
            remedy,
        )];
    }
    if there != path {
        return vec![Finding::fine(Subject::Permissions, format!("{name} {shown} is made at the first start"))];
    }
    let Ok(bits) = Bits::of(path) else { return Vec::new() }; // it was there a moment ago
    vec![match bits.mode {
        mode if mode & OTHERS_WRITE != 0 => Finding::wrong(
            Subject::Permissions,
            format!("everybody can write to {name} {shown} ({bits})"),
            format!("chmod 750 {shown}"),
        ),
        mode if mode & OTHERS != 0 && name == "state_dir" => Finding::odd(
            Subject::Permissions,
            format!("everybody can look into {name} {shown} ({bits})"),
            format!("chmod 750 {shown}"),
        ),
        _ => Finding::fine(Subject::Permissions, format!("{who} can write to {name} {shown} ({bits})")),
    }]
}

/// The administration socket: whoever may open it is an operator.
fn socket(path: &Path, daemon: &Person) -> Vec<Finding> {
    let (shown, who) = (path.display(), &daemon.name);
    match std::fs::symlink_metadata(path) {
        Ok(facts) if !facts.file_type().is_socket() => vec![Finding::wrong(
            Subject::Permissions,
            format!("{shown} (server.admin_socket) is no socket: the daemon does not start"),
            format!("move it away, or set server.admin_socket to another path than {shown}"),
        )],
        Ok(_) => match Bits::of(path) {
            Ok(bits) if bits.mode & OTHERS != 0 => vec![Finding::wrong(
                Subject::Permissions,
                format!("everybody can give orders to the daemon: {shown} is {bits}"),
                format!("chmod 660 {shown}"),
            )],
            Ok(bits) => vec![Finding::fine(Subject::Permissions, format!("orders come over {shown} ({bits})"))],
            Err(_) => Vec::new(), // it ended just now
        },
        Err(_) => place_of_socket(path.parent().unwrap_or(Path::new("/")), who, daemon),
    }
}

fn place_of_socket(directory: &Path, who: &str, daemon: &Person) -> Vec<Finding> {
    let there: PathBuf = existing(directory).to_owned();
    match daemon.may(&there, WRITE | ENTER) {
        Ok(()) => Vec::new(),
        // The service manager makes it when it starts the daemon.
        Err(_) if directory.starts_with("/run") && there != directory => Vec::new(),
        Err(barrier) => vec![Finding::wrong(
            Subject::Permissions,
            format!("{who} cannot make the administration socket in {}: {barrier}", directory.display()),
            format!("install -d -o {who} -m 755 {}    # or set server.admin_socket", directory.display()),
        )],
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::super::finding::State;
    use super::*;

    fn mode(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).expect("ours");
    }

    fn states(findings: &[Finding]) -> Vec<State> {
        findings.iter().map(|finding| finding.state).collect()
    }

    #[test]
    fn what_the_daemon_cannot_use_and_what_everybody_can_is_wrong() {
        let dir = tempfile::tempdir().expect("a directory");
        let me = Person::of(nix::unistd::geteuid().as_raw());
        let stranger = Person::in_a_job(987_654, Vec::new());
        for (bits, person, state) in [
            (0o750, &me, State::Fine),
            (0o755, &me, State::Odd),
            (0o757, &me, State::Wrong),
            (0o750, &stranger, State::Wrong),
        ] {
            mode(dir.path(), bits);
            assert_eq!(states(&directory("state_dir", dir.path(), person)), [state], "{bits:o}");
        }
        let later = dir.path().join("a/b");
        assert_eq!(states(&directory("state_dir", &later, &me)), [State::Fine]);
        assert_eq!(states(&directory("state_dir", &later, &stranger)), [State::Wrong]);
    }

    #[test]
    fn a_configuration_is_read_by_the_daemon_and_written_by_few() {
        let dir = tempfile::tempdir().expect("a directory");
        mode(dir.path(), 0o755);
        let file = dir.path().join("uwsd.toml");
        write(&file, "").expect("written");
        let stranger = Person::in_a_job(987_654, Vec::new());
        for (bits, expected) in [(0o644, vec![]), (0o600, vec![State::Wrong]), (0o646, vec![State::Wrong])] {
            mode(&file, bits);
            assert_eq!(states(&configuration(&file, &stranger)), expected, "{bits:o}");
        }
    }

    #[test]
    fn a_socket_that_everybody_can_open_is_wrong() {
        let dir = tempfile::tempdir().expect("a directory");
        let me = Person::of(nix::unistd::geteuid().as_raw());
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).expect("bound");
        for (bits, state) in [(0o660, State::Fine), (0o666, State::Wrong)] {
            mode(&path, bits);
            assert_eq!(states(&socket(&path, &me)), [state], "{bits:o}");
        }
        let file = dir.path().join("file");
        write(&file, "").expect("written");
        assert_eq!(states(&socket(&file, &me)), [State::Wrong]);
        assert_eq!(states(&socket(&dir.path().join("later"), &me)), []);
        assert_eq!(states(&socket(&dir.path().join("later"), &Person::in_a_job(987_654, Vec::new()))), [State::Wrong]);
    }
}
