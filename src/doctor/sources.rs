//! Git, its helpers, and what it is told of keys, hosts, authorities and the proxy.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::access::{Barrier, Person, READ};
use super::examine::Case;
use super::finding::{Finding, State, Subject};
use super::patience::{PATIENCE, looked, within};
use crate::domain::strip_credentials;
use crate::ports::SourceError;
use crate::sources::{asks, program_in_path, version_of};
use crate::sqlite::examine;

/// How long a repository may take to answer.
const ASKING: Duration = Duration::from_secs(15);

pub(super) async fn look(case: &Case, url: Option<&str>) -> Vec<Finding> {
    let config = &case.config.sources;
    let (mut findings, lfs, files, proxy, answer) = tokio::join!(
        async { vec![git(&asked(&["--version"]).await)] },
        async { if config.lfs { Some(lfs(&asked(&["lfs", "version"]).await)) } else { None } },
        files(case),
        async {
            match &config.proxy {
                Some(text) => Some(proxy(text).await),
                None => None,
            }
        },
        async {
            match url {
                Some(url) => vec![repository(case, url).await],
                None => repositories_of_jobs(case).await,
            }
        }
    );
    if config.git_protocols.iter().any(|protocol| protocol == "ssh") && program_in_path("ssh").is_none() {
        findings.push(Finding::odd(
            Subject::Git,
            "there is no ssh: sources with ssh:// URLs cannot be fetched",
            "apt-get install openssh-client    # or take \"ssh\" out of sources.git_protocols",
        ));
    }
    findings.into_iter().chain(lfs).chain(files).chain(proxy).chain(answer).collect()
}

async fn asked(arguments: &[&str]) -> Result<String, String> {
    let answer = timeout(PATIENCE, version_of(arguments)).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
}

fn git(answer: &Result<String, String>) -> Finding {
    match answer {
        Ok(version) => Finding::fine(Subject::Git, format!("{version} is there")),
        Err(why) => Finding::wrong(
            Subject::Git,
            format!("git cannot be used: {why}; jobs with a source end as clone-failed"),
            "apt-get install git",
        ),
    }
}

fn lfs(answer: &Result<String, String>) -> Finding {
    match answer {
        Ok(version) => Finding::fine(Subject::Git, format!("{version} is there for large files")),
        Err(why) => Finding::wrong(
            Subject::Git,
            format!("sources.lfs is on, and git-lfs cannot be used: {why}"),
            "apt-get install git-lfs    # or set sources.lfs = false",
        ),
    }
}

/// The files that the configuration names; whether the key is private is told among the secrets.
async fn files(case: &Case) -> Vec<Finding> {
    let config = &case.config.sources;
    let mut findings = Vec::new();
    let named = [("known_hosts", &config.known_hosts), ("ca_file", &config.ca_file)];
    for (key, path) in named.into_iter().filter_map(|(key, path)| Some((key, path.clone()?))) {
        let daemon = case.daemon.clone();
        let name = path.display().to_string();
        findings.extend(looked(Subject::Git, name, move || vec![file(key, &path, &daemon)]).await);
    }
    findings
}

fn file(key: &str, path: &Path, daemon: &Person) -> Finding {
    let shown = path.display();
    if let Err(barrier) = daemon.may(path, READ) {
        let remedy = match barrier {
            Barrier::Missing => format!("set sources.{key} to a file that is there"),
            Barrier::Closed(..) => format!("chmod a+r {shown}    # and chmod a+x the directories above it"),
            Barrier::Unseen(_) => format!("run uwsd doctor as root or as {}", daemon.name),
        };
        let sentence = format!("{} cannot read {shown} (sources.{key}): {barrier}", daemon.name);
        return Finding::wrong(Subject::Git, sentence, remedy);
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            return Finding::wrong(
                Subject::Git,
                format!("{shown} (sources.{key}) cannot be read: {error}"),
                format!("file {shown}"),
            );
        }
    };
    if key == "known_hosts" {
        let count = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).count();
        return match count {
            0 => Finding::wrong(
                Subject::Git,
                format!("{shown} (sources.known_hosts) names no host: no source comes by ssh"),
                format!("ssh-keyscan HOST >> {shown}    # and compare the keys with those that the site tells"),
            ),
            _ => Finding::fine(Subject::Git, format!("{shown} names the keys of known hosts ({count} lines)")),
        };
    }
    match certificates(&text) {
        Some(count) if count > 0 => Finding::fine(Subject::Git, format!("{shown} has {count} certificate authorities")),
        Some(_) | None => Finding::wrong(
            Subject::Git,
            format!("{shown} (sources.ca_file) has no certificates in PEM form: no source comes by https"),
            format!("openssl x509 -in {shown} -noout -subject    # shows what is wrong"),
        ),
    }
}

/// How many certificates a PEM text has; `None` if one of them is damaged.
fn certificates(text: &str) -> Option<usize> {
    let mut count = 0;
    for part in text.split("-----BEGIN CERTIFICATE-----").skip(1) {
        let (body, _) = part.split_once("-----END CERTIFICATE-----")?;
        let body: String = body.split_whitespace().collect();
        // A certificate is a sequence (X.690).
        STANDARD.decode(body).ok().filter(|bytes| bytes.first() == Some(&0x30))?;
        count += 1;
    }
    Some(count)
}

