//! Containers that do to a job's files what the daemon's user may not.
//!
//! In production the daemon is an ordinary user who may talk to the engine. A container of the job's image, as root but
//! with only what changing owners and modes needs, without network and with nothing but the job's directory, does it. All
//! that it needs of its image is one program, so that another image does where the job's has gone or lacks it.
//!
//! That other image is one that a service of the configuration names, and no other of the host's: whoever made an image could
//! have it read and change the files of a job that is not theirs, as root. What was pulled for jobs is no better, since jobs
//! may choose it; their own files are all that it gets at.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{LogsOptions, StartContainerOptions, WaitContainerOptions};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info};
use uuid::Uuid;

use super::backend::Shared;
use super::connect::Client;
use super::errand::Fresh;
use super::error::{failed, is_name_taken, is_program_missing, refused, status_of, words_of};
use super::spec::{helper, utf8};
use crate::config::Live;
use crate::domain::{JobId, chain};
use crate::ports::BackendError;

/// What tells the helpers of this process from those that an earlier one left over, and what is known of their images.
#[derive(Debug)]
pub(super) struct Helpers {
    /// The label that they carry.
    maker: String,
    count: AtomicU64,
    /// Whose services name the images that are tried where the job's does not do.
    pub(super) config: OnceLock<Live>,
    /// The ids of images that lack a program.
    unfit: Mutex<HashSet<String>>,
}

impl Helpers {
    pub(super) fn new() -> Self {
        let maker = Uuid::new_v4().to_string();
        Self { maker, count: AtomicU64::new(0), config: OnceLock::new(), unfit: Mutex::default() }
    }

    /// Whether `label` is that of a helper of this process.
    pub(super) fn is_mine(&self, label: &str) -> bool {
        self.maker == label
    }

    /// The ids of images that are known to lack a program.
    pub(super) fn unfit(&self) -> HashSet<String> {
        self.unfit.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_unfit(&self, image: String) {
        self.unfit.lock().unwrap_or_else(PoisonError::into_inner).insert(image);
    }
}

/// What a helper is to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chore<'a> {
    pub(super) doing: &'static str,
    pub(super) job: JobId,
    /// What it sees, at [`super::spec::HELPER_ROOT`].
    pub(super) root: &'a Path,
    pub(super) argv: &'a [String],
}

impl Chore<'_> {
    fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }
}

/// What came of trying an image.
enum Tried {
    Done,
    /// The engine has it no more.
    Gone,
    /// It lacks the program, or cannot run it.
    Unfit,
}

impl Shared {
    /// Has `chore` done to its end by a helper of `image`, or of one that a service names where that one is not known, is
    /// gone, lacks the program or fails.
    ///
    /// If the future is dropped the helper is killed and removed; [`Shared::settle`] waits for that.
    ///
    /// # Errors
    /// [`BackendError::Image`] if `image` is gone, so that fetching it again may help; else the last failure.
    pub(super) async fn help(self: &Arc<Self>, chore: Chore<'_>, image: Option<&str>) -> Result<(), BackendError> {
        let client = self.engine.client().await?;
        // It works through as many files as the job has: as long as a pull may take, with all images together.
        let until = Instant::now() + self.settings.pull_timeout;
        let (mut is_gone, mut failure) = (false, None);
        if let Some(image) = image {
            match passed_over(self.try_image(&client, chore, image, until).await, &mut failure)? {
                Some(Tried::Done) => return Ok(()),
                Some(Tried::Gone) => is_gone = true,
                Some(Tried::Unfit) | None => {}
            }
        }
        for other in self.other_images(&client, chore.doing, image).await? {
            if Instant::now() >= until {
                break;
            }
            match passed_over(self.try_image(&client, chore, &other, until).await, &mut failure)? {
                Some(Tried::Done) => {
                    let own = image.unwrap_or("a job that is not known to have one");
                    info!(job.id = %chore.job, "{}: by image {other}, in the place of {own}", chore.doing);
                    return Ok(());
                }
                Some(Tried::Gone) | None => {}
                Some(Tried::Unfit) => self.helpers.is_unfit(other),
            }
        }
        let needs = format!("needs an image with `{}`, as the files are another user's, and", chore.program());
        Err(match (image, failure) {
            (Some(image), failure) if is_gone => BackendError::Image {
                image: image.to_owned(),
                why: format!(
                    "{} {needs} neither this one nor any such that a service names is on the host{}: pull it, or another",
                    chore.doing,
                    failure.map_or_else(String::new, |error| format!(" and does it ({})", chain(&error)))
                ),
                is_transient: true,
            },
            (_, Some(failure)) => failure,
            (_, None) => {
                refused(chore.doing, format!("that {needs} none that a service names is on the host: pull one"))
            }
        })
    }

