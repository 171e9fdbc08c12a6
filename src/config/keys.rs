//! What a key is, and how a path leads to its entry in the table of keys.

use super::kind::Kind;
pub(super) use super::outline::SECTIONS;
pub(super) use super::table::LACKING;
use super::{service_table, table};

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    /// Its path: `*` stands for a service's name, `[]` for a position in an array of tables.
    pub path: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// Its default as TOML text; empty: it has none and must be given.
    pub default: &'static str,
    /// What it does, in sentences.
    pub doc: &'static str,
}

/// An entry of the table.
pub(super) const fn key(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { path, kind, default, doc }
}

/// Every key, in the order of the sample.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    table::KEYS.iter().chain(service_table::KEYS)
}

/// One table of the file.
#[derive(Debug)]
pub(super) struct Section {
    /// The path of its keys without their last part.
    pub path: &'static str,
    /// Its heading in the sample file.
    pub heading: &'static str,
    /// What it is about.
    pub doc: &'static str,
}

/// The key with exactly this path in the form of the table.
pub(super) fn find(pattern: &str) -> Option<&'static Key> {
    all().find(|key| key.path == pattern)
}

/// The keys and tables directly below the table `pattern`, empty for the whole file.
pub(super) fn children(pattern: &str) -> impl Iterator<Item = &'static str> {
    let prefix = if pattern.is_empty() { String::new() } else { format!("{pattern}.") };
    all().filter_map(move |key| {
        let rest = key.path.strip_prefix(&prefix)?;
        Some(&rest[..rest.find(['.', '[']).unwrap_or(rest.len())])
    })
}

/// The path in the form of the table: the name of a service becomes `*`, the number of a row vanishes.
pub(super) fn pattern_of(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for (n, part) in path.split('.').enumerate() {
        if n > 0 {
            pattern.push('.');
        }
        match part.split_once('[') {
            _ if n == 1 && path.starts_with("service.") => pattern.push('*'),
            Some((name, _)) => pattern.extend([name, "[]"]),
            None => pattern.push_str(part),
        }
    }
    pattern
}

/// The path as headings have it: without the numbers of rows.
pub(super) fn without_numbers(path: &str) -> String {
    path.split('.').map(|part| part.split_once('[').map_or(part, |(name, _)| name)).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::kind::{Kind, toml_value};
    use super::*;

    #[test]
    fn every_default_is_of_its_kind() {
        for key in all().filter(|key| !key.default.is_empty() && !matches!(key.kind, Kind::Map | Kind::Rows)) {
            let value = toml_value(key.default).unwrap_or_else(|| panic!("{} is TOML", key.path));
            key.kind.read(&value).unwrap_or_else(|e| panic!("{} {e}", key.path));
        }
    }

    #[test]
    fn every_key_stands_once_and_has_a_section_or_a_row() {
        let paths: BTreeSet<_> = all().map(|key| key.path).collect();
        assert_eq!(paths.len(), all().count());
        for key in all() {
            let table = key.path.rsplit_once('.').expect("no key stands at the top").0;
            let is_row = table.strip_suffix("[]").is_some_and(|rows| find(rows).is_some());
            assert!(is_row || SECTIONS.iter().any(|section| section.path == table), "{}", key.path);
            assert!(key.doc.ends_with('.') && !key.doc.contains('\n'), "{}", key.path);
        }
    }

    #[test]
    fn a_path_leads_to_its_key() {
        assert_eq!(pattern_of("server.base_path"), "server.base_path");
        assert_eq!(pattern_of("server.listener[0].trust"), "server.listener[].trust");
        assert_eq!(pattern_of("service.a-b.mounts[12].target"), "service.*.mounts[].target");
    }
}
