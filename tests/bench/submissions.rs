//! Accepted submissions per second, each durable before its answer, beside the HTTP stack without a store.

use std::time::Duration;

use crate::load;
use crate::served::Served;

const TIME: Duration = Duration::from_secs(5);

pub fn measure() {
    println!("submissions (nothing starts; aim: at 8 and 64 connections at least half the rate without the store)");
    println!(
        "{:>12} {:>14} {:>10} {:>10} {:>14} {:>8}",
        "connections", "accepted/s", "p50 ms", "p99 ms", "no store/s", "ratio"
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
        println!(
            "{connections:>12} {:>14.0} {:>10.3} {:>10.3} {:>14.0} {:>8.2}",
            with.per_second,
            with.p50.as_secs_f64() * 1e3,
            with.p99.as_secs_f64() * 1e3,
            without.per_second,
            with.per_second / without.per_second
        );
    }
    println!();
}
