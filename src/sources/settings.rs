//! What a site configures about sources, made ready for git: done once, at start.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::address::{Address, Protocol};
use super::closed::{Closed, LEADS_INSIDE};
use super::ssh;
use crate::config;

/// Why sources cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A protocol that is none of git's.
    #[error("sources.git_protocols: {0:?} is unknown; use https, http, ssh, git, file")]
    Protocol(String),
    /// A path that cannot be handed to git or ssh as it is.
    #[error("{key}: {path:?} cannot be handed on; use an absolute path without quotes, '%', '$', '~' or '\\'")]
    Path {
        /// The key.
        key: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A proxy that is no URL.
    #[error("sources.proxy: holds a control character; give a URL such as http://HOST:PORT")]
    Proxy,
    /// The scratch directory cannot be made or written.
    #[error("failed to prepare {path:?} for git")]
    Scratch {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The files that every git process of the daemon's uses instead of the host's configuration.
#[derive(Debug)]
pub(super) struct Settings {
    /// The directory of all of this, absolute.
    pub(super) scratch: PathBuf,
    /// Where mirrors are.
    pub(super) mirrors: PathBuf,
    /// An empty directory: `HOME` and the working directory.
    pub(super) home: PathBuf,
    /// The only configuration file that git reads besides the repository's own.
    pub(super) gitconfig: PathBuf,
    /// What git may speak.
    pub(super) protocols: Vec<Protocol>,
    /// From where on this host nothing is fetched.
    pub(super) closed: Closed,
    /// `GIT_SSH_COMMAND`.
    pub(super) ssh_command: String,
}

impl Settings {
    /// Checks `config` and writes what git needs below `scratch`, which is closed to jobs, as are `closed`.
    ///
    /// # Errors
    /// [`SetupError`].
    pub(super) fn prepare(config: &config::Sources, scratch: &Path, closed: &[&Path]) -> Result<Self, SetupError> {
        let protocols = config
            .git_protocols
            .iter()
            .map(|word| Protocol::parse(word).ok_or_else(|| SetupError::Protocol(word.clone())))
            .collect::<Result<Vec<_>, _>>()?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| SetupError::Scratch { path, source }
        };
        let scratch = std::path::absolute(scratch).map_err(failed(scratch))?;
        let (home, gitconfig) = (scratch.join("home"), scratch.join("gitconfig"));
        let mirrors = scratch.join("mirrors");
        let seen_hosts = scratch.join("known_hosts");
        let ssh_command = ssh::command(
            usable("sources.ssh_key", config.ssh_key.as_deref())?,
            usable("sources.known_hosts", config.known_hosts.as_deref())?,
            usable("server.state_dir", Some(&seen_hosts))?.unwrap_or_default(),
        );
        let content = gitconfig_content(config)?;
        for dir in [&home, &mirrors] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(dir))?;
        }
        write_private(&gitconfig, &content).map_err(failed(&gitconfig))?;
        let closed = Closed::new(closed.iter().copied().chain([scratch.as_path()]));
        Ok(Self { scratch, mirrors, home, gitconfig, protocols, closed, ssh_command })
    }

    /// Reads the address of a repository, without asking the file system.
    ///
    /// # Errors
    /// As of [`Address::parse`]; also if it names a place in the daemon's own files.
    pub(super) fn address(&self, text: &str) -> Result<Address, String> {
        let address = Address::parse(text, &self.protocols)?;
        match address.place() {
            Some(place) if self.closed.are_named_by(&place) => Err(LEADS_INSIDE.into()),
            _ => Ok(address),
        }
    }
}

fn usable<'a>(key: &'static str, path: Option<&'a Path>) -> Result<Option<&'a str>, SetupError> {
    let Some(path) = path else { return Ok(None) };
    match config::handed_on(path) {
        Some(text) if path.is_absolute() => Ok(Some(text)),
        Some(_) | None => Err(SetupError::Path { key, path: path.to_owned() }),
    }
}

/// Settings that hold for every process, also for those of submodules and on the other side of a `file` URL.
fn gitconfig_content(config: &config::Sources) -> Result<String, SetupError> {
    // The directory of a job may belong to the job's user, and a repository on this host to anyone.
    let mut text = String::from(
        "[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\
         [protocol \"ext\"]\n\tallow = never\n\
         [safe]\n\tdirectory = *\n\
         [init]\n\ttemplateDir =\n\tdefaultBranch = main\n\
         [gc]\n\tauto = 0\n\tautoDetach = false\n\
         [maintenance]\n\tauto = false\n\
         [submodule]\n\trecurse = false\n\
         [advice]\n\tdetachedHead = false\n",
    );
    if let Some(file) = usable("sources.ca_file", config.ca_file.as_deref())? {
        text.extend(["[http]\n\tsslCAInfo = \"", file, "\"\n"]);
    }
    if let Some(proxy) = &config.proxy {
        if proxy.contains(char::is_control) {
            return Err(SetupError::Proxy);
        }
        let proxy = proxy.replace('\\', r"\\").replace('"', "\\\"");
        text.extend(["[http]\n\tproxy = \"", &proxy, "\"\n"]);
    }
    if config.lfs {
        text += "[filter \"lfs\"]\n\tclean = git-lfs clean -- %f\n\tsmudge = git-lfs smudge -- %f\n\
                 \tprocess = git-lfs filter-process\n\trequired = true\n";
    }
    Ok(text)
}

/// Writes a file that only the daemon may read: a proxy may hold a password.
fn write_private(path: &Path, content: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(content.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    fn config() -> config::Sources {
        config::Sources {
            git_protocols: vec!["https".into(), "ssh".into()],
            clone_timeout: Duration::from_secs(10),
            max_size: 1 << 30,
            mirror_age: Duration::from_secs(86_400),
            submodules: false,
            lfs: false,
            ssh_key: None,
            known_hosts: None,
            ca_file: None,
            proxy: None,
        }
    }

    #[test]
    fn everything_is_private_and_preparing_twice_is_fine() {
        let dir = tempfile::tempdir().expect("temp dir");
        let scratch = dir.path().join("git");
        let config = config::Sources { proxy: Some("http://u:\"p@proxy:1".into()), ..config() };
        for _ in 0..2 {
            let settings = Settings::prepare(&config, &scratch, &[]).expect("prepared");
            let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
            assert_eq!(
                (mode(&settings.scratch), mode(&settings.home), mode(&settings.gitconfig)),
                (0o700, 0o700, 0o600)
            );
            let text = fs::read_to_string(&settings.gitconfig).expect("text");
            assert!(text.contains(r#"proxy = "http://u:\"p@proxy:1""#), "{text}");
        }
    }

    #[test]
    fn a_configuration_that_git_cannot_be_told_is_refused_by_key() {
        let dir = tempfile::tempdir().expect("temp dir");
        let refusal = |config| Settings::prepare(&config, dir.path(), &[]).expect_err("refused").to_string();
        let unknown = config::Sources { git_protocols: vec!["ext".into()], ..config() };
        assert!(refusal(unknown).starts_with("sources.git_protocols: \"ext\" is unknown; use https"));
        let key = config::Sources { ssh_key: Some("key".into()), ..config() };
        assert!(refusal(key).starts_with("sources.ssh_key: "));
        let ca = config::Sources { ca_file: Some("/a\"b".into()), ..config() };
        assert!(refusal(ca).starts_with("sources.ca_file: "));
    }
}
