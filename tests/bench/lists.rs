//! A job list of a million jobs: its newest hundred, with and without filters, and all of it; beside SQLite's own reading
//! of the same rows.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use uwsd::domain::{JobId, Timestamp};

use crate::memory::{Daemon, free_port};

const JOBS: i64 = 1_000_000;

/// Writes the jobs straight into the database of a daemon that does not run: a minute apart, one in a hundred failed.
fn fill(path: &Path) {
    let mut connection = Connection::open(path).expect("opened");
    connection.pragma_update(None, "synchronous", "OFF").expect("set");
    let transaction = connection.transaction().expect("begun");
    {
        let job = "INSERT INTO job (id, service, phase, created_at, started_at, ended_at, cpus, memory, reason) \
                   VALUES (?1, 'ocps', ?2, ?3, ?3, ?3, 1.0, 1, ?4)";
        let mut job = transaction.prepare(job).expect("a statement");
        let mut work = transaction.prepare("INSERT INTO work (job, body) VALUES (?1, ?2)").expect("a statement");
        let body = r#"{"command":"true","source":null,"environment":[],"replicas":1}"#;
        for n in 0..JOBS {
            let at = 1_700_000_000_000 + n * 60_000;
            let (phase, reason) = if n % 100 == 0 { ("ERROR", "nonzero") } else { ("COMPLETED", "ok") };
            let id = JobId::new(Timestamp::from_millis(at));
            job.execute(params![id.as_bytes(), phase, at, reason]).expect("written");
            work.execute(params![transaction.last_insert_rowid(), body]).expect("written");
        }
    }
    transaction.commit().expect("committed");
}

/// Reads a whole answer; its size.
fn get(port: u16, path: &str) -> usize {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").expect("asked");
    let (mut total, mut buffer) = (0, vec![0; 1 << 18]);
    loop {
        match stream.read(&mut buffer).expect("read") {
            0 => return total,
            read => total += read,
        }
    }
}

/// The median time of something done a few times.
fn median(mut deed: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..21)
        .map(|_| {
            let begin = Instant::now();
            deed();
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[10]
}

pub fn measure() {
    let dir = tempfile::tempdir().expect("temp dir");
    let port = free_port();
    // It has made its tables once it answers.
    let daemon = Daemon::start(dir.path(), port);
    assert!(get(port, "/healthz") > 0);
    drop(daemon);
    let database = dir.path().join("state/uwsd.db");
    fill(&database);
    let daemon = Daemon::start(dir.path(), port);
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    println!("a list of {JOBS} jobs (aim: the newest 100 in under 10 ms, resident memory below 64 MiB)");
    let connection = Connection::open(&database).expect("opened");
    let floor = median(|| {
        let sql = "SELECT id, phase, run_id, owner, created_at FROM job WHERE service = 'ocps' AND deleted_at IS NULL \
                   AND phase <> 'ARCHIVED' ORDER BY created_at DESC, seq DESC LIMIT 100";
        let mut statement = connection.prepare_cached(sql).expect("a statement");
        let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).expect("read");
        assert_eq!(rows.count(), 100);
    });
    println!("{:>40} {:>8.3} ms", "floor: SQLite reads the newest 100", ms(floor));
    for (what, query) in [
        ("the newest 100", "?LAST=100".to_owned()),
        ("the newest 100 that failed", "?LAST=100&PHASE=ERROR".to_owned()),
        ("of two phases", "?LAST=100&PHASE=ERROR&PHASE=EXECUTING".to_owned()),
        ("of a phase that no job is in", "?LAST=100&PHASE=EXECUTING".to_owned()),
        (
            "after an instant near the end",
            format!("?LAST=100&AFTER={}", Timestamp::from_millis(1_700_000_000_000 + (JOBS - 50) * 60_000)),
        ),
        ("after an instant in the middle", "?LAST=100&AFTER=2024-10-01".to_owned()),
        ("after every job", "?LAST=100&AFTER=2100-01-01".to_owned()),
    ] {
        let path = format!("/api/ocps/async{query}");
        let took = median(|| assert!(get(port, &path) > 0));
        println!("{what:>40} {:>8.3} ms, {:.1} times the floor", ms(took), took.as_secs_f64() / floor.as_secs_f64());
    }
    let begin = Instant::now();
    let bytes = get(port, "/api/ocps/async");
    println!("{:>40} {:>8.1} s, {} MB", "all of it", begin.elapsed().as_secs_f64(), bytes / 1_000_000);
    println!("{:>40} {:>8.1} MiB", "resident memory after it", daemon.resident_mib());
    let scrape = || assert!(get(port, "/metrics") > 0);
    let begin = Instant::now();
    scrape();
    println!("{:>40} {:>8.3} ms", "a scrape that counts them", ms(begin.elapsed()));
    println!("{:>40} {:>8.3} ms", "a scrape soon after", ms(median(scrape)));
    println!();
}
