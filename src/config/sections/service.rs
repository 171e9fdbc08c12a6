//! `[service.NAME]`.

use std::time::Duration;

use super::super::kind::toml_string;
use super::super::problem::Origin;
use super::super::reader::Reader;
use super::super::types::{Queue, Service};
use super::super::units::{show_duration, show_size};
use super::jdl::{examples, program};
use super::mounts::{mounts, secrets};
use crate::domain::{ImagePattern, repository_of};
use crate::ports::{Network, Pull, User};

/// Reads `[service.NAME]`; its reservations have to fit the budget of `queue`.
pub(in super::super) fn service(r: &mut Reader, name: &str, queue: &Queue) -> Service {
    let at = |leaf: &str| format!("service.{name}.{leaf}");
    let image =
        r.checked(&at("image"), "give the name of an image, such as \"debian:stable-slim\"", image).unwrap_or_default();
    let pull = r.word(&at("pull"), &[("never", Pull::Never), ("missing", Pull::Missing), ("always", Pull::Always)]);
    let pull_always = r.texts(&at("pull_always")).into_iter().map(ImagePattern::new).collect();
    let image_tag_from = r.texts(&at("image_tag_from"));
    let allowed_images = allowed_images(r, &at, &image);
    let program = program(r, &format!("service.{name}"));
    let examples = examples(r, &format!("service.{name}"), &program);
    let user = r.optional(&at("user"), "give \"UID:GID\" in numbers, such as \"1000:1000\"", user);
    let extra_groups = r.ids(&at("extra_groups"));
    let (cpus, max_cpus) = cpus(r, &at, queue.cpus);
    let (memory, max_memory) = memory(r, &at, queue.memory);
    let (execution_duration, max_execution_duration) = limit(r, &at, "execution_duration");
    let (destruction, max_destruction) = limit(r, &at, "destruction");
    let (kill_grace, max_kill_grace) = kill_grace(r, &at);
    let network = r.checked(&at("network"), "give none, default or the name of a network", network);
    let env = env(r, &at("env"));
    let mounts = mounts(r, &at("mounts"));
    let secrets = secrets(r, &at("secrets"), &mounts);
    Service {
        image,
        pull,
        pull_always,
        image_tag_from,
        allowed_images,
        program,
        examples,
        max_running: r.whole(&at("max_running")),
        one_at_a_time: r.switch(&at("one_at_a_time")),
        max_running_per_owner: r.whole(&at("max_running_per_owner")),
        weight: r.decimal(&at("weight")),
        priority: r.whole(&at("priority")),
        user,
        extra_groups,
        cpus,
        max_cpus,
        memory,
        max_memory,
        pids: r.whole(&at("pids")),
        max_replicas: r.whole(&at("max_replicas")),
        network: network.unwrap_or(Network::None),
        execution_duration,
        max_execution_duration,
        destruction,
        max_destruction,
        archive: Some(r.time(&at("archive"))).filter(|archive| !archive.is_zero()),
        kill_grace,
        max_kill_grace,
        max_output: Some(r.size(&at("max_output"))).filter(|most| *most > 0),
        queue_timeout: Some(r.time(&at("queue_timeout"))).filter(|limit| !limit.is_zero()),
        dotfiles: r.switch(&at("dotfiles")),
        env,
        mounts,
        secrets,
    }
}

/// What a job may ask for as its image; without a list the service's own with any tag.
fn allowed_images(r: &mut Reader, at: &impl Fn(&str) -> String, image: &str) -> Vec<ImagePattern> {
    let key = at("allowed_images");
    let patterns = r.each(&key, "give names of images in which * stands for any text", |text| {
        image_pattern(text).then(|| ImagePattern::new(text))
    });
    if patterns.is_empty() {
        return vec![ImagePattern::new(format!("{}:*", repository_of(image)))];
    }
    patterns
}

fn image_pattern(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/:@*".contains(&b))
}

fn cpus(r: &mut Reader, at: &impl Fn(&str) -> String, budget: f64) -> (f64, f64) {
    let key = at("cpus");
    let mut cpus = r.decimal(&key);
    let mut max_cpus = r.decimal(&at("max_cpus"));
    let most = if max_cpus > 0.0 { max_cpus.min(budget) } else { budget };
    if cpus > most && !r.is_configured(&key) {
        cpus = most;
        r.derive(&key, &format!("{cpus:?}"), Origin::Derived("lowered to what there is"));
    }
    if cpus > budget {
        r.refuse(&key, &format!("give at most {budget:?}, which is all that queue.cpus gives out"));
    }
    if max_cpus == 0.0 {
        max_cpus = cpus;
        r.derive(&at("max_cpus"), &format!("{max_cpus:?}"), Origin::Derived("as cpus"));
    } else if max_cpus < cpus {
        r.refuse(&at("max_cpus"), &format!("give at least cpus, which is {cpus:?}, or 0"));
    }
    (cpus, max_cpus)
}

