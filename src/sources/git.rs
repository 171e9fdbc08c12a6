//! One git process: its whole environment, and what its failure means.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use tokio::process::Command;

use super::address::Protocol;
use super::group::{self, Finished};
use super::leftovers::MARK;
use super::remote::Remote;
use super::settings::Settings;
use super::words::{Failure, classify, last_words, remedy};
use crate::ports::SourceError;

/// Where git and its helpers are looked for, whatever the daemon's own environment says.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Holds a login, so that it is on no command line, which every user of the host can read.
const LOGIN: &str = "UWSD_GIT_LOGIN";
/// Holds what git and its children may speak.
const PROTOCOLS: &str = "GIT_ALLOW_PROTOCOL";
/// What git is told on each command line: there it wins over the repository's own configuration.
const ALWAYS: [&str; 5] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "advice.detachedHead=false",
];

/// Git, for one repository of the daemon's or of a job's.
#[derive(Clone, Copy)]
pub(super) struct Git<'a> {
    pub(super) settings: &'a Settings,
    /// Where the repository comes from.
    pub(super) remote: &'a Remote,
    /// A repository on this host that is read wherever git is told to ask the remote: then nothing else can be asked.
    pub(super) mirror: Option<&'a Path>,
    /// The repository's directory.
    pub(super) directory: &'a Path,
}

