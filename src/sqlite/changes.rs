//! Changes of a job's phase: compared with where the job stands, and written with their event.

use std::time::Duration;

use rusqlite::{Connection, params};

use crate::domain::{JobId, Phase, SummaryKind, Timestamp};
use crate::ports::{Change, Changed, End, Launch, StoreError};

use super::error::While;
use super::jobs::{alone, must_load, set_facts, standing};
use super::rows::{duration, millis, replicas_body, signed};
use super::{events, results};

pub(super) fn change(
    connection: &Connection,
    id: JobId,
    change: &Change,
    now: Timestamp,
) -> Result<Changed, StoreError> {
    let (seq, from) = standing(connection, id)?;
    let (wanted, reason) = match change {
        Change::Run { .. } | Change::Release(_) => (Phase::Queued, None),
        Change::Hold => (Phase::Held, None),
        Change::Launch(_) | Change::Resume(_) => (Phase::Executing, None),
        Change::Suspend(_) => (Phase::Suspended, None),
        Change::End(end) => (end.outcome.reason.phase(), Some(end.outcome.reason)),
        Change::Archive { .. } => (Phase::Archived, None),
    };
    let denied = || StoreError::PhaseChanged { id, actual: from, wanted };
    if !from.may_become(wanted) || !is_meant_for(change, from) {
        return Err(denied());
    }
    let mut in_queue = None;
    match change {
        Change::Run { since_boot, is_exclusive } => {
            if *is_exclusive {
                alone(connection, &service_of(connection, seq)?)?;
            }
            release(connection, seq, None, *since_boot)?.then_some(()).ok_or_else(denied)?;
        }
        Change::Release(at) => release(connection, seq, Some(Phase::Queued), *at)?.then_some(()).ok_or_else(denied)?,
        Change::Hold => hold(connection, seq, from)?,
        Change::Launch(launch) => in_queue = begin(connection, seq, launch)?,
        Change::Suspend(since_boot) => suspend(connection, seq, *since_boot)?,
        Change::Resume(since_boot) => resume(connection, seq, *since_boot)?,
        Change::End(end) => finish(connection, seq, end, now)?,
        Change::Archive { until } => archive(connection, seq, now, *until)?,
    }
    events::insert(connection, seq, now, Some(from), wanted, reason)?;
    Ok(Changed { job: must_load(connection, id)?, from, waited: in_queue })
}

/// Whether a change that leads to a phase from several ones is the one for a job in `from`.
const fn is_meant_for(change: &Change, from: Phase) -> bool {
    match change {
        Change::Run { .. } => matches!(from, Phase::Pending | Phase::Held),
        Change::Release(_) => matches!(from, Phase::Held),
        Change::Launch(_) => matches!(from, Phase::Queued),
        Change::Resume(_) => matches!(from, Phase::Suspended),
        Change::Hold | Change::Suspend(_) | Change::End(_) | Change::Archive { .. } => true,
    }
}

/// Queues a job that is held from `held_from`; `None`: by nobody. Returns whether it is.
fn release(
    connection: &Connection,
    seq: i64,
    held_from: Option<Phase>,
    since_boot: Duration,
) -> Result<bool, StoreError> {
    let sql = "UPDATE job SET phase = 'QUEUED', held_from = NULL, queued_ms = ?3 WHERE seq = ?1 AND held_from IS ?2";
    connection
        .prepare_cached(sql)
        .and_then(|mut update| update.execute(params![seq, held_from.map(Phase::as_str), millis(since_boot)]))
        .map(|rows| rows == 1)
        .doing("queueing a job")
}

fn service_of(connection: &Connection, seq: i64) -> Result<String, StoreError> {
    connection
        .prepare_cached("SELECT service FROM job WHERE seq = ?1")
        .and_then(|mut select| select.query_row([seq], |row| row.get(0)))
        .doing("reading a job's service")
}

fn hold(connection: &Connection, seq: i64, from: Phase) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE job SET phase = 'HELD', held_from = ?2 WHERE seq = ?1")
        .and_then(|mut update| update.execute(params![seq, from.as_str()]))
        .map(drop)
        .doing("holding a job")
}