async fn proxy(text: &str) -> Finding {
    let shown = strip_credentials(text);
    let place = Url::parse(text).ok().and_then(|url| {
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some((host, url.port_or_known_default().unwrap_or(1080)))
    });
    let why = match place {
        None => "it is no URL with a host".to_owned(),
        Some(place) => match timeout(PATIENCE, TcpStream::connect(place)).await {
            Ok(Ok(_)) => return Finding::fine(Subject::Git, format!("the proxy {shown} is reached")),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        },
    };
    Finding::wrong(
        Subject::Git,
        format!("the proxy {shown} is not reached: {why}; no source comes by http or https"),
        format!("curl -sSI -x {shown} https://github.com/    # look at the network and at sources.proxy"),
    )
}

/// A directory of this look alone, removed with it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is below the directory for temporary files: nothing else to do about it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Scratch {
    fn make() -> std::io::Result<Self> {
        let made = nix::unistd::mkdtemp(&std::env::temp_dir().join("uwsd-doctor-XXXXXX"))?;
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o700))?;
        Ok(Self(made))
    }
}

/// The repositories that the newest jobs came from. One that does not answer may have been a mistake of a job's, or be gone.
async fn repositories_of_jobs(case: &Case) -> Vec<Finding> {
    let path = case.config.store.path.clone();
    let urls = within(PATIENCE, move || examine(&path).map(|facts| facts.sources).unwrap_or_default()).await;
    let asked = urls.unwrap_or_default();
    let mut findings = join_all(asked.iter().map(|url| repository(case, url))).await;
    for finding in &mut findings {
        if finding.state == State::Wrong {
            finding.state = State::Odd;
        }
    }
    findings
}

async fn repository(case: &Case, url: &str) -> Finding {
    let shown = strip_credentials(url);
    let scratch = match Scratch::make() {
        Ok(scratch) => scratch,
        Err(error) => {
            return Finding::odd(
                Subject::Git,
                format!("{shown} was not asked: no temporary directory: {error}"),
                "TMPDIR=DIR uwsd doctor --url URL    # with a directory that can be written",
            );
        }
    };
    let asked = timeout(ASKING, asks(&case.config.sources, &scratch.0, url)).await;
    match asked {
        Ok(Ok(count)) => Finding::fine(Subject::Git, format!("{shown} answers; branches and tags: {count}")),
        Ok(Err(error @ SourceError::Refused(_))) => Finding::wrong(
            Subject::Git,
            error.to_string(),
            "look at the URL, and at git_protocols, ssh_key, known_hosts and ca_file of [sources]",
        ),
        Ok(Err(error @ (SourceError::Network(_) | SourceError::TimedOut(_) | SourceError::DiskFull(_)))) => {
            Finding::wrong(
                Subject::Git,
                error.to_string(),
                format!("git ls-remote {shown}    # look at the network and at sources.proxy"),
            )
        }
        Err(_) => Finding::wrong(
            Subject::Git,
            format!("{shown} does not answer within {} s", ASKING.as_secs()),
            format!("git ls-remote {shown}    # look at the network and at sources.proxy"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_there_or_named_with_their_package() {
        assert_eq!(git(&Ok("git version 2.39.5".into())).state, State::Fine);
        let missing = Err("No such file or directory (os error 2)".to_owned());
        assert_eq!(git(&missing).remedy.as_deref(), Some("apt-get install git"));
        assert_eq!(lfs(&missing).state, State::Wrong);
    }

    #[test]
    fn certificates_are_counted_and_damaged_ones_are_seen() {
        let one = "-----BEGIN CERTIFICATE-----\nMIIB\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, count) in [
            (format!("# of our site\n{one}{one}"), Some(2)),
            (String::new(), Some(0)),
            (one.replace("MIIB", "M?IB"), None),
            (one.replace("MIIB", "AAAA"), None),
            (one.replace("END", "FIN"), None),
        ] {
            assert_eq!(certificates(&text), count, "{text}");
        }
    }

    #[test]
    fn a_file_that_is_missing_or_empty_is_wrong_with_a_remedy_of_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let me = Person::of(nix::unistd::geteuid().as_raw());
        let path = dir.path().join("hosts");
        let remedy = |key| file(key, &path, &me).remedy.unwrap_or_default();
        assert_eq!(remedy("known_hosts"), "set sources.known_hosts to a file that is there");
        std::fs::write(&path, "# nobody\n").expect("written");
        assert!(remedy("known_hosts").starts_with("ssh-keyscan"));
        assert!(remedy("ca_file").starts_with("openssl x509"));
        std::fs::write(&path, "host ssh-ed25519 AAAA\n").expect("written");
        assert_eq!(file("known_hosts", &path, &me).state, State::Fine);
    }

    #[tokio::test]
    async fn a_proxy_that_nobody_runs_is_wrong_and_its_login_is_not_shown() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let url = format!("http://me:secret@{address}");
        assert_eq!(proxy(&url).await.state, State::Fine);
        drop(listener);
        let found = proxy(&url).await;
        assert_eq!(found.state, State::Wrong);
        assert!(!format!("{found:?}").contains("secret"), "{found:?}");
    }
}
