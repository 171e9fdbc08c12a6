//! The environment variables of keys.
//!
//! A key's variable is `UWSD_` and its path in upper case with `_` for `.`: `queue.max_running` is
//! `UWSD_QUEUE_MAX_RUNNING`, `backend.docker.host` is `UWSD_BACKEND_DOCKER_HOST`. A service's name is written in upper
//! case with `_` for `-`: `service.ocps.image` is `UWSD_SERVICE_OCPS_IMAGE`. Variables set keys of services that
//! exist; they make none. Where a variable could mean keys of two services (`a` has `max_cpus`, `a_max` has `cpus`), it
//! is refused.
//!
//! The text is the value: no quotes, lists with commas between or as TOML (`["a", "b"]`), tables and arrays of tables
//! as TOML (`{ A = "x" }`, `[{ address = "unix:/run/x.sock" }]`). An empty variable counts as not set.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::keys::{self, Key};
use super::problem::{Origin, Problem};
use super::settings::{Settings, nearest, quoted};

const PREFIX: &str = "UWSD_";

/// Variables of flags, which are read with the flags, and the key that they set.
const FLAGS: [(&str, &str); 10] = [
    ("CONFIG", ""),
    ("LISTEN", ""),
    ("STATE_DIR", "server.state_dir"),
    ("BACKEND", "backend.kind"),
    ("SOCKET", ""),
    ("JSON", ""),
    ("WAIT", ""),
    ("FORCE", ""),
    ("DRAINED", ""),
    ("URL", ""),
];

/// The environment, as far as it matters: variables that are not empty and UTF-8.
#[derive(Debug, Default)]
pub(super) struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Takes the variables over; those of ours that are no UTF-8 are noted.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>, problems: &mut Vec<Problem>) -> Self {
        let mut known = BTreeMap::new();
        for (name, value) in variables {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) if value.is_empty() => {}
                Ok(value) => {
                    known.insert(name, value);
                }
                Err(_) if name.starts_with(PREFIX) => problems.push(Problem {
                    key: None,
                    origin: Origin::Variable(name),
                    what: "is no UTF-8 text; set it anew or unset it".to_owned(),
                }),
                Err(_) => {}
            }
        }
        Self { variables: known }
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Sets the keys that have a variable; returns warnings about variables that look like ours and are not.
    pub fn apply(&self, settings: &mut Settings) -> Vec<String> {
        let mut warnings = Vec::new();
        let ours = || self.variables.iter().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, name, value)));
        for (short, name, value) in ours() {
            if FLAGS.iter().any(|(flag, _)| *flag == short) || is_of_orchestrator(short) {
                continue;
            }
            match meaning(short, settings.services()) {
                Meaning::Key(path, key) => take_text(settings, key, &path, value, &Origin::Variable(name.clone())),
                Meaning::Nothing(what) => {
                    settings.problems.push(Problem { key: None, origin: Origin::Variable(name.clone()), what });
                }
                Meaning::Foreign => warnings.push(format!("{name} is set, which uwsd does not know")),
            }
        }
        // The variables of flags come after those of keys, because they win.
        for (flag, path) in FLAGS {
            let name = format!("{PREFIX}{flag}");
            if let (Some(key), Some(value)) = (keys::find(path), self.get(&name)) {
                take_text(settings, key, path, value, &Origin::Variable(name));
            }
        }
        warnings
    }
}

/// Sets a key to the value that a text means.
pub(super) fn take_text(settings: &mut Settings, key: &'static Key, path: &str, text: &str, origin: &Origin) {
    match key.kind.value_of_text(text) {
        Ok(value) => settings.take(key, path, &value, origin),
        Err(what) => settings.problem(path, origin, what),
    }
}

