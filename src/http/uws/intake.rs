//! What a request that makes or changes a job brings: fields, and files that are written to disk as they arrive.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::stream::{self, BoxStream, StreamExt};
use futures_util::{Stream, TryStreamExt};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use multer::Multipart;
use tokio::sync::Mutex;

use super::fields::Fields;
use super::work::is_text;
use crate::config::Service;
use crate::http::body::{Room, discard};
use crate::http::form::{Field, not_text, urlencoded};
use crate::http::reply::ApiError;
use crate::http::{Api, form};
use crate::supervisor::{Denied, Staged};

/// How long the next piece of a body may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long what is left of a refused body is read.
const COURTESY: Duration = Duration::from_secs(10);
/// How many files one request may bring.
const MOST_FILES: usize = 1000;
/// What a part costs of the limit for text, besides its name and value: many empty ones are memory, too.
const PART: u64 = 256;
/// How many bytes may come in a row that are no content of a part: the head of a part, or what comes before the first.
const MOST_UNREAD: u64 = 1 << 20;

/// The fields of a request, and its files.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// The fields of query and body together.
    pub(super) fields: Fields,
    /// The files, which go with this unless a job is given them.
    pub(super) staged: Option<Staged>,
    /// What the fields take of the room for all bodies.
    pub(super) _room: Room,
}

/// Reads a request to `service`; files are parts with a file name, unless the service takes such a part as text.
///
/// # Errors
/// [`ApiError::Malformed`], [`ApiError::TooLarge`], [`ApiError::TooSlow`], [`ApiError::UnknownMediaType`].
pub(super) async fn read<B: Buf>(
    api: &Arc<Api>,
    service: &Service,
    query: &str,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>> + Send + 'static,
) -> Result<Intake, ApiError> {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !form::is_multipart(declared) {
        let body = api.bodies.read(headers, body).await?;
        return Ok(Intake { fields: Fields::of(query, headers, body).await?, ..Intake::default() });
    }
    let mut reader = Reader {
        api,
        service,
        fields: urlencoded(query.as_bytes())?,
        staged: None,
        room: None,
        text_left: api.config.get().server.max_body,
        files_left: api.config.get().uploads.max_size,
        unread: Arc::default(),
    };
    let body = body.map_ok(|mut piece| piece.copy_to_bytes(piece.remaining())).boxed();
    let body: Body = Arc::new(Mutex::new(body));
    if let Err(refusal) = reader.read(declared, &body).await {
        // So that its sender gets to read the refusal; one that takes its time does not.
        let _ = tokio::time::timeout(COURTESY, async { discard(&mut *body.lock().await).await }).await;
        return Err(refusal);
    }
    Ok(Intake { fields: Fields::new(reader.fields), staged: reader.staged, _room: reader.room })
}

/// A body of which what is left can be discarded after its reader failed.
type Body = Arc<Mutex<BoxStream<'static, Result<Bytes, warp::Error>>>>;

/// The pieces of a body, none of which may be waited for too long. `unread` counts what came since its reader set it to 0.
fn pieces(body: Body, unread: Arc<AtomicU64>) -> BoxStream<'static, Result<Bytes, io::Error>> {
    let next = |(body, unread): (Body, Arc<AtomicU64>)| async move {
        // The reader takes all that is ready before it looks at any: it is given one piece at a time.
        tokio::task::yield_now().await;
        if unread.load(Ordering::Relaxed) > MOST_UNREAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let piece = tokio::time::timeout(PATIENCE, async { body.lock().await.try_next().await }).await;
        let piece = piece.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.map_err(io::Error::other)?;
        Ok(piece.map(|piece| {
            unread.fetch_add(length(&piece), Ordering::Relaxed);
            (piece, (body, unread))
        }))
    };
    stream::try_unfold((body, unread), next).boxed()
}

/// What is being read.
struct Reader<'a> {
    api: &'a Arc<Api>,
    service: &'a Service,
    fields: Vec<Field>,
    staged: Option<Staged>,
    room: Room,
    text_left: u64,
    files_left: u64,
    unread: Arc<AtomicU64>,
}