impl Git<'_> {
    /// Runs git with `arguments` outside of any repository.
    pub(super) async fn outside(&self, arguments: &[&OsStr]) -> Result<Finished, SourceError> {
        self.run(&self.settings.home, arguments).await
    }

    /// Runs git with `arguments` in the repository.
    pub(super) async fn inside(&self, arguments: &[&str]) -> Result<Finished, SourceError> {
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        self.run(self.directory, &arguments).await
    }

    /// Clones the remote into the repository's directory: a clone as `options` say.
    pub(super) async fn clone_as(&self, options: &[&str]) -> Result<(), SourceError> {
        let beginning = ["clone", "--quiet", "--template=", "--origin=origin"];
        let mut arguments: Vec<&OsStr> = beginning.iter().chain(options).map(OsStr::new).collect();
        arguments.extend([OsStr::new("--"), OsStr::new(&self.remote.url), self.directory.as_os_str()]);
        let done = self.outside(&arguments).await?;
        if done.status.success() { Ok(()) } else { Err(self.not_cloned(&done)) }
    }

    /// The error for a remote that did not give what it was asked for.
    pub(super) fn not_cloned(&self, done: &Finished) -> SourceError {
        self.failure(&format!("{} could not be cloned", self.remote.shown), done)
    }

    /// As [`inside`](Self::inside); a failure is an error that begins with `doing`.
    pub(super) async fn must(&self, doing: &str, arguments: &[&str]) -> Result<String, SourceError> {
        let done = self.inside(arguments).await?;
        if done.status.success() { Ok(done.stdout) } else { Err(self.failure(doing, &done)) }
    }

    /// The full hash of the commit that `revision`, a full ref name or a hash, leads to.
    pub(super) async fn commit(&self, revision: &str) -> Result<Option<String>, SourceError> {
        let revision = format!("{revision}^{{commit}}");
        let done = self.inside(&["rev-parse", "--verify", "--quiet", &revision]).await?;
        Ok(done.status.success().then(|| done.stdout.trim().to_owned()).filter(|hash| !hash.is_empty()))
    }

    /// The error for a git process that failed while `doing`.
    pub(super) fn failure(&self, doing: &str, done: &Finished) -> SourceError {
        let secrets = &self.remote.secrets;
        let secrets = self.mirror.map_or_else(|| secrets.clone(), |path| secrets.and_path(path));
        let remedy = remedy(&done.stderr, self.remote.login.is_some());
        let text = format!("{doing}: {}{remedy}", last_words(&done.stderr, &secrets));
        match classify(&done.stderr) {
            Failure::Refused => match done.status.signal() {
                // By the host or by somebody: the remote had no part in that.
                Some(signal) => SourceError::Network(format!("{text}; it was killed by signal {signal}")),
                None => SourceError::Refused(text),
            },
            Failure::Network => SourceError::Network(text),
            Failure::DiskFull => SourceError::DiskFull(text),
        }
    }

    /// Fetches the submodules of what is checked out; none from this host, where a repository may name any place.
    pub(super) async fn update_submodules(&self) -> Result<(), SourceError> {
        let arguments = ["submodule", "--quiet", "update", "--init", "--recursive"].map(OsStr::new);
        let mut command = self.command(self.directory, &arguments);
        let elsewhere = |protocol: &Protocol| *protocol != Protocol::File;
        command.env(PROTOCOLS, words(self.settings.protocols.iter().copied().filter(elsewhere)));
        let done = Box::pin(group::run(command)).await.map_err(|error| not_started(&error))?;
        let doing = || format!("the submodules of {} could not be fetched", self.remote.shown);
        if done.status.success() { Ok(()) } else { Err(self.failure(&doing(), &done)) }
    }

    async fn run(&self, directory: &Path, arguments: &[&OsStr]) -> Result<Finished, SourceError> {
        // Boxed: its buffers would be in every future that leads here.
        Box::pin(group::run(self.command(directory, arguments))).await.map_err(|error| not_started(&error))
    }

    fn command(&self, directory: &Path, arguments: &[&OsStr]) -> Command {
        let settings = self.settings;
        let mut command = Command::new("git");
        command
            .current_dir(directory)
            .env_clear()
            .env(MARK, &settings.scratch)
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .env("HOME", &settings.home)
            .env("XDG_CONFIG_HOME", &settings.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_CONFIG_GLOBAL", &settings.gitconfig)
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            // Set but empty: nobody is asked.
            .env("GIT_ASKPASS", "")
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env("GIT_SSH_COMMAND", &settings.ssh_command)
            .env("GIT_SSH_VARIANT", "ssh")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_LFS_SKIP_SMUDGE", "1");
        // A failed clone leaves no repository: none above may be taken instead.
        if let Some(parent) = self.directory.parent() {
            command.env("GIT_CEILING_DIRECTORIES", parent);
        }
        match self.mirror {
            Some(path) => self.read_mirror(&mut command, path),
            None => self.ask_remote(&mut command),
        }
        for setting in ALWAYS {
            command.args(["-c", setting]);
        }
        command.args(arguments);
        command
    }

    fn ask_remote(&self, command: &mut Command) {
        command.env(PROTOCOLS, words(self.settings.protocols.iter().copied()));
        if let Some(login) = &self.remote.login {
            // Asked again wherever a redirection leads to; a header would go there unasked. What git puts behind the helper
            // is for `:`.
            let helper = format!("credential.{}.helper=!printenv {LOGIN}; :", login.scope);
            command.env(LOGIN, &login.lines).args(["-c", &helper]);
        }
    }

    /// The remote keeps its name, in the repository's configuration and in its logs; only what is read is another.
    fn read_mirror(&self, command: &mut Command, path: &Path) {
        command
            .env(PROTOCOLS, "file")
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", format!("url.file://{}.insteadOf", path.display()))
            .env("GIT_CONFIG_VALUE_0", &self.remote.url);
    }
}

/// Protocols as git reads them.
fn words(protocols: impl Iterator<Item = Protocol>) -> String {
    protocols.map(Protocol::as_str).collect::<Vec<_>>().join(":")
}

/// The error for a git that could not be started: where there is one, the host lacks something for the moment.
fn not_started(error: &io::Error) -> SourceError {
    let text = format!("git cannot be started on the daemon's host: {error}");
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::PermissionDenied => SourceError::Refused(text),
        _ => SourceError::Network(text),
    }
}