enum Meaning {
    Key(String, &'static Key),
    Nothing(String),
    Foreign,
}

/// What a variable without its prefix means.
fn meaning(short: &str, services: &[String]) -> Meaning {
    let with_variable = || keys::all().filter(|key| !key.path.contains("[]"));
    if let Some(key) = with_variable().find(|key| !key.path.contains('*') && upper(key.path) == short) {
        return Meaning::Key(key.path.to_owned(), key);
    }
    if let Some(rest) = short.strip_prefix("SERVICE_") {
        let mut found = services.iter().flat_map(|service| {
            with_variable().filter_map(move |key| {
                let leaf = key.path.strip_prefix("service.*.")?;
                (rest == format!("{}_{}", upper(service), upper(leaf)))
                    .then(|| (format!("service.{service}.{leaf}"), key))
            })
        });
        return match (found.next(), found.next()) {
            (Some((path, key)), None) => Meaning::Key(path, key),
            (Some((one, _)), Some((other, _))) => {
                Meaning::Nothing(format!("may mean {one} or {other}; set the key in a file"))
            }
            (None, _) => Meaning::Nothing(unknown_of_service(rest, services)),
        };
    }
    let is_of_section = keys::children("").any(|section| short.starts_with(&format!("{}_", upper(section))));
    if !is_of_section {
        return Meaning::Foreign;
    }
    let names: Vec<String> = with_variable().map(|key| upper(key.path)).collect();
    Meaning::Nothing(match nearest(short, names.iter().map(String::as_str)) {
        Some(meant) => format!("is the variable of no key; did you mean {PREFIX}{meant}?"),
        None => "is the variable of no key; unset it".to_owned(),
    })
}

fn unknown_of_service(rest: &str, services: &[String]) -> String {
    let has_service = services.iter().any(|service| rest.starts_with(&format!("{}_", upper(service))));
    if has_service {
        "is the variable of no key of a service; unset it".to_owned()
    } else {
        let known: Vec<String> = services.iter().map(|service| quoted(service)).collect();
        format!("is for no service that is configured; those are {}", known.join(", "))
    }
}

/// Whether the variable is one that container orchestrators set for a service of the name `uwsd`.
fn is_of_orchestrator(short: &str) -> bool {
    short == "SERVICE_HOST" || short == "PORT" || short.starts_with("PORT_") || short.starts_with("SERVICE_PORT")
}

fn upper(path: &str) -> String {
    path.to_ascii_uppercase().replace(['.', '-'], "_")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn variable_of(path: &str) -> String {
        format!("{PREFIX}{}", upper(path))
    }

    fn key_of(short: &str, services: &[&str]) -> Result<String, String> {
        let services: Vec<String> = services.iter().map(|name| (*name).to_owned()).collect();
        match meaning(short, &services) {
            Meaning::Key(path, _) => Ok(path),
            Meaning::Nothing(what) => Err(what),
            Meaning::Foreign => Err("foreign".to_owned()),
        }
    }

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let keys: Vec<_> = keys::all().filter(|key| !key.path.contains("[]")).collect();
        let names: BTreeSet<String> = keys.iter().map(|key| variable_of(&key.path.replace('*', "ocps"))).collect();
        assert_eq!(names.len(), keys.len());
        for key in keys {
            let path = key.path.replace('*', "ocps");
            assert_eq!(key_of(&variable_of(&path)[PREFIX.len()..], &["ocps"]), Ok(path));
        }
        assert_eq!(variable_of("backend.docker.host"), "UWSD_BACKEND_DOCKER_HOST");
    }

    #[test]
    fn a_variable_of_a_service_means_one_key_or_is_refused() {
        assert_eq!(key_of("SERVICE_OCPS_IMAGE", &["ocps"]), Ok("service.ocps.image".into()));
        assert_eq!(key_of("SERVICE_A_B_MAX_CPUS", &["a-b"]), Ok("service.a-b.max_cpus".into()));
        assert_eq!(key_of("SERVICE_A_MAX_CPUS", &["a"]), Ok("service.a.max_cpus".into()));
        assert_eq!(key_of("SERVICE_A_MAX_CPUS", &["a_max"]), Ok("service.a_max.cpus".into()));
        for services in [["a", "a_max"], ["a-max", "a_max"]] {
            let refused = key_of("SERVICE_A_MAX_CPUS", &services).expect_err("two meanings");
            assert!(refused.starts_with("may mean service."), "{refused}");
        }
        assert_eq!(
            key_of("SERVICE_OTHER_IMAGE", &["ocps"]),
            Err("is for no service that is configured; those are \"ocps\"".into())
        );
    }

    #[test]
    fn a_slip_in_a_variable_is_told_and_a_foreign_one_is_not_taken_for_ours() {
        assert_eq!(
            key_of("QUEUE_MAX_RUNING", &[]),
            Err("is the variable of no key; did you mean UWSD_QUEUE_MAX_RUNNING?".into())
        );
        assert_eq!(key_of("SOMETHING", &[]), Err("foreign".into()));
        assert!(is_of_orchestrator("SERVICE_HOST") && is_of_orchestrator("PORT_8080_TCP_ADDR"));
        assert!(!is_of_orchestrator("SERVICE_OCPS_IMAGE"));
    }
}
