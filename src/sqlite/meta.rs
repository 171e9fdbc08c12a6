//! What is kept of the daemon itself: the table `meta`.

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::error::While;
use crate::domain::Timestamp;
use crate::ports::StoreError;

const DRAINED: &str = "drained";

/// The identity of this installation, made once with the database: it marks what is ours in an engine.
pub(super) fn instance_id(connection: &Connection) -> Result<String, rusqlite::Error> {
    let known =
        connection.query_row("SELECT value FROM meta WHERE key = 'instance_id'", [], |row| row.get(0)).optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    let id = Uuid::new_v4().to_string();
    connection.execute("INSERT INTO meta (key, value) VALUES ('instance_id', ?1)", [&id])?;
    Ok(id)
}

/// Since when an operator drains the daemon.
pub(super) fn drained(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let doing = "reading whether the daemon is drained";
    let select = "SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?1";
    let millis: Option<i64> = connection.query_row(select, [DRAINED], |row| row.get(0)).optional().doing(doing)?;
    Ok(millis.map(Timestamp::from_millis))
}

/// Notes it; the first time stays.
pub(super) fn set_drained(connection: &Connection, since: Option<Timestamp>) -> Result<Option<Timestamp>, StoreError> {
    let doing = "noting whether the daemon is drained";
    match since {
        Some(since) => {
            let insert = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            connection.execute(insert, (DRAINED, since.millis().to_string())).doing(doing)?;
        }
        None => {
            connection.execute("DELETE FROM meta WHERE key = ?1", [DRAINED]).doing(doing)?;
        }
    }
    drained(connection)
}

#[cfg(test)]
mod tests {
    use super::super::open::open_writer;
    use super::*;

    #[test]
    fn the_instance_id_is_made_once() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("uwsd.db");
        let first = instance_id(&open_writer(&path).expect("made")).expect("id");
        let second = instance_id(&open_writer(&path).expect("opened")).expect("id");
        assert_eq!(first, second);
    }

    #[test]
    fn a_drain_is_noted_once_and_ends() {
        let dir = tempfile::tempdir().expect("temp dir");
        let connection = open_writer(&dir.path().join("uwsd.db")).expect("made");
        assert_eq!(drained(&connection).expect("read"), None);
        let first = Some(Timestamp::from_millis(1000));
        assert_eq!(set_drained(&connection, first).expect("noted"), first);
        assert_eq!(set_drained(&connection, Some(Timestamp::from_millis(2000))).expect("noted"), first);
        assert_eq!(set_drained(&connection, None).expect("noted"), None);
        assert_eq!(drained(&connection).expect("read"), None);
    }
}