fn suspend(connection: &Connection, seq: i64, since_boot: Duration) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE job SET phase = 'SUSPENDED', suspended_since_ms = ?2 WHERE seq = ?1")
        .and_then(|mut update| update.execute(params![seq, millis(since_boot)]))
        .map(drop)
        .doing("suspending a job")
}

fn resume(connection: &Connection, seq: i64, since_boot: Duration) -> Result<(), StoreError> {
    let sql = "UPDATE job SET phase = 'EXECUTING', suspended_since_ms = NULL, \
               suspended_ms = suspended_ms + max(0, ?2 - coalesce(suspended_since_ms, ?2)) WHERE seq = ?1";
    connection
        .prepare_cached(sql)
        .and_then(|mut update| update.execute(params![seq, millis(since_boot)]))
        .map(drop)
        .doing("resuming a job")
}

/// Its files are still to be removed; its uploads and results are no longer told of.
fn archive(connection: &Connection, seq: i64, now: Timestamp, until: Timestamp) -> Result<(), StoreError> {
    let doing = "archiving a job";
    results::remove(connection, seq)?;
    connection
        .prepare_cached(
            "UPDATE job SET phase = 'ARCHIVED', archived_until = ?2, cleaned_at = coalesce(cleaned_at, ?3), \
                         files_removed = 0 WHERE seq = ?1",
        )
        .and_then(|mut update| update.execute(params![seq, until.millis(), now.millis()]))
        .map(drop)
        .doing(doing)
}

/// Returns how long the job was QUEUED; since the host's boot, if it was queued before that.
fn begin(connection: &Connection, seq: i64, launch: &Launch) -> Result<Option<Duration>, StoreError> {
    let sql = "UPDATE job SET phase = 'EXECUTING', started_at = ?2 WHERE seq = ?1 RETURNING queued_ms";
    let queued: Option<i64> = connection
        .prepare_cached(sql)
        .and_then(|mut update| update.query_row(params![seq, launch.started_at.millis()], |row| row.get(0)))
        .doing("launching a job")?;
    set_facts(connection, seq, &launch.facts)?;
    let Some(now) = launch.facts.launched_since_boot else { return Ok(None) };
    let queued = queued.filter(|queued| *queued <= millis(now)).map_or(Duration::ZERO, duration);
    Ok(Some(now.saturating_sub(queued)))
}

fn finish(connection: &Connection, seq: i64, end: &End, now: Timestamp) -> Result<(), StoreError> {
    let doing = "ending a job";
    let End { outcome, started_at, ended_at, ran, results, facts, visible_for } = end;
    let sql = "UPDATE job SET phase = ?2, started_at = coalesce(?3, started_at), ended_at = ?4, reason = ?5, \
               summary_kind = ?6, summary = ?7, exit_code = ?8, signal = ?9, peak_memory = ?10, \
               peak_is_sampled = ?12, replicas = ?13, ran_ms = ?14, \
               visible_until = CASE WHEN deleted_at IS NULL THEN NULL ELSE ?11 END WHERE seq = ?1";
    let summary = outcome.summary.as_ref();
    connection
        .prepare_cached(sql)
        .and_then(|mut update| {
            update.execute(params![
                seq,
                outcome.reason.phase().as_str(),
                started_at.map(Timestamp::millis),
                ended_at.millis(),
                outcome.reason.as_str(),
                summary.map(|summary| SummaryKind::as_str(summary.kind)),
                summary.map(|summary| summary.message.as_str()),
                outcome.exit_code,
                outcome.signal,
                outcome.peak_memory.map(|peak| signed(peak.bytes)),
                now.after(*visible_for).millis(),
                outcome.peak_memory.map(|peak| peak.is_sampled),
                replicas_body(&outcome.replicas),
                ran.map(millis),
            ])
        })
        .doing(doing)?;
    results::insert(connection, seq, results)?;
    facts.as_ref().map_or(Ok(()), |facts| set_facts(connection, seq, facts))
}
