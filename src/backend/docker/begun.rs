//! Whether a container that was asked to start, and is told never to have, may have run all the same.
//!
//! An engine that dies between the start of a command and the note of it tells afterwards that the container was created
//! only. Started again, the command would run a second time.

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::EventsOptions;
use futures_util::{StreamExt, TryStreamExt};

use super::backend::Shared;
use super::connect::Client;
use super::ending::instant;
use super::error::failed;
use crate::ports::{BackendError, RunRef};

/// How many of the latest events an engine remembers; it forgets all of them when it is started anew. A few less, since some
/// are not told to everybody.
const REMEMBERED: usize = 200;
const ASKING: &str = "asking the engine what it did";

impl Shared {
    /// Whether the engine was started anew since it made this container, as far as can be known: it does not tell when it was
    /// started, but it remembers what it did since. An engine of many events may have forgotten, and is trusted.
    pub(super) async fn has_lost_memory(
        &self,
        client: &Client,
        run: &RunRef,
        found: &ContainerInspectResponse,
    ) -> Result<bool, BackendError> {
        if client.is_podman {
            // It is no process that could be started anew: each request reads its database.
            return Ok(false);
        }
        // By the engine's own clock: what is asked for ends there.
        let info = self.engine.bounded(client.docker.info()).await.map_err(|error| failed(ASKING, &error))?;
        let Some(now) = instant(info.system_time.as_deref()) else { return Ok(false) };
        // Set back, the clock has not come to the making of the container again, and the engine would not tell of it.
        if found.created.as_ref().and_then(|made| instant(Some(made))).is_some_and(|made| made > now) {
            return Ok(false);
        }
        let until = format!("{}.{:03}000000", now.millis() / 1000, now.millis() % 1000);
        let events = |filters: &[(&str, String)]| {
            let filters = filters.iter().map(|(name, value)| ((*name).to_owned(), vec![value.clone()])).collect();
            // All: the engine looks back no farther than to the first event that seems older than what it is asked for.
            let since = Some("1".to_owned());
            let options = EventsOptions { since, until: Some(until.clone()), filters: Some(filters) };
            let told = client.docker.events(Some(options)).take(REMEMBERED).try_fold(0, async |seen, _| Ok(seen + 1));
            async move { self.engine.bounded(told).await.map_err(|error| failed(ASKING, &error)) }
        };
        let making = [("container", run.name()), ("event", "create".to_owned()), ("type", "container".to_owned())];
        Ok(events(&making).await? == 0 && events(&[]).await? < REMEMBERED)
    }
}
