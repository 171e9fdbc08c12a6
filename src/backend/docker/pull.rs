//! Pulling an image: once for all who want it at the same time, from its mirrors first, and again while that may help.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{CreateImageInfo, ProgressDetail};
use bollard::query_parameters::{CreateImageOptions, RemoveImageOptions, TagImageOptions};
use futures_util::future::{BoxFuture, FutureExt, Shared, WeakShared};
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{info, warn};

use super::credentials::credentials;
use super::error::{DOCKER, is_disk_full, is_unreachable, status_of, words_of};
use super::image::digest_of;
use crate::domain::{repository_of, tag_of, with_tag};
use crate::ports::{BackendError, Progress};

const PULLING: &str = "pulling the image";
/// How long it rests after the first failure that may pass, and at the most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// With less time left than this it does not try again.
const TOO_SHORT: Duration = Duration::from_secs(1);

/// What is to be pulled, and how.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) image: String,
    /// Where else it may be had, in turn.
    pub(super) stands: Vec<Stand>,
    /// The file of `docker login`.
    pub(super) credentials: PathBuf,
    /// How long it may take, all attempts together.
    pub(super) limit: Duration,
}

/// A name under which a mirror has an image.
#[derive(Debug, Clone)]
pub(super) struct Stand {
    pub(super) name: String,
    /// Whether the engine keeps this name after a pull: it had it before.
    pub(super) is_kept: bool,
}

/// An image that was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Landed {
    /// The name that it was pulled under.
    pub(super) name: String,
    /// The digest of that name, if the engine may not know it any more.
    pub(super) digest: Option<String>,
}

/// The pulls that are under way, one an image.
#[derive(Debug, Default)]
pub(super) struct Pulls(Mutex<HashMap<String, UnderWay>>);

/// A pull as long as somebody waits for it, and how it goes.
type UnderWay = (WeakShared<Flight>, watch::Receiver<String>);

/// What was pulled, or why it was not.
type Landing = Result<Landed, Failure>;
type Flight = BoxFuture<'static, Landing>;

/// Why a pull failed; told to all who waited for it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    Unreachable(String),
    DiskFull(String),
    NotToBeHad { why: String, is_transient: bool },
    TimedOut { why: String, limit: Duration },
}

impl Pulls {
    /// Pulls the image, or waits with those for whom it is being pulled. Whoever drops this leaves the pull to the
    /// others; with the last one it ends.
    ///
    /// # Errors
    /// [`BackendError::Image`], [`BackendError::PullTimedOut`], [`BackendError::DiskFull`],
    /// [`BackendError::Unreachable`].
    pub(super) async fn pull(
        &self,
        docker: &Docker,
        order: Order,
        progress: Progress<'_>,
    ) -> Result<Landed, BackendError> {
        let image = order.image.clone();
        let (mut flight, mut told) = self.join(docker, order);
        progress.tell(told.borrow_and_update().clone());
        loop {
            tokio::select! {
                landed = &mut flight => return landed.map_err(|failure| failure.into_error(image)),
                Ok(()) = told.changed() => progress.tell(told.borrow_and_update().clone()),
            }
        }
    }

    fn join(&self, docker: &Docker, order: Order) -> (Shared<Flight>, watch::Receiver<String>) {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|_, (flight, _)| flight.upgrade().is_some());
        if let Some((flight, told)) = under_way.get(&order.image)
            && let Some(flight) = flight.upgrade().filter(|flight| flight.peek().is_none())
        {
            return (flight, told.clone());
        }
        let (tell, told) = watch::channel(String::new());
        let image = order.image.clone();
        let flight = fly(docker.clone(), order, tell).boxed().shared();
        under_way.extend(flight.downgrade().map(|weak| (image, (weak, told.clone()))));
        (flight, told)
    }
}

async fn fly(docker: Docker, order: Order, tell: watch::Sender<String>) -> Landing {
    persist(&order.image, order.limit, &tell, || from_anywhere(&docker, &order, &tell)).await
}