impl Reader<'_> {
    async fn read(&mut self, content_type: &str, body: &Body) -> Result<(), ApiError> {
        let boundary = multer::parse_boundary(content_type).map_err(|error| broken(&error))?;
        let mut parts = Multipart::new(pieces(Arc::clone(body), Arc::clone(&self.unread)), boundary);
        while let Some(part) = parts.next_field().await.map_err(|error| broken(&error))? {
            let name = part.name().map(str::to_owned);
            let name =
                name.ok_or_else(|| ApiError::Malformed("a part of the multipart body has no name".to_owned()))?;
            self.take_text(PART + u64::try_from(name.len()).unwrap_or(u64::MAX)).await?;
            if part.file_name().is_some() && !is_text(self.service, &name) {
                self.file(name, part).await?;
            } else {
                self.text(name, part).await?;
            }
        }
        Ok(())
    }

    /// Takes what was read from the limit for text, and gives it room.
    async fn take_text(&mut self, size: u64) -> Result<(), ApiError> {
        self.unread.store(0, Ordering::Relaxed);
        let limit = self.api.config.get().server.max_body;
        take(&mut self.text_left, size, limit)?;
        self.api.bodies.make_room(&mut self.room, limit - self.text_left).await
    }

    async fn text(&mut self, name: String, mut part: multer::Field<'static>) -> Result<(), ApiError> {
        let mut value = Vec::new();
        while let Some(piece) = part.chunk().await.map_err(|error| broken(&error))? {
            self.take_text(length(&piece)).await?;
            value.extend_from_slice(&piece);
        }
        let value = String::from_utf8(value).map_err(|_| not_text(&format!("the field {name:?}")))?;
        self.fields.push((name, value));
        Ok(())
    }

    async fn file(&mut self, name: String, mut part: multer::Field<'static>) -> Result<(), ApiError> {
        if self.staged.is_none() {
            self.staged = Some(self.api.handle.uploads().stage().await.map_err(not_kept)?);
        }
        let Some(staged) = &mut self.staged else { return Ok(()) };
        if staged.files().len() >= MOST_FILES {
            let why = format!("more than {MOST_FILES} files came with the request; put them into an archive");
            return Err(ApiError::Malformed(why));
        }
        let media_type = part.content_type().map(ToString::to_string);
        let mut arriving = staged.begin(name, media_type, None).await.map_err(not_kept)?;
        while let Some(piece) = part.chunk().await.map_err(|error| broken(&error))? {
            self.unread.store(0, Ordering::Relaxed);
            take(&mut self.files_left, length(&piece), self.api.config.get().uploads.max_size)?;
            arriving.write(&piece).await.map_err(not_kept)?;
        }
        staged.keep(arriving).await.map_err(not_kept)
    }
}

fn length(piece: &Bytes) -> u64 {
    u64::try_from(piece.len()).unwrap_or(u64::MAX)
}

/// Takes the size of a piece from what is left of a limit.
fn take(left: &mut u64, size: u64, limit: u64) -> Result<(), ApiError> {
    *left = left.checked_sub(size).ok_or(ApiError::TooLarge { limit })?;
    Ok(())
}

/// Why a body could not be read: it is no multipart body, or did not arrive.
fn broken(error: &multer::Error) -> ApiError {
    if let multer::Error::StreamReadFailed(cause) = error {
        return match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::TimedOut) => ApiError::TooSlow(PATIENCE),
            Some(io::ErrorKind::InvalidData) => {
                ApiError::Malformed(format!("the multipart body has {MOST_UNREAD} bytes in a row that are in no part"))
            }
            _ => ApiError::Malformed("the request body broke off".to_owned()),
        };
    }
    ApiError::Malformed(format!("the multipart body cannot be read: {error}"))
}

/// A file of the request that could not be written.
pub(super) fn not_kept(error: io::Error) -> ApiError {
    ApiError::Denied(Denied::Upload(error))
}
