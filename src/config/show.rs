//! The effective configuration for people, as TOML with each value's origin beside it.

use std::borrow::Cow;
use std::fmt::Write;

use super::keys;
use super::kind::toml_string;
use super::reader::Effective;

/// The widest value that others are aligned with; longer ones push their origin to the right.
const WIDEST: usize = 40;

/// The effective configuration as TOML, each line with its origin in a comment.
#[must_use]
pub fn show(effective: &[Effective]) -> String {
    let lines: Vec<(&str, Cow<'_, str>, &Effective)> = effective
        .iter()
        .map(|entry| {
            let (table, name) = split(&entry.key);
            let is_bare = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
            (table, if is_bare { Cow::Borrowed(name) } else { Cow::Owned(toml_string(name)) }, entry)
        })
        .collect();
    let names = lines.iter().map(|(_, name, _)| name.len()).max().unwrap_or(0);
    let widths = lines.iter().map(|(_, _, entry)| entry.value.chars().count());
    let values = widths.filter(|width| *width <= WIDEST).max().unwrap_or(0);
    let mut text = String::new();
    let mut tables: Vec<&str> = Vec::new();
    for (table, _, _) in &lines {
        if !tables.contains(table) {
            tables.push(table);
        }
    }
    for (n, table) in tables.into_iter().enumerate() {
        if n > 0 {
            text.push('\n');
        }
        match table.strip_suffix(']').and_then(|table| table.rsplit_once('[')) {
            Some((rows, _)) => text.extend(["[[", rows, "]]\n"]),
            // A table of a row belongs to the last one, which it follows.
            None => text.extend(["[", &keys::without_numbers(table), "]\n"]),
        }
        for (_, name, entry) in lines.iter().filter(|(other, _, _)| *other == table) {
            let (value, origin) = (&entry.value, &entry.origin);
            writeln!(text, "{name:names$} = {value:values$}  # {origin}").expect("a String takes all");
        }
    }
    text
}

/// A key's table and its name in it; the name of an environment variable may hold dots.
fn split(key: &str) -> (&str, &str) {
    let of_env = key.starts_with("service.").then(|| key.find(".env.")).flatten();
    match of_env {
        Some(at) => (&key[..at + 4], &key[at + 5..]),
        None => key.rsplit_once('.').unwrap_or(("", key)),
    }
}
