//! Files of a job, copied as they come.

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::http::Ask;
use super::{Client, ClientError};

/// The header that says what becomes of the rest of a file which has only a beginning so far.
const REST: &str = "log-rest";

impl Client {
    /// Copies what is at `path`, from byte `*offset` on, to `out`; `offset` moves on with every byte written.
    /// Returns what the server says of a rest that is not there yet.
    pub(super) async fn copy(
        &self,
        path: &str,
        offset: &mut u64,
        out: &mut (dyn AsyncWrite + Unpin + Send),
    ) -> Result<Option<String>, ClientError> {
        let ask = Ask { range_from: (*offset > 0).then_some(*offset), ..Ask::default() };
        let response = match self.send(Method::GET, path, ask).await {
            // There is nothing from there on yet.
            Err(ClientError::Refused { status: StatusCode::RANGE_NOT_SATISFIABLE, .. }) => return Ok(None),
            other => other?,
        };
        // A server that does not know ranges sends the whole.
        let mut to_skip = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { *offset };
        let rest = response.headers().get(REST).and_then(|rest| rest.to_str().ok()).map(str::to_owned);
        let mut body = response.into_body();
        while let Some(frame) =
            tokio::time::timeout(self.timeout(), body.frame()).await.map_err(|_| self.timed_out())?
        {
            let Ok(mut data) = frame.map_err(|error| self.broken(error))?.into_data() else { continue };
            let skipped = usize::try_from(to_skip).map_or(data.len(), |skip| skip.min(data.len()));
            to_skip -= skipped as u64;
            let data = data.split_off(skipped);
            out.write_all(&data).await.map_err(ClientError::Output)?;
            *offset += data.len() as u64;
        }
        out.flush().await.map_err(ClientError::Output)?;
        Ok(rest)
    }
}
