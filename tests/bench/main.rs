//! Measures, by hand: `cargo bench --features test-support [-- submissions|turnaround|memory|waiting|lists]`.
//!
//! Each figure stands beside a floor measured in the same run: submissions beside the same HTTP stack without a store,
//! a job's turnaround beside the engine's own create–start–wait of the same container. Absolute figures are this
//! machine's. The turnaround needs `UWSD_TEST_DOCKER` and `UWSD_TEST_IMAGE` (see `tests/bed/dockerd.sh`).

mod lists;
mod load;
mod memory;
mod null_store;
mod served;
mod submissions;
mod turnaround;
mod waiting;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let Some(("serve", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return served::main(rest);
    }
    let is_wanted = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    if is_wanted("submissions") {
        submissions::measure();
    }
    if is_wanted("memory") {
        memory::measure();
    }
    if is_wanted("waiting") {
        waiting::measure();
    }
    if is_wanted("lists") {
        lists::measure();
    }
    if is_wanted("turnaround") {
        turnaround::measure();
    }
    ExitCode::SUCCESS
}