/// Tries until it works, cannot work, or its time is over: the pauses get shorter towards that.
async fn persist<F>(
    image: &str,
    limit: Duration,
    tell: &watch::Sender<String>,
    mut attempt: impl FnMut() -> F,
) -> Landing
where
    F: Future<Output = Landing>,
{
    let deadline = Instant::now() + limit;
    let mut pause = PAUSES.0;
    let mut last = String::new();
    loop {
        match timeout_at(deadline, attempt()).await {
            Ok(Err(Failure::NotToBeHad { why, is_transient: true })) => last = why,
            Ok(landing) => return landing,
            Err(_) => break,
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left < TOO_SHORT {
            // What is told is that it was not there until then.
            sleep_until(deadline).await;
            break;
        }
        let rest = pause.min(left / 2);
        let secs = rest.as_secs().max(1);
        warn!("image {image} could not be pulled, trying again in {secs} s: {last}");
        tell.send_replace(format!("trying again in {secs} s: {last}"));
        sleep(rest).await;
        pause = (pause * 2).min(PAUSES.1);
    }
    Err(Failure::TimedOut { why: last, limit })
}

/// One attempt: each mirror in turn, then the registry itself, whose refusal counts.
async fn from_anywhere(docker: &Docker, order: &Order, tell: &watch::Sender<String>) -> Landing {
    for Stand { name, is_kept } in &order.stands {
        match from(docker, order, name, tell).await {
            Ok(()) => {
                let digest = name_as_asked(docker, order, name, *is_kept).await.map_err(|error| Failure::of(&error))?;
                info!("image {} was pulled as {name}", order.image);
                return Ok(Landed { name: name.clone(), digest });
            }
            Err(error) => warn!("{name} was not pulled, going on without this mirror: {}", words_of(&error)),
        }
    }
    from(docker, order, &order.image, tell).await.map_err(|error| Failure::of(&error))?;
    Ok(Landed { name: order.image.clone(), digest: None })
}

/// Gives what was pulled as `name` the name that was asked for, and takes `name` away again: with it the image would stay when
/// the other goes. Returns the digest of `name`, which goes with it.
async fn name_as_asked(docker: &Docker, order: &Order, name: &str, is_kept: bool) -> Result<Option<String>, Error> {
    let (repo, tag) = (repository_of(&order.image), tag_of(&order.image));
    docker.tag_image(name, Some(TagImageOptions { repo: Some(repo.to_owned()), tag: Some(tag.to_owned()) })).await?;
    let digest = digest_of(name, &docker.inspect_image(name).await?);
    if !is_kept && let Err(error) = docker.remove_image(name, Some(RemoveImageOptions::default()), None).await {
        warn!("the name {name} is left over: {}", words_of(&error));
    }
    Ok(digest)
}

async fn from(docker: &Docker, order: &Order, name: &str, tell: &watch::Sender<String>) -> Result<(), Error> {
    let credentials = credentials(&order.credentials, name).await;
    let options = CreateImageOptions { from_image: Some(with_tag(name)), ..CreateImageOptions::default() };
    let mut steps = docker.create_image(Some(options), None, credentials).boxed();
    let mut layers = Layers::default();
    while let Some(step) = steps.try_next().await? {
        if layers.take(step) {
            tell.send_replace(layers.to_string());
        }
    }
    Ok(())
}

/// How far the layers of an image are, in the engine's words.
#[derive(Debug, Default)]
struct Layers {
    /// Bytes here and in all, by layer.
    loads: HashMap<String, (i64, i64)>,
}

impl Layers {
    /// Whether there is something new to tell.
    fn take(&mut self, step: CreateImageInfo) -> bool {
        let CreateImageInfo { id: Some(id), status: Some(status), progress_detail, .. } = step else { return false };
        let load = self.loads.entry(id);
        match (status.as_str(), progress_detail) {
            ("Downloading", Some(ProgressDetail { current: Some(current), total: Some(total) })) => {
                load.insert_entry((current, total));
            }
            ("Download complete" | "Pull complete", _) => {
                load.and_modify(|(current, total)| *current = *total);
            }
            _ => return false,
        }
        true
    }
}

impl std::fmt::Display for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (here, all) =
            self.loads.values().fold((0, 0), |(here, all), (current, total)| (here + current, all + total));
        write!(f, "{} of {} MB here", here / 1_000_000, all / 1_000_000)
    }
}