    async fn try_image(
        self: &Arc<Self>,
        client: &Client,
        chore: Chore<'_>,
        image: &str,
        until: Instant,
    ) -> Result<Tried, BackendError> {
        let Some(helper) = self.create_helper(client, chore, image).await? else { return Ok(Tried::Gone) };
        let done = self.run_helper(client, chore.doing, helper.id(), until).await;
        let removed = helper.remove().await;
        done.and_then(|tried| removed.map(|()| tried))
    }

    /// `None` if the engine has no such image.
    async fn create_helper(
        self: &Arc<Self>,
        client: &Client,
        chore: Chore<'_>,
        image: &str,
    ) -> Result<Option<Fresh>, BackendError> {
        let Chore { doing, job, root, argv } = chore;
        let root = utf8(root).map_err(|why| refused(doing, why))?;
        for _ in 0..3 {
            // One that goes may overlap with the next, hence the number.
            let number = self.helpers.count.fetch_add(1, Ordering::Relaxed);
            let name = format!("uwsd-{job}-helper-{number}");
            let body = helper(job, &self.instance, &self.helpers.maker, image, argv, root);
            match self.make(client, job, name.clone(), body).await {
                Ok(helper) => return Ok(Some(helper)),
                // Left over by an earlier process: this one gives no number twice.
                Err(error) if is_name_taken(&error) => self.remove_container(&name).await?,
                Err(error) if status_of(&error) == Some(404) => return Ok(None),
                Err(error) => return Err(failed(doing, &error)),
            }
        }
        Err(refused(doing, "no helper container could be created"))
    }

    async fn run_helper(
        &self,
        client: &Client,
        doing: &'static str,
        id: &str,
        until: Instant,
    ) -> Result<Tried, BackendError> {
        match self.engine.bounded(client.docker.start_container(id, None::<StartContainerOptions>)).await {
            Ok(()) => {}
            Err(error) if is_program_missing(&words_of(&error)) => return Ok(Tried::Unfit),
            Err(error) => return Err(failed(doing, &error)),
        }
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let mut answer = Box::pin(client.docker.wait_container(id, Some(options)));
        match timeout_at(until, answer.next()).await {
            Ok(Some(Ok(_))) => Ok(Tried::Done),
            // As a dynamic loader or a shell tells that something of the program is missing.
            Ok(Some(Err(Error::DockerContainerWaitError { code: 126 | 127, .. }))) => Ok(Tried::Unfit),
            Ok(Some(Err(Error::DockerContainerWaitError { code, .. }))) => {
                // Nothing is concluded from its words: it quotes the names of files, which the job chose.
                let said = self.last_words(client, id).await;
                Err(refused(doing, format!("the helper container ended with {code}: {said}")))
            }
            Ok(Some(Err(error))) => Err(failed(doing, &error)),
            Ok(None) => Err(failed(doing, &Error::RequestTimeoutError)),
            Err(_) => {
                let limit = self.settings.pull_timeout.as_secs();
                Err(refused(doing, format!("the helper container did not end within {limit}s")))
            }
        }
    }

    /// The last of what a helper said, on one line.
    async fn last_words(&self, client: &Client, id: &str) -> String {
        let options = LogsOptions { stdout: true, stderr: true, tail: "3".to_owned(), ..LogsOptions::default() };
        let read = self
            .engine
            .bounded(async {
                let mut said = Vec::new();
                let mut output = Box::pin(client.docker.logs(id, Some(options)));
                while let Some(part) = output.next().await {
                    said.extend_from_slice(part.map(LogOutput::into_bytes)?.as_ref());
                }
                Ok(said)
            })
            .await;
        match read {
            Ok(said) => String::from_utf8_lossy(&said).trim().replace('\n', "; "),
            Err(error) => words_of(&error),
        }
    }
}

/// What came of an image, whose failure is kept as the last one. An engine that cannot be reached is not its fault: nor would
/// the next image fare better.
fn passed_over(
    tried: Result<Tried, BackendError>,
    failure: &mut Option<BackendError>,
) -> Result<Option<Tried>, BackendError> {
    match tried {
        Ok(tried) => Ok(Some(tried)),
        Err(error @ BackendError::Unreachable { .. }) => Err(error),
        Err(error) => {
            debug!("another image is tried: {}", chain(&error));
            *failure = Some(error);
            Ok(None)
        }
    }
}
