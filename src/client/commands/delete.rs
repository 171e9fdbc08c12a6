//! `delete`.

use super::{Ending, Failure, Output};
use crate::client::Client;
use crate::client::print::shown;
use crate::domain::JobId;

/// Deletes each of `ids`; one that fails does not keep the others.
pub(super) async fn delete(client: &Client, ids: &[JobId], output: &mut Output<'_>) -> Result<Ending, Failure> {
    let mut ending = Ending::Done;
    for &id in ids {
        match client.delete(id).await {
            Ok(deleted) if output.json => output.document(&deleted.raw).await?,
            Ok(deleted) => {
                let is_active = deleted.phase.is_some_and(|phase| !phase.is_final());
                let what = if is_active { "is being aborted and deleted" } else { "is deleted" };
                output.text(&format!("{id} {what}\n")).await?;
            }
            Err(error) => {
                ending = Ending::Failed;
                output.say(&format!("job {id}: {}", shown(&error.to_string()))).await?;
            }
        }
    }
    Ok(ending)
}
