//! Whether what is secret is so, and the daemon can read it.

use std::path::{Path, PathBuf};

use futures_util::future::join_all;

use super::access::{Barrier, Bits, Person, READ};
use super::examine::Case;
use super::finding::{Finding, Subject};
use super::patience::looked;

/// A file whose content nobody else may know.
#[derive(Debug, Clone)]
struct Secret {
    /// What it is to the configuration.
    key: String,
    path: PathBuf,
    /// Whether it may be absent.
    is_optional: bool,
    /// Whether ssh refuses it if its own group may read it.
    is_for_ssh: bool,
}

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let secrets = secrets(case).into_iter().map(|secret| {
        let daemon = case.daemon.clone();
        looked(Subject::Secrets, secret.path.display().to_string(), move || vec![judge(&secret, &daemon)])
    });
    let files =
        case.files.iter().cloned().map(|file| {
            looked(Subject::Secrets, file.display().to_string(), move || logins(&file).into_iter().collect())
        });
    let (secrets, files) = tokio::join!(join_all(secrets), join_all(files));
    // What may be absent and is says nothing.
    secrets.into_iter().chain(files).flatten().filter(|finding| !finding.sentence.is_empty()).collect()
}

fn secrets(case: &Case) -> Vec<Secret> {
    let config = &case.config;
    let of_services = config.services.iter().flat_map(|(name, service)| {
        service.secrets.iter().map(move |secret| (format!("secret {} of {name}", secret.name), &secret.file))
    });
    let mut secrets: Vec<Secret> = of_services
        .map(|(key, path)| Secret { key, path: path.clone(), is_optional: false, is_for_ssh: false })
        .collect();
    let named = |key: &str, path: &Option<PathBuf>, is_for_ssh| {
        path.clone().map(|path| Secret { key: key.to_owned(), path, is_optional: false, is_for_ssh })
    };
    secrets.extend(named("sources.ssh_key", &config.sources.ssh_key, true));
    secrets.extend(named("backend.docker.tls_key", &config.backend.docker.tls_key, false));
    secrets.push(Secret {
        key: "backend.docker.credentials".to_owned(),
        path: config.backend.docker.credentials.clone(),
        is_optional: true,
        is_for_ssh: false,
    });
    secrets
}

fn judge(secret: &Secret, daemon: &Person) -> Finding {
    let Secret { key, path, is_optional, is_for_ssh } = secret;
    let (shown, name) = (path.display(), &daemon.name);
    let bits = match Bits::of(path) {
        Ok(bits) => bits,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return if *is_optional {
                Finding::fine(Subject::Secrets, "")
            } else {
                Finding::wrong(
                    Subject::Secrets,
                    format!("{shown} ({key}) is not there"),
                    format!("install -o {name} -m 600 FILE {shown}"),
                )
            };
        }
        Err(error) => {
            return Finding::odd(
                Subject::Secrets,
                format!("{shown} ({key}) cannot be seen: {error}"),
                format!("run uwsd doctor as root or as {name}"),
            );
        }
    };
    if bits.mode & READ != 0 {
        return Finding::wrong(
            Subject::Secrets,
            format!("everybody can read {shown} ({key}): it is {bits}"),
            closing(path, bits, daemon),
        );
    }
    if let Err(barrier @ Barrier::Closed(..)) = daemon.may(path, READ) {
        return Finding::wrong(
            Subject::Secrets,
            format!("{name} cannot read {shown} ({key}): {barrier}"),
            format!("chown {name} {shown} && chmod 600 {shown}    # and chmod a+x the directories above it"),
        );
    }
    if *is_for_ssh && bits.uid == daemon.uid && bits.mode & 0o077 != 0 {
        return Finding::wrong(
            Subject::Secrets,
            format!("ssh refuses {shown} ({key}), which its group can use: it is {bits}"),
            format!("chmod 600 {shown}"),
        );
    }
    Finding::fine(Subject::Secrets, format!("only those who should can read {shown} ({key}, {bits})"))
}

