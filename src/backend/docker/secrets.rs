//! Secrets: private files put into the container before it starts, never in its configuration.
//!
//! They lie in the container's own layer, which only root of the engine's host can read, and go with the container.

use bollard::query_parameters::{ContainerArchiveInfoOptions, UploadToContainerOptions};
use tar::Builder;

use super::archive::{ROOT, append_dir, append_file};
use super::backend::Shared;
use super::connect::Client;
use super::error::{failed, refused, status_of};
use crate::backend::system::io_failed;
use crate::ports::{BackendError, MountKind, RunSpec, Secret, User};

const GIVING: &str = "giving the secrets";

impl Shared {
    pub(super) async fn send_secrets(&self, client: &Client, spec: &RunSpec) -> Result<(), BackendError> {
        let container = self.handle(&spec.run);
        for secret in &spec.secrets {
            if let Some(mount) = hiding(spec, &secret.target) {
                let why =
                    format!("secret {} at {} would be hidden by the mount at {mount}", secret.name, secret.target);
                return Err(refused(GIVING, why));
            }
            self.send_secret(client, &container, secret, spec.user).await?;
        }
        Ok(())
    }

    async fn send_secret(
        &self,
        client: &Client,
        container: &str,
        secret: &Secret,
        user: User,
    ) -> Result<(), BackendError> {
        let content = tokio::fs::read(&secret.file).await;
        let content = content.map_err(|error| {
            refused(GIVING, format!("secret {} cannot be read from {}: {error}", secret.name, secret.file.display()))
        })?;
        let (below, missing) = self.deepest(client, container, secret).await?;
        let tar = archive(&missing, user, &content).map_err(|error| io_failed(GIVING, error))?;
        let options = UploadToContainerOptions { path: below, ..UploadToContainerOptions::default() };
        let upload = client.docker.upload_to_container(container, Some(options), bollard::body_full(tar.into()));
        self.engine.bounded(upload).await.map_err(|error| failed(GIVING, &error))
    }

    /// The deepest directory on the way to the secret that the image has, and what is missing from there on.
    ///
    /// Directories that are there must not be named in the archive: they would change their owner and mode, and where
    /// the image has a link on the way the engine would refuse to put a directory in its place.
    async fn deepest(
        &self,
        client: &Client,
        container: &str,
        secret: &Secret,
    ) -> Result<(String, Vec<String>), BackendError> {
        let parts: Vec<&str> = secret.target.split('/').filter(|part| !part.is_empty()).collect();
        if !secret.target.starts_with('/') || parts.is_empty() || parts.iter().any(|part| matches!(*part, "." | "..")) {
            return Err(refused(
                GIVING,
                format!("the target {:?} of secret {} is no absolute path", secret.target, secret.name),
            ));
        }
        for depth in (0..parts.len()).rev() {
            let path = format!("/{}", parts[..depth].join("/"));
            let is_there = depth == 0 || {
                let options = ContainerArchiveInfoOptions { path: path.clone() };
                let asked =
                    self.engine.bounded(client.docker.get_container_archive_info(container, Some(options))).await;
                match asked {
                    Ok(_) => true,
                    Err(error) if status_of(&error) == Some(404) => false,
                    Err(error) => return Err(failed(GIVING, &error)),
                }
            };
            if is_there {
                return Ok((path, parts[depth..].iter().map(|part| (*part).to_owned()).collect()));
            }
        }
        Err(refused(GIVING, "the container has no root directory"))
    }
}

/// The target of the mount in memory that would lie over `target`.
fn hiding<'a>(spec: &'a RunSpec, target: &str) -> Option<&'a str> {
    let lies_over = |mount: &str| {
        let rest = target.strip_prefix(mount.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut mounts = spec.mounts.iter();
    let hiding = mounts.find(|mount| matches!(mount.kind, MountKind::Tmpfs { .. }) && lies_over(&mount.target));
    hiding.map(|mount| mount.target.as_str())
}

/// The file under the last of `names`, in directories of the others.
fn archive(names: &[String], user: User, content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for end in 1..names.len() {
        append_dir(&mut tar, &names[..end].join("/"), 0o755, ROOT)?;
    }
    append_file(&mut tar, &names.join("/"), 0o600, user, content)?;
    tar.into_inner()
}
