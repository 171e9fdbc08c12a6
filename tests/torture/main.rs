//! Jobs of every kind, through both APIs, while daemon, engine, disk and containers fail at random: at the end every job must
//! have been told the truth about.
//!
//! ```text
//! cargo test --features test-support --test torture -- [--seconds N] [--seed N] [--live-restore | --process]
//! ```
//!
//! Needs root and Docker's programs: it has an engine and a disk of its own. By default it goes on for two minutes. With
//! `--live-restore` containers live through the engine's restarts; with `--process` jobs run without an engine.

mod bed;
mod engine;
mod faults;
mod http;
mod job;
mod judge;
mod left;
mod processes;
mod work;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bed::{Bed, Mode};
use faults::Faults;
use judge::Judgement;

/// What was asked for.
struct Options {
    seconds: u64,
    seed: u64,
    mode: Mode,
}

impl Options {
    /// `None`: something else was asked for, of `cargo test`.
    fn parse() -> Option<Self> {
        let mut options = Self { seconds: 120, seed: u64::from(std::process::id()), mode: Mode::Docker };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|text| text.parse().ok());
            match argument.as_str() {
                "--seconds" => options.seconds = number()?,
                "--seed" => options.seed = number()?,
                "--live-restore" => options.mode = Mode::LiveRestore,
                "--process" => options.mode = Mode::Process,
                "--nocapture" => {}
                other if "torture".contains(other) => {}
                _ => return None,
            }
        }
        Some(options)
    }
}

/// What a run of this program found.
pub struct Report {
    mode: Mode,
    seed: u64,
    seconds: u64,
    faults: BTreeMap<&'static str, u32>,
    judgement: Judgement,
    left_over: Vec<String>,
}

impl Report {
    fn is_clean(&self) -> bool {
        let Judgement { lost, run_twice, wrong, .. } = &self.judgement;
        [lost, run_twice, wrong, &self.left_over].iter().all(|list| list.is_empty())
    }

    fn print(&self) {
        let Judgement { accepted, polls, reasons, lost, run_twice, wrong } = &self.judgement;
        println!("{:?}, seed {}, {} s; faults", self.mode, self.seed, self.seconds);
        for (fault, n) in &self.faults {
            println!("  {fault}: {n}");
        }
        println!("jobs accepted: {accepted}, polled {polls} times; ended by reason");
        for (reason, n) in reasons {
            println!("  {reason}: {n}");
        }
        for (what, list) in
            [("lost", lost), ("run twice", run_twice), ("left over", &self.left_over), ("wrong exit codes", wrong)]
        {
            println!("{what}: {}", list.len());
            for one in list.iter().take(20) {
                println!("  {one}");
            }
        }
    }
}

fn main() -> ExitCode {
    let Some(options) = Options::parse() else {
        println!("torture: SKIPPED, something else was asked for");
        return ExitCode::SUCCESS;
    };
    if !nix::unistd::geteuid().is_root() {
        println!("torture: SKIPPED, it needs root for a disk and an engine of its own");
        return ExitCode::SUCCESS;
    }
    if let Err(why) = bed::can_be_made(options.mode) {
        println!("torture: SKIPPED, {why}");
        return ExitCode::SUCCESS;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let bed = Arc::new(Bed::new(options.mode, Duration::from_secs(options.seconds)));
    let report = runtime.block_on(torture(&bed, &options));
    report.print();
    if report.is_clean() {
        return ExitCode::SUCCESS;
    }
    println!("what the daemon said: {}", bed.keep_log(options.seed).display());
    ExitCode::FAILURE
}

async fn torture(bed: &Arc<Bed>, options: &Options) -> Report {
    println!("torture: {:?}, seed {}, {} s", options.mode, options.seed, options.seconds);
    bed.start_daemon().await;
    let foreign = left::Foreign::make(bed).await;
    let faults = Arc::new(Faults::new(Arc::clone(bed), options.seed));
    let end = Instant::now() + Duration::from_secs(options.seconds);
    // Once everything is whole again, whatever was accepted must come to its end.
    let (jobs, ()) = tokio::join!(work::until(Arc::clone(bed), options.seed, end), faults.until(end));
    let left_over = left::look(bed, &foreign, &jobs).await;
    let judgement = judge::judge(bed, &faults.done(), jobs);
    Report {
        mode: options.mode,
        seed: options.seed,
        seconds: options.seconds,
        faults: faults.counts(),
        judgement,
        left_over,
    }
}
