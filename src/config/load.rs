//! Brings the layers together: default, main file, drop-ins, environment, flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::files;
use super::host::Host;
use super::keys;
use super::kind::toml_value;
use super::problem::{ConfigErrors, Origin};
use super::reader::{Effective, Reader};
use super::sections;
use super::settings::Settings;
use super::types::Config;
use super::variables::{Environment, take_text};

/// The main file that is read if none is named and it exists.
const SYSTEM_FILE: &str = "/etc/uwsd/uwsd.toml";

/// What to load the configuration from.
#[derive(Debug, Clone)]
pub struct LoadRequest {
    /// `--config`: the main file; it must exist.
    pub config: Option<PathBuf>,
    /// `--listen`: further listeners.
    pub listen: Vec<String>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--backend`.
    pub backend: Option<String>,
    /// The environment of the process.
    pub environment: Vec<(OsString, OsString)>,
    /// What the host has.
    pub host: Host,
    /// The main file if none is named; it need not exist.
    pub system_file: Option<PathBuf>,
}

impl LoadRequest {
    /// A request without flags, for this host.
    #[must_use]
    pub fn new(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self {
            config: None,
            listen: Vec::new(),
            state_dir: None,
            backend: None,
            environment: environment.into_iter().collect(),
            host: Host::look(),
            system_file: Some(PathBuf::from(SYSTEM_FILE)),
        }
    }
}

/// A configuration that was loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every key with its value and where it comes from, in the order of the sample file.
    pub effective: Vec<Effective>,
    /// What is odd but no reason to refuse.
    pub warnings: Vec<String>,
}

/// Loads and checks the configuration.
///
/// # Errors
/// [`ConfigErrors`] with every problem that was found, not only the first.
pub fn load(request: &LoadRequest) -> Result<Loaded, ConfigErrors> {
    let mut settings = Settings::default();
    let environment = Environment::new(request.environment.iter().cloned(), &mut settings.problems);
    let named = request.config.clone().or_else(|| environment.get("UWSD_CONFIG").map(PathBuf::from));
    if let Some(file) = named.as_ref().or(request.system_file.as_ref()) {
        files::apply(file, named.is_some(), &mut settings);
    }
    settings.add_default_service();
    let unknown = environment.apply(&mut settings);
    apply_flags(request, &environment, &mut settings);

    let mut reader = Reader::new(settings);
    for warning in unknown {
        reader.warn(warning);
    }
    let runtime = environment.get("RUNTIME_DIRECTORY").and_then(|all| all.split(':').next()).map(PathBuf::from);
    let login = environment.get("DOCKER_CONFIG").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let places = Places { state: state_fallback(&environment), runtime, login };
    let config = read(&mut reader, request.host, places);
    let (effective, warnings, problems) = reader.finish();
    if problems.is_empty() { Ok(Loaded { config, effective, warnings }) } else { Err(ConfigErrors { problems }) }
}

impl Config {
    /// The configuration of a daemon that was given nothing but a state directory.
    ///
    /// # Panics
    /// If `state_dir` is relative and there is no working directory.
    #[must_use]
    pub fn defaults(state_dir: &Path, host: Host) -> Self {
        let request =
            LoadRequest { state_dir: Some(state_dir.to_owned()), host, system_file: None, ..LoadRequest::new([]) };
        load(&request).expect("an absolute state directory, or one below a working directory that exists").config
    }
}

/// Directories that the environment names.
struct Places {
    state: Option<(PathBuf, Origin)>,
    runtime: Option<PathBuf>,
    /// `$DOCKER_CONFIG`.
    login: Option<PathBuf>,
}

fn read(r: &mut Reader, host: Host, places: Places) -> Config {
    let server = sections::server(r, places.state, places.runtime);
    let login = match places.login {
        Some(dir) => (dir.join("config.json"), Origin::Variable("DOCKER_CONFIG".to_owned())),
        None => (server.state_dir.join(".docker/config.json"), Origin::Derived("below state_dir")),
    };
    let log = sections::log(r);
    let store = sections::store(r, &server.state_dir);
    let queue = sections::queue(r, host);
    let disk = sections::disk(r);
    let json = sections::json(r);
    let uws = sections::uws(r);
    let uploads = sections::uploads(r);
    let sources = sections::sources(r, &server.state_dir);
    let backend = sections::backend(r, login);
    let names = r.services();
    let services = names.into_iter().map(|name| {
        let service = sections::service(r, &name, &queue);
        (name, service)
    });
    let services: BTreeMap<_, _> = services.collect();
    if !services.contains_key("ocps") {
        r.warn("there is no [service.ocps]: the OCPS JSON API has no service to make jobs of".to_owned());
    }
    Config { server, log, store, queue, disk, json, uws, uploads, sources, backend, services }
}

fn apply_flags(request: &LoadRequest, environment: &Environment, settings: &mut Settings) {
    if request.listen.is_empty() {
        let addresses = environment.get("UWSD_LISTEN").unwrap_or_default();
        for address in addresses.split(',').map(str::trim).filter(|address| !address.is_empty()) {
            settings.add_listener(address, &Origin::Variable("UWSD_LISTEN".to_owned()));
        }
    } else {
        for address in &request.listen {
            settings.add_listener(address, &Origin::Flag("--listen"));
        }
    }
    let state_dir = request.state_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned());
    for (flag, path, text) in
        [("--state-dir", "server.state_dir", &state_dir), ("--backend", "backend.kind", &request.backend)]
    {
        if let (Some(text), Some(key)) = (text, keys::find(path)) {
            take_text(settings, key, path, text, &Origin::Flag(flag));
        }
    }
    let listener = keys::find("server.listener").expect("the table has the key");
    if settings.get(listener.path).is_none() {
        let value = toml_value(listener.default).expect("a test reads every default");
        settings.take(listener, listener.path, &value, &Origin::Default);
    }
}

/// The state directory where none is configured: systemd's, else the user's.
fn state_fallback(environment: &Environment) -> Option<(PathBuf, Origin)> {
    let variable = |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // systemd joins the directories of several StateDirectory= with colons; ours comes first.
    let of_systemd = environment.get("STATE_DIRECTORY").and_then(|all| all.split(':').next()).map(PathBuf::from);
    if let Some(dir) = of_systemd.filter(|dir| dir.is_absolute()) {
        return Some((dir, Origin::Variable("STATE_DIRECTORY".to_owned())));
    }
    if let Some(home) = variable("XDG_STATE_HOME") {
        return Some((home.join("uwsd"), Origin::Variable("XDG_STATE_HOME".to_owned())));
    }
    let home = variable("HOME")?;
    Some((home.join(".local/state/uwsd"), Origin::Variable("HOME".to_owned())))
}
