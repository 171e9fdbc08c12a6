//! `delete`, `abort`, and what operators order: each of several jobs, one that fails does not keep the others.

use serde_json::json;

use super::{Ending, Failure, Output};
use crate::client::print::shown;
use crate::client::{Client, ClientError, Order};
use crate::domain::{JobId, Phase};

/// Deletes each of `ids`.
pub(super) async fn delete(client: &Client, ids: &[JobId], output: &mut Output<'_>) -> Result<Ending, Failure> {
    each(ids, output, async |id| client.delete(id).await.map(|()| ("is deleted".to_owned(), None))).await
}

/// Asks for the end of each of `ids`.
pub(super) async fn abort(client: &Client, ids: &[JobId], output: &mut Output<'_>) -> Result<Ending, Failure> {
    let abort = async |id| {
        client.abort(id).await?;
        let phase = client.phase(id).await?;
        let what = if phase.is_final() { format!("is {phase}") } else { "is being aborted".to_owned() };
        Ok((what, Some(phase)))
    };
    each(ids, output, abort).await
}

/// Has `order` carried out for each of `ids`, over the administration socket.
pub(super) async fn order(
    client: &Client,
    order: Order,
    ids: &[JobId],
    output: &mut Output<'_>,
) -> Result<Ending, Failure> {
    let obey = async |id| client.order(id, order).await.map(|phase| (format!("is {phase}"), Some(phase)));
    each(ids, output, obey).await
}

async fn each(
    ids: &[JobId],
    output: &mut Output<'_>,
    deed: impl AsyncFn(JobId) -> Result<(String, Option<Phase>), ClientError>,
) -> Result<Ending, Failure> {
    let mut ending = Ending::Done;
    let mut told = Ok(());
    for &id in ids {
        let is_told = match deed(id).await {
            Ok((_, phase)) if output.json => {
                let phase = phase.map(Phase::as_str);
                output.document(&json!({"jobId": id.to_string(), "phase": phase})).await
            }
            Ok((what, _)) => output.text(&format!("{id} {what}\n")).await,
            Err(error @ ClientError::Unreachable { .. }) => return Err(error.into()),
            Err(error) => {
                ending = Ending::Failed;
                output.say(&format!("job {id}: {}", shown(&error.to_string()))).await
            }
        };
        // Whoever reads may have gone away; what was asked for is done all the same.
        told = told.and(is_told);
    }
    match ending {
        Ending::Done => told.map(|()| ending),
        _ => Ok(ending),
    }
}