fn memory(r: &mut Reader, at: &impl Fn(&str) -> String, budget: u64) -> (u64, u64) {
    let key = at("memory");
    let mut memory = r.size(&key);
    let mut max_memory = r.size(&at("max_memory"));
    let most = if max_memory > 0 { max_memory.min(budget) } else { budget };
    if memory > most && !r.is_configured(&key) {
        memory = most;
        r.derive(&key, &toml_string(&show_size(memory)), Origin::Derived("lowered to what there is"));
    }
    if memory > budget {
        r.refuse(&key, &format!("give at most {}, which is all that queue.memory gives out", show_size(budget)));
    }
    if max_memory == 0 {
        max_memory = memory;
        r.derive(&at("max_memory"), &toml_string(&show_size(max_memory)), Origin::Derived("as memory"));
    } else if max_memory < memory {
        r.refuse(&at("max_memory"), &format!("give at least memory, which is {}, or \"0\"", show_size(memory)));
    }
    (memory, max_memory)
}

/// A default limit and the most that callers may ask for, where 0 is none.
fn limit(r: &mut Reader, at: &impl Fn(&str) -> String, leaf: &str) -> (Option<Duration>, Option<Duration>) {
    let key = at(leaf);
    let some = |duration: Duration| Some(duration).filter(|duration| !duration.is_zero());
    let mut default = some(r.time(&key));
    let max_key = format!("max_{leaf}");
    let max = some(r.time(&at(&max_key)));
    if let Some(max) = max
        && default.is_none_or(|default| default > max)
    {
        if r.is_configured(&key) {
            r.refuse(&key, &format!("give at most {max_key}, which is {}", show_duration(max)));
        } else {
            default = Some(max);
            r.derive(&key, &toml_string(&show_duration(max)), Origin::Derived("lowered to the most allowed"));
        }
    }
    (default, max)
}

/// The time between TERM and KILL, and the most that callers may ask for; where only one is configured the other follows.
fn kill_grace(r: &mut Reader, at: &impl Fn(&str) -> String) -> (Duration, Duration) {
    let (key, max_key) = (at("kill_grace"), at("max_kill_grace"));
    let (mut grace, mut max) = (r.time(&key), r.time(&max_key));
    if grace > max {
        if !r.is_configured(&max_key) {
            max = grace;
            r.derive(&max_key, &toml_string(&show_duration(max)), Origin::Derived("raised to kill_grace"));
        } else if r.is_configured(&key) {
            r.refuse(&key, &format!("give at most max_kill_grace, which is {}", show_duration(max)));
        } else {
            grace = max;
            r.derive(&key, &toml_string(&show_duration(grace)), Origin::Derived("lowered to the most allowed"));
        }
    }
    (grace, max)
}

fn env(r: &mut Reader, path: &str) -> Vec<(String, String)> {
    let entries = r.entries(path);
    for (name, _) in &entries {
        if !is_variable_name(name) || name.starts_with("JOB_") {
            r.problem(&format!("{path}.{name}"), format!("is no name that can be set; {VARIABLE_NAME}"));
        }
    }
    entries
}

/// What would do as the name of a variable.
pub(super) const VARIABLE_NAME: &str = "give a name without \"=\" that does not begin with JOB_";

/// Whether an environment can carry a variable of this name.
pub(super) fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// The tag of an image's name, `latest` if it names none; empty if it names a digest.
fn image(text: &str) -> Option<String> {
    let is_name = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/:@".contains(&b));
    is_name.then(|| text.to_owned())
}

fn user(text: &str) -> Option<User> {
    let (uid, gid) = text.split_once(':')?;
    let id = |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    Some(User { uid: id(uid)?, gid: id(gid)? })
}

fn network(text: &str) -> Option<Network> {
    match text {
        "none" => Some(Network::None),
        "default" => Some(Network::Default),
        name => {
            let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            is_name.then(|| Network::Named(name.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_networks_and_images_are_checked() {
        assert_eq!(user("1000:100"), Some(User { uid: 1000, gid: 100 }));
        assert!(["1000", "a:b", "1000:", "-1:0", "+1:0", "1:2:3"].iter().all(|bad| user(bad).is_none()));
        assert_eq!(network("none"), Some(Network::None));
        assert_eq!(network("site_net"), Some(Network::Named("site_net".into())));
        assert!(["", "container:x", "-x", "a b"].iter().all(|bad| network(bad).is_none()));
        assert!(["", "-x", "a b", "a\nb"].iter().all(|bad| image(bad).is_none()));
    }
}
