//! The table `idempotency`: which request made which job.

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::{IdempotencyKey, JobId, OwnerId};
use crate::ports::StoreError;

use super::error::While;

/// The job that a request of this owner with this key made.
///
/// # Errors
/// [`StoreError::KeyReused`] if that was another request.
pub(super) fn find(
    connection: &Connection,
    owner: Option<&OwnerId>,
    wanted: &IdempotencyKey,
) -> Result<Option<JobId>, StoreError> {
    let sql =
        "SELECT j.id, i.fingerprint FROM idempotency i JOIN job j ON j.seq = i.job WHERE i.owner = ?1 AND i.key = ?2";
    let found: Option<([u8; 16], [u8; 16])> = connection
        .prepare_cached(sql)
        .and_then(|mut select| {
            select.query_row(params![name(owner), wanted.key], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
        .doing("looking for an earlier request")?;
    match found.map(|(id, fingerprint)| (JobId::from_bytes(id), fingerprint)) {
        Some((id, fingerprint)) if fingerprint != wanted.fingerprint => Err(StoreError::KeyReused(id)),
        found => Ok(found.map(|(id, _)| id)),
    }
}

pub(super) fn insert(
    connection: &Connection,
    owner: Option<&OwnerId>,
    key: &IdempotencyKey,
    job: i64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO idempotency (owner, key, fingerprint, job) VALUES (?1, ?2, ?3, ?4)")
        .and_then(|mut insert| insert.execute(params![name(owner), key.key, key.fingerprint, job]))
        .map(drop)
        .doing("noting a request's key")
}

fn name(owner: Option<&OwnerId>) -> &str {
    owner.map_or("", OwnerId::as_str)
}
