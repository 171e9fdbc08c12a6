//! Whether a container that was asked to start, and is told never to have, may have run all the same.
//!
//! An engine that dies between the start of a command and the note of it tells afterwards that the container was created
//! only. Started again, the command would run a second time.

use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::EventsOptions;
use futures_util::{Stream, StreamExt};

use super::backend::Shared;
use super::connect::Client;
use super::ending::instant;
use crate::ports::RunRef;

/// How many of the latest events an engine remembers; it forgets all of them when it is started anew. A few less, since some
/// are not told to everybody.
const REMEMBERED: usize = 200;
/// How long the next event of the past may take.
const PATIENCE: Duration = Duration::from_secs(2);

impl Shared {
    /// Whether the engine was started anew since it made this container, as far as can be known: it does not tell when it was
    /// started, but it remembers what it did since. An engine of many events may have forgotten, and is trusted.
    pub(super) async fn has_lost_memory(
        &self,
        client: &Client,
        run: &RunRef,
        found: &ContainerInspectResponse,
    ) -> bool {
        if client.is_podman {
            // It is no process that could be started anew: each request reads its database.
            return false;
        }
        let since =
            found.created.as_ref().map_or(0, |made| instant(Some(made)).map_or(0, |made| made.millis() / 1000 - 1));
        let events = |filters: &[(&str, String)]| {
            let filters = filters.iter().map(|(name, value)| ((*name).to_owned(), vec![value.clone()])).collect();
            let since = Some(since.to_string());
            client.docker.events(Some(EventsOptions { since, until: None, filters: Some(filters) }))
        };
        let making = [("container", run.name()), ("event", "create".to_owned()), ("type", "container".to_owned())];
        if count(events(&making), 1).await == 1 {
            return false;
        }
        count(events(&[]), REMEMBERED).await < REMEMBERED
    }
}

/// How many events there are, `most` at the most.
async fn count<E>(events: impl Stream<Item = Result<bollard::models::EventMessage, E>>, most: usize) -> usize {
    let mut events = std::pin::pin!(events);
    let mut seen = 0;
    while seen < most && matches!(tokio::time::timeout(PATIENCE, events.next()).await, Ok(Some(Ok(_)))) {
        seen += 1;
    }
    seen
}