impl Failure {
    fn of(error: &Error) -> Self {
        let why = words_of(error);
        if is_disk_full(&why) {
            return Self::DiskFull(why);
        }
        if is_unreachable(error) {
            return Self::Unreachable(why);
        }
        let is_transient = may_pass(status_of(error), &why);
        Self::NotToBeHad { why, is_transient }
    }

    fn into_error(self, image: String) -> BackendError {
        match self {
            Self::Unreachable(why) => BackendError::Unreachable { backend: DOCKER, doing: PULLING, why },
            Self::DiskFull(why) => BackendError::DiskFull { doing: PULLING, why },
            Self::NotToBeHad { why, is_transient } => BackendError::Image { image, why, is_transient },
            Self::TimedOut { why, limit } => BackendError::PullTimedOut { image, limit, why },
        }
    }
}

/// Whether a failed pull may work another time. The engine has no code for that; it hands on the registry's words.
fn may_pass(status: Option<u16>, why: &str) -> bool {
    const FINAL: [&str; 9] = [
        "manifest unknown",
        "not found",
        "denied",
        "unauthorized",
        "does not exist",
        "no matching manifest",
        "invalid reference",
        "no basic auth",
        "unsupported",
    ];
    let why = why.to_lowercase();
    if why.contains("toomanyrequests") || why.contains("too many requests") {
        return true;
    }
    !(matches!(status, Some(400..=499)) || FINAL.iter().any(|word| why.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_may_come_back_and_a_denial_stays() {
        for why in [
            "Get \"https://r/v2/\": dial tcp: lookup r: no such host",
            "dial tcp 127.0.0.1:1: connect: connection refused",
            "net/http: TLS handshake timeout",
            "received unexpected HTTP status: 503 Service Unavailable",
        ] {
            assert!(may_pass(Some(500), why), "{why}");
        }
        assert!(may_pass(None, "toomanyrequests: You have reached your pull rate limit"));
        for why in ["manifest unknown: manifest unknown", "unauthorized: authentication required"] {
            assert!(!may_pass(Some(500), why), "{why}");
        }
        assert!(!may_pass(Some(404), "pull access denied for x, repository does not exist"));
    }

    /// What comes of an image whose registry is back after so many seconds, and after how many seconds.
    async fn pulled_from_one_that_is_back_after(back: u64, limit: u64) -> (Landing, u64) {
        let begin = Instant::now();
        let tell = watch::Sender::default();
        let landing = persist("x", Duration::from_secs(limit), &tell, || async move {
            sleep(Duration::from_millis(100)).await;
            if begin.elapsed() >= Duration::from_secs(back) {
                return Ok(Landed { name: "x".to_owned(), digest: None });
            }
            Err(Failure::NotToBeHad { why: "connection refused".to_owned(), is_transient: true })
        });
        (landing.await, begin.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_is_back_before_the_deadline_comes_in_time_and_none_is_given_up_before_it() {
        for limit in [12, 60, 1800] {
            let (landing, _) = pulled_from_one_that_is_back_after(limit - 2, limit).await;
            assert!(landing.is_ok(), "{limit} s: {landing:?}");
            let (landing, after) = pulled_from_one_that_is_back_after(limit + 1, limit).await;
            let (why, limit) = ("connection refused".to_owned(), Duration::from_secs(limit));
            assert_eq!((landing, after), (Err(Failure::TimedOut { why, limit }), limit.as_secs()));
        }
    }

    #[test]
    fn the_layers_add_up() {
        let step = |id: &str, status: &str, detail: Option<(i64, i64)>| CreateImageInfo {
            id: Some(id.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: detail
                .map(|(current, total)| ProgressDetail { current: Some(current), total: Some(total) }),
            ..CreateImageInfo::default()
        };
        let mut layers = Layers::default();
        assert!(!layers.take(step("a", "Waiting", None)));
        assert!(layers.take(step("a", "Downloading", Some((1_000_000, 5_000_000)))));
        assert!(layers.take(step("b", "Downloading", Some((2_000_000, 20_000_000)))));
        assert_eq!(layers.to_string(), "3 of 25 MB here");
        assert!(layers.take(step("a", "Download complete", None)));
        assert_eq!(layers.to_string(), "7 of 25 MB here");
    }
}
