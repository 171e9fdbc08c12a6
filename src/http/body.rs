//! Request bodies: whole, bounded in size and time, and bounded in memory all together.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{Stream, StreamExt};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::reply::ApiError;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much of a body that is too large is read and thrown away, so that its sender gets to read the refusal.
const COURTESY: u64 = 16 << 20;
/// The part of each body that needs no room: no more than is read ahead of any connection.
const FREE: u64 = 64 << 10;
/// How many bodies of the largest size find room together.
const LARGEST_TOGETHER: u64 = 4;
/// The unit of room, in bytes.
const UNIT: u64 = 1 << 10;
/// How long a body waits for room.
const ROOM_PATIENCE: Duration = Duration::from_secs(5);

/// What a body takes of the room; given back when dropped.
pub(super) type Room = Option<OwnedSemaphorePermit>;

/// Reads bodies, all of which share one bounded room; cheap to clone.
///
/// A body takes room as its bytes arrive, and gives it back once they are dropped. Small bodies need none, so that no
/// slow sender of large ones keeps them out.
#[derive(Clone)]
pub struct Bodies {
    limit: u64,
    room: Arc<Semaphore>,
}

impl Bodies {
    /// Bodies of at most `limit` bytes each, and four times that together.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        let units = usize::try_from(limit.saturating_mul(LARGEST_TOGETHER).div_ceil(UNIT)).unwrap_or(usize::MAX);
        Self { limit, room: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))) }
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// [`ApiError::TooLarge`], [`ApiError::TooSlow`], [`ApiError::Crowded`] if there is no room, [`ApiError::Malformed`]
    /// if it broke off.
    pub(super) async fn read<B: Buf>(
        &self,
        headers: &HeaderMap,
        body: impl Stream<Item = Result<B, warp::Error>> + Send,
    ) -> Result<Bytes, ApiError> {
        let body = std::pin::pin!(body);
        tokio::time::timeout(PATIENCE, self.take(headers, body)).await.map_err(|_| ApiError::TooSlow(PATIENCE))?
    }

    async fn take<B: Buf>(
        &self,
        headers: &HeaderMap,
        mut body: impl Stream<Item = Result<B, warp::Error>> + Send + Unpin,
    ) -> Result<Bytes, ApiError> {
        let limit = self.limit;
        let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > limit) {
            if !headers.contains_key(EXPECT) {
                discard(body).await;
            }
            return Err(ApiError::TooLarge { limit });
        }
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        let mut room = None;
        while let Some(chunk) = body.next().await {
            let mut chunk = chunk.map_err(|_| ApiError::Malformed("the request body broke off".to_owned()))?;
            let length = first.len().max(whole.len()) + chunk.remaining();
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            let refusal = if length > limit {
                Some(ApiError::TooLarge { limit })
            } else {
                self.make_room(&mut room, length).await.err()
            };
            if let Some(refusal) = refusal {
                drop((first, whole, room));
                discard(body).await;
                return Err(refusal);
            }
            if first.is_empty() {
                first = chunk.copy_to_bytes(chunk.remaining());
            } else {
                if whole.is_empty() {
                    whole.extend_from_slice(&first);
                }
                whole.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
            }
        }
        let bytes = if whole.is_empty() { first } else { whole.freeze() };
        Ok(match room {
            Some(room) => Bytes::from_owner(Roomy { bytes, _room: room }),
            None => bytes,
        })
    }

    /// Sees to it that `room` is enough for `length` bytes.
    ///
    /// # Errors
    /// [`ApiError::Crowded`].
    pub(super) async fn make_room(&self, room: &mut Room, length: u64) -> Result<(), ApiError> {
        let taken = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let needed = usize::try_from(length.saturating_sub(FREE).div_ceil(UNIT)).unwrap_or(usize::MAX);
        let more = u32::try_from(needed.saturating_sub(taken)).unwrap_or(u32::MAX);
        if more == 0 {
            return Ok(());
        }
        let more = tokio::time::timeout(ROOM_PATIENCE, Arc::clone(&self.room).acquire_many_owned(more)).await;
        let more = more.map_err(|_| ApiError::Crowded)?.expect("the room is never closed");
        match room {
            Some(room) => room.merge(more),
            None => *room = Some(more),
        }
        Ok(())
    }
}

/// A body that gives its room back when it is dropped.
struct Roomy {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Roomy {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

pub(super) async fn discard<B: Buf>(mut body: impl Stream<Item = Result<B, warp::Error>> + Unpin) {
    let mut left = COURTESY;
    while let Some(Ok(chunk)) = body.next().await {
        left = left.saturating_sub(u64::try_from(chunk.remaining()).unwrap_or(u64::MAX));
        if left == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const LIMIT: usize = 1 << 20;

    async fn read(bodies: &Bodies, size: usize) -> Result<Bytes, ApiError> {
        let chunks: Vec<_> = vec![b'x'; size].chunks(50_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        bodies.read(&HeaderMap::new(), stream::iter(chunks)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_waits_for_room_that_another_gives_back() {
        let bodies = Bodies::new(LIMIT as u64);
        let mut held = Vec::new();
        for _ in 0..LARGEST_TOGETHER {
            held.push(read(&bodies, LIMIT).await.expect("there is room"));
        }
        let part = held.pop().map(|bytes| bytes.slice(1..2));
        let waiting = read(&bodies, LIMIT);
        let leaving = async {
            tokio::time::sleep(ROOM_PATIENCE / 2).await;
            drop(part);
        };
        let (read, ()) = tokio::join!(waiting, leaving);
        assert_eq!(read.expect("there is room again").len(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn without_room_a_large_body_is_refused_and_a_small_one_is_not() {
        let bodies = Bodies::new(LIMIT as u64);
        let mut held = Vec::new();
        // The part of each that needs no room leaves some for one more.
        for _ in 0..=LARGEST_TOGETHER {
            held.extend(read(&bodies, LIMIT).await);
        }
        assert!(matches!(read(&bodies, LIMIT).await, Err(ApiError::Crowded)));
        assert_eq!(read(&bodies, 60_000).await.expect("it needs no room").len(), 60_000);
        held.clear();
        assert_eq!(read(&bodies, LIMIT).await.expect("there is room again"), vec![b'x'; LIMIT]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_stalls_takes_room_for_what_it_sent_only() {
        let bodies = Bodies::new(LIMIT as u64);
        let stalled = || stream::iter([Ok::<_, warp::Error>(Bytes::from(vec![0; 80_000]))]).chain(stream::pending());
        let headers = HeaderMap::new();
        let all = futures_util::future::join_all((0..20).map(|_| bodies.read(&headers, stalled())));
        let (all, other) = tokio::join!(all, async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            read(&bodies, LIMIT).await
        });
        assert_eq!(other.expect("there is room").len(), LIMIT);
        assert!(all.iter().all(|read| matches!(read, Err(ApiError::TooSlow(_)))));
    }
}
