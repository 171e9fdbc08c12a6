//! Accepted submissions per second, each durable before its answer, beside the HTTP stack without a store.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::load;
use crate::served::Served;

const TIME: Duration = Duration::from_secs(5);

/// What one commit's sync of `size` bytes takes on the disk of `dir`, in a file that is as large already: the median.
fn sync(dir: &Path, size: usize) -> Duration {
    const FILE: usize = 4 << 20;
    let file = File::create(dir.join("sync")).expect("made");
    file.write_all_at(&vec![1; FILE], 0).expect("written");
    file.sync_all().expect("synced");
    let mut took: Vec<Duration> = (0..200)
        .map(|round| {
            let offset = u64::try_from(round * size % (FILE - size)).expect("small");
            file.write_all_at(&vec![2; size], offset).expect("written");
            let begin = Instant::now();
            file.sync_data().expect("synced");
            begin.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[100]
}

pub fn measure() {
    println!("submissions (nothing starts; aim: at 8 and 64 connections at least half the rate without the store)");
    println!("the floor is the HTTP stack and one sync of 4 KiB a connection, one after the other");
    println!(
        "{:>12} {:>12} {:>9} {:>9} {:>12} {:>7} {:>9} {:>10} {:>9}",
        "connections", "accepted/s", "p50 ms", "p99 ms", "no store/s", "ratio", "sync ms", "floor/s", "of floor"
    );
    for connections in [1, 8, 64] {
        let dir = tempfile::tempdir().expect("temp dir");
        let with = {
            let served = Served::start("sqlite", dir.path());
            load::run(served.port, connections, Duration::from_millis(500));
            load::run(served.port, connections, TIME)
        };
        let without = {
            let served = Served::start("null", dir.path());
            load::run(served.port, connections, Duration::from_millis(500));
            load::run(served.port, connections, TIME)
        };
        let sync = sync(dir.path(), connections * 4096).as_secs_f64();
        let all = f64::from(u32::try_from(connections).expect("few"));
        let floor = all / (all / without.per_second + sync);
        println!(
            "{connections:>12} {:>12.0} {:>9.3} {:>9.3} {:>12.0} {:>7.2} {:>9.3} {floor:>10.0} {:>9.2}",
            with.per_second,
            with.p50.as_secs_f64() * 1e3,
            with.p99.as_secs_f64() * 1e3,
            without.per_second,
            with.per_second / without.per_second,
            sync * 1e3,
            with.per_second / floor
        );
    }
    println!();
}
