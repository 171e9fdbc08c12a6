//! The sample file, from the table of keys.

use super::keys::{self, Key, SECTIONS};
use super::kind::Kind;
use super::reload;

const HEAD: &str = "\
# The configuration of uwsd, with every key, what it does and its default.
#
# A line that begins with # and a letter is a key at its default: take the # away to set it. Headings stay as they are; the
# # of #[[server.listener]] goes with those of its keys.
# Drop-ins, conf.d/*.toml beside this file, are read after it in name order: a key replaces, arrays as a whole.
# (Those of another main file NAME.toml are in NAME.conf.d.)
# Every key but those of arrays of tables has an environment variable, which wins: UWSD_QUEUE_MAX_RUNNING is
# queue.max_running, UWSD_SERVICE_OCPS_IMAGE is image of [service.ocps]; lists with commas, tables as TOML.
# `uwsd check` says what is wrong and prints what is in force, and from where; `uwsd reload` makes a running daemon read
# everything again. A configuration with a problem is refused as a whole, and the old one stays in force.
";

/// `config/uwsd.toml`.
#[must_use]
pub fn sample() -> String {
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        text.push('\n');
        comment(&mut text, section.doc);
        let is_row = section.path.ends_with("[]");
        // A row that stood there would be a listener.
        text.extend([if is_row { "#" } else { "" }, section.heading, "\n"]);
        for key in keys_of(section.path) {
            // The addresses have a heading of their own.
            if key.path == "server.listener" {
                continue;
            }
            text.push('\n');
            comment(&mut text, key.doc);
            comment(&mut text, &nature(key));
            fields(&mut text, key);
            match key.default {
                // The required field of a row.
                "" if is_row => text.extend(["#", name(key), " = \"127.0.0.1:8080\"\n"]),
                default => text.extend(["#", name(key), " = ", default, "\n"]),
            }
        }
    }
    text
}

/// The fields of the rows that a key has.
fn fields(text: &mut String, key: &Key) {
    match key.kind {
        Kind::Rows => {
            for field in keys_of(&format!("{}[]", key.path)) {
                let default =
                    if field.default.is_empty() { "required".to_owned() } else { format!("default {}", field.default) };
                comment(text, &format!("- {} ({default}): {}", name(field), field.doc));
            }
        }
        Kind::Text
        | Kind::Scalar
        | Kind::Number
        | Kind::Url
        | Kind::Path
        | Kind::Whole(..)
        | Kind::Decimal(..)
        | Kind::Switch
        | Kind::Size(_)
        | Kind::Time(_)
        | Kind::Word(_)
        | Kind::WordList(_)
        | Kind::Texts
        | Kind::Ids
        | Kind::Map => {}
    }
}

pub(super) fn keys_of(table: &str) -> impl Iterator<Item = &'static Key> {
    let prefix = format!("{table}.");
    keys::all().filter(move |key| key.path.strip_prefix(&prefix).is_some_and(|name| !name.contains('.')))
}

pub(super) fn name(key: &Key) -> &'static str {
    key.path.rsplit('.').next().unwrap_or(key.path)
}

/// What its values are, and when a change of it takes effect if that is not at once.
pub(super) fn nature(key: &Key) -> String {
    let at_restart = if reload::needs_restart(key.path) { " A change needs a restart." } else { "" };
    format!("{}.{at_restart}", capitalised(&key.kind.description()))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Appends a comment of lines of at most 100 characters.
fn comment(text: &mut String, sentence: &str) {
    let mut line = String::from("#");
    for word in sentence.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > 100 {
            text.extend([line.as_str(), "\n"]);
            "#".clone_into(&mut line);
        }
        line.extend([" ", word]);
    }
    text.extend([line.as_str(), "\n"]);
}
