//! The schema: its versions, the way from one to the next, and whether a database has what its version says.

use std::collections::BTreeSet;

use rusqlite::{Connection, TransactionBehavior};

/// Every migration, in order; the position is the `user_version` that it leads to.
///
/// All of them are released: none is ever edited, which a test watches. A change of the schema is a new one at the end,
/// with its digest in that test and a fixture in `tests/fixtures`.
const MIGRATIONS: [&str; 7] = [
    include_str!("migrations/0001_jobs.sql"),
    include_str!("migrations/0002_lists_holds_archive.sql"),
    include_str!("migrations/0003_run_facts.sql"),
    include_str!("migrations/0004_images.sql"),
    include_str!("migrations/0005_checks_without_tables.sql"),
    include_str!("migrations/0006_destroyed.sql"),
    include_str!("migrations/0007_overuse.sql"),
];

/// The version that this program writes, the newest that it knows.
pub(super) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("a handful")
}

/// The version of a database; 0 of one that nobody has made yet.
pub(super) fn version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Runs the migrations that are missing, in one exclusive transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), rusqlite::Error> {
    migrate_to(connection, newest())
}

fn migrate_to(connection: &mut Connection, wanted: i64) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let done = version(&transaction)?;
    for (next, migration) in (1_i64..).zip(MIGRATIONS) {
        if next > done && next <= wanted {
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", next)?;
        }
    }
    transaction.commit()
}

/// What a database of this version, one that is known, lacks: tables, columns and indexes. What it has beyond is no
/// business of ours.
pub(super) fn lacking(connection: &Connection, version: i64) -> Result<Vec<String>, rusqlite::Error> {
    let mut model = Connection::open_in_memory()?;
    migrate_to(&mut model, version)?;
    let found = outline(connection)?;
    Ok(outline(&model)?.into_iter().filter(|part| !found.contains(part)).collect())
}

