//! Prefetching: an image or a repository is fetched before a job needs it, in the afternoon before the night.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tracing::info;

use crate::domain::{chain, strip_credentials};
use crate::ports::{Arrival, Fetching, Pull};

use super::context::Context;
use super::handle::Handle;

/// How many lines of progress may wait to be told; more are left out.
const LINES: usize = 64;

/// What is told of a prefetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prefetched {
    /// How it goes.
    Progress(String),
    /// It is there now, and what is.
    Done(String),
    /// It is not to be had, and why.
    Failed(String),
}

impl Handle {
    /// Fetches an image, by its name, or a repository, by its URL: what there is newer of it too. It goes on if nobody listens
    /// any more. The last that is told is how it ended.
    #[must_use]
    pub fn prefetch(&self, what: String) -> mpsc::Receiver<Prefetched> {
        let (tell, told) = mpsc::channel(LINES);
        let context = Arc::clone(&self.context);
        self.shared.fetches.spawn(async move {
            let end =
                match if is_url(&what) { source(&context, &what).await } else { image(&context, &what, &tell).await } {
                    Ok(what) => {
                        info!("prefetched: {what}");
                        Prefetched::Done(what)
                    }
                    Err(why) => Prefetched::Failed(why),
                };
            // Whoever asked may have gone away.
            drop(tell.send(end).await);
        });
        told
    }
}

/// Whether it is a URL of git's, with a scheme or in the short form of ssh; no name of an image is.
fn is_url(what: &str) -> bool {
    let is_short = |(user, rest): (&str, &str)| !user.contains('/') && rest.contains(':');
    what.contains("://") || what.split_once('@').is_some_and(is_short) && !what.contains("@sha256:")
}

async fn source(context: &Context, url: &str) -> Result<String, String> {
    context.shared.sources.prefetch(url).await.map_err(|error| chain(&error))?;
    Ok(format!("all of {} is on this host", strip_credentials(url)))
}

async fn image(context: &Context, name: &str, tell: &mpsc::Sender<Prefetched>) -> Result<String, String> {
    if !context.backend.uses_images() {
        return Err(format!("the {} backend runs no images; give the URL of a repository", context.backend.kind()));
    }
    // Until it is noted as used it could be removed by ourselves.
    let _claim = context.claims.claim(name).await;
    let facts = context.backend.fetch_image(name, Pull::Always, &Ear { context, tell }).await;
    let facts = facts.map_err(|error| chain(&error))?;
    let arrival = match facts.arrival {
        Arrival::Pulled => "was pulled",
        Arrival::Replaced | Arrival::Found => "is as the registry has it",
    };
    let (digest, source) = (facts.digest.clone(), facts.source.clone());
    let noted = context.uses_image(name, facts).await;
    let digest = noted.or(digest).map(|digest| format!(" ({digest})")).unwrap_or_default();
    let source = source.map(|source| format!(", from {source}")).unwrap_or_default();
    Ok(format!("{name} {arrival}{source}{digest}"))
}

/// Who hears how it goes.
struct Ear<'a> {
    context: &'a Context,
    tell: &'a mpsc::Sender<Prefetched>,
}

#[async_trait]
impl Fetching for Ear<'_> {
    fn tell(&self, line: String) {
        // A reader that is slow misses lines, not the end.
        drop(self.tell.try_send(Prefetched::Progress(line)));
    }

    async fn will_bring(&self, names: Vec<String>) {
        self.context.will_pull(names).await;
    }
}

#[cfg(test)]
mod tests {
    use super::is_url;

    #[test]
    fn a_url_is_told_from_the_name_of_an_image() {
        for url in ["https://host/x.git", "ssh://git@host/x", "git@host:x/y.git", "file:///x", "git://h/x"] {
            assert!(is_url(url), "{url}");
        }
        for name in ["debian", "debian:12", "host:5000/a/b:tag", "a/b@sha256:0123", "host/a:t@sha256:0123"] {
            assert!(!is_url(name), "{name}");
        }
    }
}
