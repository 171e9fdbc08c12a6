//! Request bodies: whole, bounded in size and time.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{Stream, StreamExt};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};

use super::reply::ApiError;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much of a body that is too large is read and thrown away, so that its sender gets to read the refusal.
const COURTESY: u64 = 16 << 20;

/// Reads the whole body, at most `limit` bytes.
///
/// # Errors
/// [`ApiError::TooLarge`], [`ApiError::TooSlow`], [`ApiError::Malformed`] if it broke off.
pub(super) async fn read<B: Buf>(
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>> + Send,
    limit: u64,
) -> Result<Bytes, ApiError> {
    let body = std::pin::pin!(body);
    tokio::time::timeout(PATIENCE, take(headers, body, limit)).await.map_err(|_| ApiError::TooSlow(PATIENCE))?
}

async fn take<B: Buf>(
    headers: &HeaderMap,
    mut body: impl Stream<Item = Result<B, warp::Error>> + Send + Unpin,
    limit: u64,
) -> Result<Bytes, ApiError> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit) {
        if !headers.contains_key(EXPECT) {
            discard(body).await;
        }
        return Err(ApiError::TooLarge { limit });
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(|_| ApiError::Malformed("the request body broke off".to_owned()))?;
        let length = first.len() + rest.len() + chunk.remaining();
        if u64::try_from(length).unwrap_or(u64::MAX) > limit {
            discard(body).await;
            return Err(ApiError::TooLarge { limit });
        }
        if first.is_empty() {
            first = chunk.copy_to_bytes(chunk.remaining());
        } else {
            rest.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}

async fn discard<B: Buf>(mut body: impl Stream<Item = Result<B, warp::Error>> + Unpin) {
    let mut left = COURTESY;
    while let Some(Ok(chunk)) = body.next().await {
        left = left.saturating_sub(u64::try_from(chunk.remaining()).unwrap_or(u64::MAX));
        if left == 0 {
            return;
        }
    }
}