/// What closes a file to others and leaves it to the daemon.
fn closing(path: &Path, bits: Bits, daemon: &Person) -> String {
    let shown = path.display();
    if bits.uid == daemon.uid {
        format!("chmod 600 {shown}")
    } else if daemon.gids.contains(&bits.gid) {
        format!("chmod 640 {shown}")
    } else {
        format!("chown {} {shown} && chmod 600 {shown}", daemon.name)
    }
}

/// A configuration with a login in a URL that everybody can read.
fn logins(file: &Path) -> Option<Finding> {
    let bits = Bits::of(file).ok().filter(|bits| bits.mode & READ != 0)?;
    let text = std::fs::read_to_string(file).ok()?;
    let line = 1 + text.lines().position(has_login)?;
    Some(Finding::odd(
        Subject::Secrets,
        format!("{} has a login in a URL (line {line}), and everybody can read it ({bits})", file.display()),
        format!("chmod 640 {0} && chgrp uwsd {0}", file.display()),
    ))
}

/// Whether a line has a URL with a password.
fn has_login(line: &str) -> bool {
    !line.trim_start().starts_with('#')
        && line.split("://").skip(1).any(|rest| {
            let authority = rest.split(['/', '?', '#', '"', '\'', ' ', ',']).next().unwrap_or_default();
            authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
        })
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_secret_is_there_private_and_readable_for_the_daemon() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pgpass");
        write(&path, "x").expect("written");
        let me = Person::of(nix::unistd::geteuid().as_raw());
        let stranger = Person::in_a_job(987_654, Vec::new());
        let secret = |is_for_ssh| Secret { key: "k".into(), path: path.clone(), is_optional: false, is_for_ssh };
        for (bits, is_for_ssh, person, state, remedy) in [
            (0o600, false, &me, State::Fine, ""),
            (0o640, false, &me, State::Fine, ""),
            (0o644, false, &me, State::Wrong, "chmod 600 "),
            (0o640, true, &me, State::Wrong, "chmod 600 "),
            (0o604, false, &stranger, State::Wrong, "chown 987654 "),
            (0o600, false, &stranger, State::Wrong, "chown 987654 "),
        ] {
            set_permissions(&path, Permissions::from_mode(bits)).expect("ours");
            let found = judge(&secret(is_for_ssh), person);
            assert_eq!(found.state, state, "{bits:o}: {found:?}");
            assert!(found.remedy.as_deref().unwrap_or_default().starts_with(remedy), "{found:?}");
        }
        let missing = Secret { path: dir.path().join("none"), ..secret(false) };
        assert_eq!(judge(&missing, &me).state, State::Wrong);
        assert_eq!(judge(&Secret { is_optional: true, ..missing }, &me).sentence, "");
    }

    #[test]
    fn a_login_in_a_configuration_is_seen_where_others_can_read_it() {
        for (line, is_login) in [
            ("proxy = \"http://me:secret@proxy:3128\"", true),
            ("proxy = \"http://proxy:3128\"", false),
            ("url = \"ssh://git@host/x\"", false),
            ("#proxy = \"http://me:secret@proxy:3128\"", false),
            ("a = \"https://host/x:y@z\"", false),
        ] {
            assert_eq!(has_login(line), is_login, "{line}");
        }
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("uwsd.toml");
        write(&file, "[sources]\nproxy = \"http://me:secret@proxy:3128\"\n").expect("written");
        set_permissions(&file, Permissions::from_mode(0o644)).expect("ours");
        let found = logins(&file).expect("seen");
        assert!(found.sentence.contains("(line 2)") && !found.sentence.contains("secret"), "{found:?}");
        set_permissions(&file, Permissions::from_mode(0o640)).expect("ours");
        assert_eq!(logins(&file), None);
    }
}
