//! What `uwsd doctor` asks the engine: facts, which somebody else judges. Nothing is changed by asking.

use std::path::PathBuf;
use std::time::Duration;

use bollard::query_parameters::ListImagesOptions;
use tokio::time::{Instant, timeout};

use super::connect::{Client, Engine, is_rootless};
use super::credentials::credentials;
use super::error::{status_of, words_of};
use super::reference::Mirror;
use crate::config;
use crate::ports::BackendError;

/// The engine of a configuration, to be looked at with little patience.
#[derive(Debug)]
pub(crate) struct Examination {
    engine: Engine,
    settings: config::Docker,
    patience: Duration,
}

/// What an engine says of itself; `None` where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the engine tells each of these facts by itself")]
pub(crate) struct EngineFigures {
    /// Name, version and API version.
    pub(crate) description: String,
    /// Whether it is Podman.
    pub(crate) is_podman: bool,
    /// How long it took to answer.
    pub(crate) took: Duration,
    /// Whether it knows API version 1.24, the oldest that is spoken.
    pub(crate) is_new_enough: bool,
    /// What it warns of.
    pub(crate) warnings: Vec<String>,
    /// Whether it can limit memory.
    pub(crate) limits_memory: Option<bool>,
    /// Whether it can limit swap.
    pub(crate) limits_swap: Option<bool>,
    /// Whether it can limit CPUs.
    pub(crate) limits_cpus: Option<bool>,
    /// Whether it can limit processes.
    pub(crate) limits_pids: Option<bool>,
    /// Who makes its control groups: `cgroupfs`, `systemd` …
    pub(crate) cgroup_driver: Option<String>,
    /// The version of its control groups.
    pub(crate) cgroup_version: Option<String>,
    /// Whether it runs without root.
    pub(crate) is_rootless: bool,
    /// Whether users in containers are others outside.
    pub(crate) maps_users: bool,
    /// Whether containers live through its restarts.
    pub(crate) keeps_alive: bool,
    /// How it stores images.
    pub(crate) storage_driver: Option<String>,
    /// Where it stores them, on its own host.
    pub(crate) data_root: Option<PathBuf>,
}

/// Whether an image is to be had from its registry, or a mirror of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromRegistry {
    /// Under this name.
    Has(String),
    /// No; the words for each name that was asked for.
    HasNot(String),
    /// This engine cannot be asked.
    NotTold,
}

impl Examination {
    /// Nothing is contacted yet; each question later takes at most about `patience`.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if the settings cannot be used.
    pub(crate) fn new(settings: &config::Docker, patience: Duration) -> Result<Self, BackendError> {
        let patience = patience.min(settings.request_timeout);
        let settings = config::Docker { request_timeout: patience, ..settings.clone() };
        Ok(Self { engine: Engine::new(&settings)?, settings, patience })
    }

    /// Whether the engine is behind a Unix socket: then it sees this host's files and groups.
    pub(crate) fn is_local(&self) -> bool {
        self.engine.is_local()
    }

    /// What the engine says of itself, or the words of what kept us from it.
    pub(crate) async fn figures(&self) -> Result<EngineFigures, String> {
        let begun = Instant::now();
        let (client, info) = self.engine.reach().await.map_err(|error| words_of(&error))?;
        let has_option = |name: &str| info.security_options.iter().flatten().any(|option| option.contains(name));
        Ok(EngineFigures {
            is_podman: client.is_podman,
            took: begun.elapsed(),
            is_new_enough: client.has_api(24),
            limits_memory: info.memory_limit,
            limits_swap: info.swap_limit,
            limits_cpus: info.cpu_cfs_quota,
            limits_pids: info.pids_limit,
            cgroup_driver: info.cgroup_driver.map(|driver| driver.to_string()),
            cgroup_version: info.cgroup_version.map(|version| version.to_string()),
            is_rootless: is_rootless(&info),
            maps_users: has_option("name=userns"),
            keeps_alive: client.is_kept_alive,
            description: client.description,
            warnings: info.warnings.unwrap_or_default(),
            storage_driver: info.driver,
            data_root: info.docker_root_dir.map(PathBuf::from),
        })
    }

    /// Whether the engine has the image.
    ///
    /// # Errors
    /// The words of the engine, or of what kept us from it.
    pub(crate) async fn has_image(&self, image: &str) -> Result<bool, String> {
        let client = self.client().await?;
        match self.engine.bounded(client.docker.inspect_image(image)).await {
            Ok(_) => Ok(true),
            Err(error) if status_of(&error) == Some(404) => Ok(false),
            Err(error) => Err(words_of(&error)),
        }
    }

    /// The names, with tags, of all images that the engine has.
    ///
    /// # Errors
    /// The words of the engine, or of what kept us from it.
    pub(crate) async fn names_of_images(&self) -> Result<Vec<String>, String> {
        let client = self.client().await?;
        let listed = self.engine.bounded(client.docker.list_images(None::<ListImagesOptions>)).await;
        let images = listed.map_err(|error| words_of(&error))?;
        Ok(images.into_iter().flat_map(|image| image.repo_tags).collect())
    }

    /// Has the engine ask the registry of `image` for it, mirrors first, as it does for a pull: with our login, and through
    /// the engine's own proxy.
    pub(crate) async fn ask_registry(&self, image: &str) -> FromRegistry {
        let client = match self.client().await {
            Ok(client) => client,
            Err(why) => return FromRegistry::HasNot(why),
        };
        if client.is_podman {
            return FromRegistry::NotTold;
        }
        let mirrors = self.settings.mirrors.iter().filter_map(|text| Mirror::parse(text).name_of(image));
        let mut why = Vec::new();
        for name in mirrors.chain([image.to_owned()]) {
            // Credential helpers are programs, and may hang too.
            let asked = timeout(self.patience, async {
                let login = credentials(&self.settings.credentials, &name).await;
                client.docker.inspect_registry_image(&name, login).await
            });
            match asked.await {
                Ok(Ok(_)) => return FromRegistry::Has(name),
                Ok(Err(error)) => why.push(format!("{name}: {}", words_of(&error))),
                Err(_) => why.push(format!("{name}: no answer within {} s", self.patience.as_secs())),
            }
        }
        FromRegistry::HasNot(why.join("; "))
    }

    async fn client(&self) -> Result<Client, String> {
        self.engine.client().await.map_err(|error| error.to_string())
    }
}
