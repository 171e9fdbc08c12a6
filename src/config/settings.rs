//! What the layers set, flattened to one value a key: a later layer replaces what an earlier one set.

use std::collections::BTreeMap;
use std::ops::Bound;

use config::{Map, Value, ValueKind};

use super::keys::{self, Key};
use super::kind::{Data, Kind, toml_string};
use super::mask::mask_urls;
use super::problem::{Origin, Problem};

/// Names that a service cannot have, because the daemon's own paths have them.
const RESERVED: [&str; 9] = ["v1", "v2", "events", "quota", "healthz", "readyz", "metrics", "discovery", "assets"];

/// A value and where it was set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    pub data: Data,
    pub origin: Origin,
}

/// All that was set, and what was wrong with it.
///
/// An array of tables is kept as its length under its own path and its fields under `path[n].field`; a table of
/// strings is kept as its entries under `path.NAME`.
#[derive(Debug, Default)]
pub(super) struct Settings {
    values: BTreeMap<String, Setting>,
    services: Vec<String>,
    pub problems: Vec<Problem>,
}

impl Settings {
    pub fn get(&self, path: &str) -> Option<&Setting> {
        self.values.get(path)
    }

    pub fn set(&mut self, path: impl Into<String>, data: Data, origin: &Origin) {
        self.values.insert(path.into(), Setting { data, origin: origin.clone() });
    }

    /// The names of the services that have a table, in name order.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// The entries of the table of strings at `path`, in name order.
    pub fn entries(&self, path: &str) -> Vec<(String, Setting)> {
        let prefix = format!("{path}.");
        self.below(&prefix).map(|(full, setting)| (full[prefix.len()..].to_owned(), setting.clone())).collect()
    }

    fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a String, &'a Setting)> {
        let from = (Bound::Included(prefix.to_owned()), Bound::Unbounded);
        self.values.range(from).take_while(move |(path, _)| path.starts_with(prefix))
    }

    /// Takes over a table of a file, `path` being empty for the file as a whole.
    pub fn take_table(&mut self, path: &str, table: &Map<String, Value>, origin: &Origin) {
        let pattern = keys::pattern_of(path);
        for (name, value) in sorted(table) {
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            if pattern == "service" {
                // What else is wrong with one of a refused name is told as well.
                self.add_service(name, origin);
            }
            let below_pattern = if pattern == "service" { "service.*".to_owned() } else { join(&pattern, name) };
            if let Some(key) = keys::find(&below_pattern) {
                self.take(key, &below, value, origin);
            } else if keys::children(&below_pattern).next().is_none() {
                self.unknown(&pattern, &below, name, origin);
            } else if let ValueKind::Table(table) = &value.kind {
                self.take_table(&below, table, origin);
            } else {
                self.problem(&below, origin, "is no table; give a table of keys".to_owned());
            }
        }
    }

    /// Takes over the value of a key.
    pub fn take(&mut self, key: &'static Key, path: &str, value: &Value, origin: &Origin) {
        match (key.kind, &value.kind) {
            (Kind::Map, ValueKind::Table(table)) => {
                for (name, value) in sorted(table) {
                    let path = format!("{path}.{name}");
                    match Kind::Text.read(value) {
                        Ok(data) => self.set(path, data, origin),
                        Err(what) => self.problem(&path, origin, what),
                    }
                }
            }
            (Kind::Rows, ValueKind::Array(rows)) => self.take_rows(path, rows, origin),
            (kind, _) => match kind.read(value) {
                Ok(data) => self.set(path, data, origin),
                Err(what) => self.problem(path, origin, what),
            },
        }
    }

    fn take_rows(&mut self, path: &str, rows: &[Value], origin: &Origin) {
        let old: Vec<String> = self.below(&format!("{path}[")).map(|(path, _)| path.clone()).collect();
        for path in old {
            self.values.remove(&path);
        }
        self.set(path, Data::Rows(rows.len()), origin);
        for (n, row) in rows.iter().enumerate() {
            let path = format!("{path}[{n}]");
            match &row.kind {
                ValueKind::Table(table) => self.take_table(&path, table, origin),
                _ => self.problem(&path, origin, "is no table; give a table of keys".to_owned()),
            }
        }
    }

    /// Adds a listener to those that the files gave.
    pub fn add_listener(&mut self, address: &str, origin: &Origin) {
        let count = match self.get("server.listener") {
            Some(Setting { data: Data::Rows(count), .. }) => *count,
            Some(_) | None => 0,
        };
        self.set(format!("server.listener[{count}].address"), Data::Text(address.to_owned()), origin);
        let rows_origin = self.get("server.listener").map_or_else(|| origin.clone(), |rows| rows.origin.clone());
        self.set("server.listener", Data::Rows(count + 1), &rows_origin);
    }

    /// Makes the service that exists where no table says otherwise.
    pub fn add_default_service(&mut self) {
        if self.services.is_empty() {
            self.services.push("ocps".to_owned());
        }
    }

    fn add_service(&mut self, name: &str, origin: &Origin) {
        let is_form = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        let what = if RESERVED.contains(&name) {
            "is a name that the daemon's own paths have; give another"
        } else if is_form {
            if let Err(at) = self.services.binary_search_by(|known| known.as_str().cmp(name)) {
                self.services.insert(at, name.to_owned());
            }
            return;
        } else {
            "is no name for a service; give lower-case letters, digits, \"_\" and \"-\", a letter first"
        };
        self.problem(&format!("service.{name}"), origin, what.to_owned());
    }

    fn unknown(&mut self, table: &str, path: &str, name: &str, origin: &Origin) {
        let lacking = keys::LACKING.iter().find(|(pattern, _)| *pattern == join(table, name));
        let what = match (lacking, suggest(table, path, name)) {
            (Some((_, purpose)), _) => format!("is for {purpose}, which are not in this build; leave it out"),
            (None, Some(meant)) => format!("is no key; did you mean {meant}?"),
            (None, None) => "is no key; leave it out".to_owned(),
        };
        self.problem(path, origin, what);
    }

    pub fn problem(&mut self, key: &str, origin: &Origin, what: String) {
        self.problems.push(Problem { key: Some(key.to_owned()), origin: origin.clone(), what });
    }
}

/// The key that was probably meant by the unknown key `name` in the table `table`, found as `path`.
fn suggest(table: &str, path: &str, name: &str) -> Option<String> {
    let near = nearest(name, keys::children(table))
        .map(|near| format!("{}{near}", path.strip_suffix(name).unwrap_or_default()));
    // A known key that stands in the wrong table, as happens when a heading was forgotten.
    let elsewhere = || keys::all().map(|key| key.path).find(|path| path.rsplit('.').next() == Some(name));
    near.or_else(|| elsewhere().map(str::to_owned))
}

/// The one of `words` that is `word` but for a slip or two.
pub(super) fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let slips = |other: &str| strsim::damerau_levenshtein(word, other);
    words.min_by_key(|other| slips(other)).filter(|other| slips(other) <= 1 + word.len() / 4)
}

fn sorted(table: &Map<String, Value>) -> BTreeMap<&String, &Value> {
    table.iter().collect()
}

fn join(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}

/// A text for a message, with credentials masked.
pub(super) fn quoted(text: &str) -> String {
    toml_string(&mask_urls(text))
}
