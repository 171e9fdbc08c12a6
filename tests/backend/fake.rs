//! The scripted fake of the tests for speed: what it plays it plays by the same contract as the backends that run jobs.
//!
//! It has no shell: the suite's scripts are translated to its own steps. Left out are the sentences about what only
//! processes have: limits, users, mounts, bytes of any kind, loops, children.

use std::future::{Ready, ready};
use std::sync::Arc;

use tempfile::TempDir;
use uwsd::backend::fake::{FakeBackend, FakeEngine};
use uwsd::ports::{Backend, JobDirs, Network, Pull, RunRef, RunSpec, User};

use crate::suite::{Bed, Can, new_run};

crate::suite::contract!(@ crate::fake::bed;
    endings: an_exit_code_is_told, a_signal_is_told, a_high_exit_code_is_no_oom_and_told_in_any_case,
        the_times_are_told, a_command_that_is_not_there_never_ran, a_run_that_never_was_has_vanished;
    logs: short_runs_lose_nothing;
    restart: a_run_that_runs_is_adopted, a_run_that_ended_meanwhile_is_harvested, a_run_that_was_created_is_found_so,
        a_run_adopted_twice_is_told_the_same, an_adopted_run_can_be_stopped;
    stopping: a_run_that_heeds_the_request_ends_by_it, a_run_that_does_not_heed_is_killed_after_the_grace,
        a_created_run_never_starts_afterwards, stopping_what_has_ended_or_never_was_succeeds, stopping_twice_succeeds;
    twice: created_twice_it_is_one, started_twice_it_runs_once, started_after_its_end_it_stays_ended,
        removed_twice_it_is_gone, runs_of_another_instance_are_not_found, replicas_are_told_apart,
        a_running_run_can_be_removed, a_creation_that_was_dropped_is_removed;
    files: files_are_removed_twice, a_run_leaves_no_helper_behind;
    fetching: whether_images_are_used_is_told, an_image_that_is_there_is_named, an_image_that_is_nowhere_is_refused;
);

struct FakeBed {
    engine: Arc<FakeEngine>,
    jobs: TempDir,
}

fn bed() -> Ready<Option<Arc<dyn Bed>>> {
    ready(Some(Arc::new(FakeBed { engine: Arc::default(), jobs: tempfile::tempdir().expect("made") })))
}

impl Bed for FakeBed {
    fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(FakeBackend::new(Arc::clone(&self.engine)))
    }

    fn fresh_backend(&self) -> Arc<dyn Backend> {
        self.backend()
    }

    fn other_instance(&self) -> Arc<dyn Backend> {
        Arc::new(FakeBackend::new(Arc::clone(&self.engine)).of_instance("other"))
    }

    fn spec(&self, script: &str) -> RunSpec {
        let run = new_run();
        let dirs = JobDirs { root: self.jobs.path().join(run.job.to_string()) };
        for dir in [dirs.input(), dirs.source(), dirs.output(), dirs.home(), dirs.log(&run)] {
            std::fs::create_dir_all(dir).expect("made");
        }
        RunSpec {
            run,
            service: "test".into(),
            image: "image".into(),
            pull: Pull::Missing,
            argv: vec![steps_of(script)],
            env: Vec::new(),
            user: User { uid: 1, gid: 1 },
            extra_groups: Vec::new(),
            cpus: 1.0,
            memory: 1 << 30,
            pids: 128,
            network: Network::Default,
            mounts: Vec::new(),
            secrets: Vec::new(),
            dirs,
        }
    }

    fn can(&self, what: Can) -> bool {
        matches!(what, Can::Images | Can::TellHighExitCodes)
    }

    fn other_user(&self) -> Option<User> {
        None
    }

    fn engine_tells(&self, _: &RunRef) -> Option<String> {
        None
    }
}

/// The fake's steps that do what a simple `script` does.
fn steps_of(script: &str) -> String {
    let mut until_stopped = "hang".to_owned();
    let mut steps = Vec::new();
    for command in commands(script) {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        match verb {
            "" | "true" => {}
            "trap" => {
                until_stopped = match rest.strip_prefix("'echo ").and_then(|rest| rest.strip_suffix("' TERM")) {
                    Some(trap) => {
                        let (text, code) = trap.split_once("; exit ").expect("it says a word and exits");
                        format!("heed {code} {text}")
                    }
                    None => "stubborn".to_owned(),
                }
            }
            "while" => steps.push(until_stopped.clone()),
            "echo" => steps.push(match rest.split_once('>') {
                None => format!("print {rest}"),
                Some((text, "&2")) => format!("complain {}", text.trim()),
                Some((text, file)) => format!("append {} {}", name_of(file), text.trim()),
            }),
            "printf" => steps.push(format!("complain -n {}", rest.strip_suffix(" >&2").expect("a word to stderr"))),
            "touch" => steps.push(format!("write {}", name_of(rest))),
            "sleep" => {
                let seconds: f64 = rest.parse().expect("seconds");
                steps.push(format!("sleep {}", std::time::Duration::from_secs_f64(seconds).as_millis()));
            }
            "exit" => steps.push(command.to_owned()),
            "kill" => {
                let signal = rest.strip_prefix('-').and_then(|rest| rest.strip_suffix(" $$")).expect("itself");
                steps.push(format!("signal {signal}"));
            }
            _ => panic!("the fake cannot play {command:?}"),
        }
    }
    steps.join("; ")
}

/// The commands of a script; a loop and a quoted text are not taken apart.
fn commands(script: &str) -> Vec<&str> {
    let (mut commands, mut begin, mut is_quoted) = (Vec::new(), 0, false);
    for (at, sign) in script.char_indices() {
        match sign {
            '\'' => is_quoted = !is_quoted,
            ';' if !is_quoted && !script[begin..at].trim_start().starts_with("while") => {
                commands.push(script[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    commands.push(script[begin..].trim());
    commands
}

/// The last part of a path, as a script writes it.
fn name_of(path: &str) -> &str {
    path.trim_start_matches(['>', ' ']).trim_matches('"').rsplit('/').next().unwrap_or_default()
}
