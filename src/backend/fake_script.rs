//! The scripts of the backend without an engine; its module tells what they may say.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use crate::ports::{How, JobDirs, RunRef};

/// How far a script was played.
pub(super) enum Played {
    Ends(How),
    Hangs,
    Sleeps(Duration, String),
}

pub(super) fn play(script: &str, dirs: &JobDirs, run: &RunRef) -> io::Result<Played> {
    say(dirs, run, "stdout", "")?;
    say(dirs, run, "stderr", "")?;
    let mut steps = script;
    while !steps.is_empty() {
        let (step, later) = steps.split_once(';').unwrap_or((steps, ""));
        steps = later;
        let step = step.trim();
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        match verb {
            "" | "fill" | "mute" => {}
            "print" => say(dirs, run, "stdout", &line(rest))?,
            "complain" => say(dirs, run, "stderr", &line(rest))?,
            "write" => {
                let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
                let path = dirs.output().join(name);
                std::fs::create_dir_all(path.parent().expect("below the output directory"))?;
                std::fs::write(path, text)?;
            }
            "append" => {
                let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
                add(&dirs.output().join(name), &line(text))?;
            }
            "sleep" => return Ok(Played::Sleeps(Duration::from_millis(rest.parse().unwrap_or(0)), later.to_owned())),
            "hang" | "stubborn" | "heed" => return Ok(Played::Hangs),
            "exit" => return Ok(Played::Ends(How::Exited(rest.parse().unwrap_or(2)))),
            "signal" => {
                let signal = rest.parse().unwrap_or(9);
                return Ok(Played::Ends(How::Signaled { signal, exit_code: None }));
            }
            "oom" => return Ok(Played::Ends(How::OutOfMemory { exit_code: Some(137) })),
            "vanish" => return Ok(Played::Ends(How::Vanished)),
            _ => return Ok(Played::Ends(How::Exited(127))),
        }
    }
    Ok(Played::Ends(How::Exited(0)))
}

/// How a script that hangs ends when it is stopped.
pub(super) fn stopped(script: &str, dirs: &JobDirs, run: &RunRef) -> io::Result<How> {
    let heeds = script.split(';').find_map(|step| step.trim().strip_prefix("heed "));
    if let Some((code, text)) = heeds.and_then(|heeds| heeds.split_once(' ')) {
        say(dirs, run, "stdout", &line(text))?;
        return Ok(How::Exited(code.parse().unwrap_or(2)));
    }
    Ok(How::Signaled { signal: if script.contains("stubborn") { 9 } else { 15 }, exit_code: None })
}

/// What a script fills beside the job's directories; never told of one that is mute.
pub(super) async fn filled(script: &str) -> u64 {
    let steps = || script.split(';').map(str::trim);
    if steps().any(|step| step == "mute") {
        std::future::pending::<()>().await;
    }
    steps().filter_map(|step| step.strip_prefix("fill ")?.parse::<u64>().ok()).sum()
}

/// A line of `text`; after `-n` without its end.
fn line(text: &str) -> String {
    text.strip_prefix("-n ").map_or_else(|| format!("{text}\n"), str::to_owned)
}

/// Adds `text` to a log.
fn say(dirs: &JobDirs, run: &RunRef, stream: &str, text: &str) -> io::Result<()> {
    let log = dirs.log(run);
    std::fs::create_dir_all(&log)?;
    add(&log.join(stream), text)
}

fn add(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}

/// The script with its variables replaced, the longest name first: one may begin as another does.
pub(super) fn expanded(script: &str, env: &[(String, String)]) -> String {
    let mut env: Vec<_> = env.iter().collect();
    env.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    env.iter().fold(script.to_owned(), |script, (name, value)| script.replace(&format!("${name}"), value))
}