/// The parts of a schema, each as a sentence's object.
fn outline(connection: &Connection) -> Result<BTreeSet<String>, rusqlite::Error> {
    // Not the statements that made it, whose text depends on the way here.
    let columns = "SELECT format('column %s.%s (%s%s%s%s)', t.name, c.name, c.type, iif(c.\"notnull\", ', not null', ''), \
                   iif(c.pk, ', key', ''), ifnull(', default ' || c.dflt_value, '')) \
                   FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'";
    let indexes = "SELECT format('index %s on %s (%s)%s%s', i.name, t.name, \
                   (SELECT group_concat(ifnull(x.name, 'expression'), ', ') FROM pragma_index_info(i.name) x), \
                   iif(i.\"unique\", ', unique', ''), iif(i.partial, ', partial', '')) \
                   FROM sqlite_schema t, pragma_index_list(t.name) i WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'";
    let mut parts = BTreeSet::new();
    for sql in [columns, indexes] {
        let mut select = connection.prepare(sql)?;
        for part in select.query_map([], |row| row.get(0))? {
            parts.insert(part?);
        }
    }
    Ok(parts)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The digest of every released migration.
    const RELEASED: [&str; 7] = [
        "55a4b5ce457b2665dffd240c164a8eab442d6beb622d9411b3dcba86e0ad59e9",
        "0deb2b6bdd4c15e34302e667f14c5bb166f9c205e6b6de62a9cc1c94fbfc7473",
        "b845d738d2b4cff78c8a72287934b77ff69f99330aae2b1d0ab28e63e3164489",
        "4307525cbfdaf4394aafa2664a72a075605efce3be1c7bfce872a1a545f892e2",
        "94714cfd10c1147b00bd49af01e11fc78b7791461bc25028bd5e6b9ed0dfd4f3",
        "d885cce14cbfd9b31a5217d580130a4b32e3b325e383afa9573d12b8c4675396",
        "0919897cad42e468a840a129b333e9564b04201dd42434f446b247d54f7e56a0",
    ];

    /// A database as a daemon of that schema left it.
    pub(in super::super) fn fixture(version: i64) -> String {
        let file = format!("{}/tests/fixtures/schema-{version}.sql", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(file).expect("every released schema has a fixture")
    }

    #[test]
    fn a_released_migration_is_never_edited() {
        let digest = |text: &str| {
            let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
            digest.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
        };
        assert_eq!(MIGRATIONS.map(digest), RELEASED.map(str::to_owned), "write a new migration instead");
    }

    #[test]
    fn the_schema_of_a_fixture_is_that_of_its_version() {
        for version in 1..=newest() {
            let old = Connection::open_in_memory().expect("in memory");
            old.execute_batch(&fixture(version)).expect("filled");
            assert_eq!(super::version(&old).expect("read"), version);
            assert_eq!(lacking(&old, version).expect("looked"), [""; 0]);
        }
    }

    #[test]
    fn every_released_schema_becomes_that_of_a_new_database() {
        let mut new = Connection::open_in_memory().expect("in memory");
        migrate(&mut new).expect("made");
        for version in 1..=newest() {
            let mut old = Connection::open_in_memory().expect("in memory");
            old.execute_batch(&fixture(version)).expect("filled");
            migrate(&mut old).expect("migrated");
            assert_eq!(super::version(&old).expect("read"), newest());
            assert_eq!(outline(&old).expect("read"), outline(&new).expect("read"), "from {version}");
            assert_eq!(statements(&old), statements(&new), "from {version}");
        }
    }

    #[test]
    fn a_row_is_checked_without_a_table_of_its_own() {
        let mut database = Connection::open_in_memory().expect("in memory");
        migrate(&mut database).expect("made");
        let insert = "INSERT INTO job (id, service, phase, created_at, cpus, memory, reason) VALUES (?1, 'ocps', ?2, 0, 1, 1, ?3)";
        let mut plan = database.prepare(&format!("EXPLAIN {insert}")).expect("SQL");
        let none: [Option<i64>; 3] = [None; 3];
        let steps = plan.query_map(none, |row| row.get::<_, String>(1)).expect("read");
        let steps: Vec<String> = steps.map(|step| step.expect("read")).collect();
        assert!(!steps.iter().any(|step| step == "OpenEphemeral"), "{steps:?}");
        for (phase, reason, is_sound) in [
            ("QUEUED", None, true),
            ("queued", None, false),
            ("COMPLETED", None, false),
            ("EXECUTING", Some("ok"), false),
            ("ARCHIVED", Some("ok"), true),
        ] {
            let id = rusqlite::types::Value::Blob(vec![u8::from(is_sound) + u8::from(reason.is_some()); 16]);
            let inserted = database.execute(insert, rusqlite::params![id, phase, reason]);
            assert_eq!(inserted.is_ok(), is_sound, "{phase} {reason:?}: {inserted:?}");
        }
    }

    /// The statements that a schema consists of, without regard to blanks.
    fn statements(connection: &Connection) -> BTreeSet<(String, String)> {
        let mut select = connection.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").expect("SQL");
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).expect("read");
        let one_line = |sql: String| sql.split_whitespace().collect::<Vec<_>>().join(" ");
        rows.map(|row| row.map(|(name, sql)| (name, one_line(sql))).expect("read")).collect()
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut database = Connection::open_in_memory().expect("in memory");
        migrate(&mut database).expect("made");
        database.execute_batch("CREATE TABLE of_somebody_else (x); ANALYZE").expect("done");
        assert_eq!(lacking(&database, newest()).expect("looked"), [""; 0]);
        let damage = "DROP INDEX job_deleted; ALTER TABLE run DROP COLUMN host; DROP TABLE image";
        database.execute_batch(damage).expect("done");
        let lacking = lacking(&database, newest()).expect("looked");
        for part in ["column run.host (TEXT)", "index job_deleted on job (seq), partial", "column image.digest (TEXT)"]
        {
            assert!(lacking.iter().any(|lack| lack == part), "{part} in {lacking:?}");
        }
    }
}
