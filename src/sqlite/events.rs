//! The table `event`.

use rusqlite::{Connection, params};

use crate::domain::{JobId, Phase, Reason, Timestamp};
use crate::ports::{Event, StoreError};

use super::error::While;
use super::rows::phase_at;

/// Writes down a change of a phase, in the transaction that makes it.
pub(super) fn insert(
    connection: &Connection,
    job: i64,
    at: Timestamp,
    from: Option<Phase>,
    to: Phase,
    reason: Option<Reason>,
) -> Result<(), StoreError> {
    let doing = "writing an event";
    connection
        .prepare_cached("INSERT INTO event (job, at, from_phase, to_phase, reason) VALUES (?1, ?2, ?3, ?4, ?5)")
        .and_then(|mut insert| {
            insert.execute(params![job, at.millis(), from.map(Phase::as_str), to.as_str(), reason.map(Reason::as_str)])
        })
        .map(drop)
        .doing(doing)
}

pub(super) fn after(connection: &Connection, seq: i64, limit: u32) -> Result<Vec<Event>, StoreError> {
    let doing = "reading events";
    let sql = "SELECT e.seq, j.id, e.at, e.from_phase, e.to_phase, e.reason \
               FROM event e JOIN job j ON j.seq = e.job WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2";
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let events = statement.query_map(params![seq, limit], |row| {
        let from: Option<String> = row.get(3)?;
        let reason: Option<String> = row.get(5)?;
        Ok(Event {
            seq: row.get(0)?,
            job: JobId::from_bytes(row.get(1)?),
            at: Timestamp::from_millis(row.get(2)?),
            from: if from.is_some() { Some(phase_at(row, 3)?) } else { None },
            to: phase_at(row, 4)?,
            reason: reason.and_then(|word| word.parse().ok()),
        })
    });
    events.and_then(Iterator::collect).doing(doing)
}
