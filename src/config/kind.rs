//! The kinds of values: how each is read, what it expects, how it is shown.

use std::fmt::Write;
use std::time::Duration;

use config::{FileFormat, Format, Value, ValueKind};

use super::mask::{mask_url, mask_urls};
use super::units::{parse_duration, parse_size, show_duration, show_size};

/// What a key's value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// A string.
    Text,
    /// A string, number or truth, read as text.
    Scalar,
    /// A number, or the empty string for none.
    Number,
    /// A string that may hold a password: shown masked.
    Url,
    /// A path; empty for none.
    Path,
    /// A whole number in a range, both ends included.
    Whole(i64, i64),
    /// A number in a range, both ends included.
    Decimal(f64, f64),
    /// True or false.
    Switch,
    /// A size of at least so many bytes.
    Size(u64),
    /// A duration; with `true` it may be 0.
    Time(bool),
    /// One word of those known.
    Word(&'static Words),
    /// A list of words of those known.
    WordList(&'static Words),
    /// A list of strings.
    Texts,
    /// A list of whole numbers from 0 on, as user and group ids are.
    Ids,
    /// A table of strings.
    Map,
    /// An array of tables, whose fields are keys of their own.
    Rows,
}

/// The words that a key knows.
#[derive(Debug, PartialEq)]
pub(super) struct Words {
    /// Those that may be given.
    pub here: &'static [&'static str],
    /// Those that mean something, but not in this build.
    pub lacking: &'static [&'static str],
}

/// A value that has been read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    /// Of `Text`, `Scalar`, `Number`, `Url`, `Path` and `Word`.
    Text(String),
    /// Of `Whole`.
    Whole(i64),
    /// Of `Decimal`.
    Decimal(f64),
    /// Of `Switch`.
    Switch(bool),
    /// Of `Size`, in bytes.
    Size(u64),
    /// Of `Time`.
    Time(Duration),
    /// Of `Texts` and `WordList`.
    Texts(Vec<String>),
    /// Of `Ids`.
    Ids(Vec<u32>),
    /// Of `Rows`: how many there are.
    Rows(usize),
}

impl Kind {
    /// What a value of this kind is, with its unit.
    pub(super) fn description(self) -> String {
        match self {
            Self::Text => "a string".to_owned(),
            Self::Scalar => "a string, a number, true or false".to_owned(),
            Self::Number => "a number, or \"\" for none".to_owned(),
            Self::Url => "a URL as a string".to_owned(),
            Self::Path => "an absolute path".to_owned(),
            Self::Whole(min, max) => format!("a whole number from {min} to {max}"),
            Self::Decimal(min, max) => format!("a number from {min} to {max}"),
            Self::Switch => "true or false".to_owned(),
            Self::Size(0) => "bytes, or a size such as \"4GiB\" (KiB, MiB, GiB, TiB)".to_owned(),
            Self::Size(min) => {
                format!("bytes, or a size such as \"4GiB\" (KiB, MiB, GiB, TiB), at least {}", show_size(min))
            }
            Self::Time(true) => "a duration such as \"30s\" or \"1h30m\" (s, m, h, d), or \"0\"".to_owned(),
            Self::Time(false) => "a duration such as \"30s\" or \"1h30m\" (s, m, h, d)".to_owned(),
            Self::Word(words) => or_list(words.here),
            Self::WordList(words) => format!("a list out of {}", or_list(words.here)),
            Self::Texts => "a list of strings".to_owned(),
            Self::Ids => "a list of whole numbers from 0 on".to_owned(),
            Self::Map => "a table of strings".to_owned(),
            Self::Rows => "an array of tables".to_owned(),
        }
    }

    /// What would do, as the end of a message.
    pub(super) fn expected(self) -> String {
        format!("give {}", self.description())
    }

    /// The checked value.
    ///
    /// # Errors
    /// What it is and what would do.
    pub(super) fn read(self, value: &Value) -> Result<Data, String> {
        let text = string_of(value);
        let whole = whole_of(value);
        let list = || match &value.kind {
            ValueKind::Array(items) => Some(items),
            _ => None,
        };
        let read = match self {
            Self::Text | Self::Url | Self::Path => text.map(Data::Text),
            Self::Scalar => scalar_of(value).map(Data::Text),
            Self::Number => scalar_of(value)
                .filter(|text| text.is_empty() || text.parse::<f64>().is_ok_and(f64::is_finite))
                .map(Data::Text),
            Self::Whole(min, max) => whole.filter(|n| (min..=max).contains(n)).map(Data::Whole),
            Self::Decimal(min, max) => decimal_of(value).filter(|n| (min..=max).contains(n)).map(Data::Decimal),
            Self::Switch => match value.kind {
                ValueKind::Boolean(is) => Some(Data::Switch(is)),
                _ => None,
            },
            Self::Size(min) => {
                let bytes = whole.and_then(|n| u64::try_from(n).ok()).or_else(|| parse_size(&text?));
                bytes.filter(|n| *n >= min).map(Data::Size)
            }
            Self::Time(may_be_zero) => {
                let time = whole.filter(|n| *n == 0).map(|_| Duration::ZERO).or_else(|| parse_duration(&text?));
                time.filter(|time| may_be_zero || !time.is_zero()).map(Data::Time)
            }
            Self::Word(words) => {
                if let Some(text) = &text {
                    words.check("is", text, self)?;
                }
                text.map(Data::Text)
            }
            Self::WordList(words) => {
                let texts: Option<Vec<String>> = list().and_then(|items| items.iter().map(string_of).collect());
                texts.iter().flatten().try_for_each(|text| words.check("holds", text, self))?;
                texts.map(Data::Texts)
            }
            Self::Texts => {
                list().and_then(|items| items.iter().map(string_of).collect::<Option<Vec<_>>>()).map(Data::Texts)
            }
            Self::Ids => list().and_then(|items| items.iter().map(id_of).collect::<Option<Vec<_>>>()).map(Data::Ids),
            // Their parts are read one by one: whatever comes here is not of them.
            Self::Map | Self::Rows => None,
        };
        read.ok_or_else(|| format!("is {}; {}", self.show_raw(value), self.expected()))
    }

    /// The value of an environment variable or flag: text as it stands, lists with commas or as TOML, tables as TOML.
    ///
    /// # Errors
    /// What it is and what would do.
    pub(super) fn value_of_text(self, text: &str) -> Result<Value, String> {
        let plain = || Value::new(None, text);
        Ok(match self {
            Self::Text
            | Self::Scalar
            | Self::Number
            | Self::Url
            | Self::Path
            | Self::Word(_)
            | Self::Size(_)
            | Self::Time(_) => plain(),
            Self::Whole(..) => text.parse::<i64>().map_or_else(|_| plain(), |n| Value::new(None, n)),
            Self::Decimal(..) => text.parse::<f64>().map_or_else(|_| plain(), |n| Value::new(None, n)),
            Self::Switch => text.parse::<bool>().map_or_else(|_| plain(), |is| Value::new(None, is)),
            Self::Texts | Self::WordList(_) | Self::Ids if !text.starts_with('[') => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                let kind = items.map(|item| match (self, item.parse::<i64>()) {
                    (Self::Ids, Ok(id)) => Value::new(None, id),
                    (_, _) => Value::new(None, item),
                });
                Value::new(None, ValueKind::Array(kind.collect()))
            }
            Self::Texts | Self::WordList(_) | Self::Ids | Self::Map | Self::Rows => toml_value(text)
                .ok_or_else(|| format!("is {}; {}, as a TOML value", toml_string(&mask_urls(text)), self.expected()))?,
        })
    }

    /// The value as TOML text, with credentials masked.
    pub(super) fn show(self, data: &Data) -> String {
        match (self, data) {
            (Self::Url, Data::Text(text)) => toml_string(&mask_url(text)),
            (_, data) => data.show(),
        }
    }

    /// A value as it was given, for a message, with credentials masked.
    fn show_raw(self, value: &Value) -> String {
        match (self, &value.kind) {
            (Self::Url, ValueKind::String(text)) => toml_string(&mask_url(text)),
            (_, ValueKind::String(text)) => toml_string(&mask_urls(text)),
            (_, ValueKind::Float(n)) => format!("{n:?}"),
            (_, ValueKind::Table(_)) => "a table".to_owned(),
            (_, ValueKind::Array(items)) => {
                let items: Vec<String> = items.iter().map(|item| self.show_raw(item)).collect();
                format!("[{}]", items.join(", "))
            }
            (_, other) => other.to_string(),
        }
    }
}

impl Words {
    /// Refuses a word that may not be given, as part of `kind`.
    fn check(&self, verb: &str, word: &str, kind: Kind) -> Result<(), String> {
        if self.here.contains(&word) {
            return Ok(());
        }
        let why = if self.lacking.contains(&word) { ", which is not in this build" } else { "" };
        Err(format!("{verb} {}{why}; {}", toml_string(&mask_urls(word)), kind.expected()))
    }
}

impl Data {
    fn show(&self) -> String {
        match self {
            Self::Text(text) => toml_string(&mask_urls(text)),
            Self::Whole(n) => n.to_string(),
            Self::Decimal(n) => format!("{n:?}"),
            Self::Switch(is) => is.to_string(),
            Self::Size(bytes) => toml_string(&show_size(*bytes)),
            Self::Time(duration) => toml_string(&show_duration(*duration)),
            Self::Texts(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| toml_string(&mask_urls(text))).collect();
                format!("[{}]", texts.join(", "))
            }
            Self::Ids(ids) => format!("{ids:?}"),
            Self::Rows(_) => "[]".to_owned(),
        }
    }
}

/// The value of one TOML text, as it may stand after an equals sign.
pub(super) fn toml_value(text: &str) -> Option<Value> {
    let mut table = FileFormat::Toml.parse(None, &format!("value = {text}")).ok()?;
    (table.len() == 1).then(|| table.remove("value")).flatten()
}

/// A TOML basic string.
pub(super) fn toml_string(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 2);
    shown.push('"');
    for c in text.chars() {
        match c {
            '"' => shown.push_str("\\\""),
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if c.is_control() => write!(shown, "\\u{:04X}", u32::from(c)).expect("a String takes all"),
            c => shown.push(c),
        }
    }
    shown.push('"');
    shown
}

/// `"a", "b" or "c"`.
fn or_list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

fn string_of(value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::String(text) if !text.contains('\0') => Some(text.clone()),
        _ => None,
    }
}

fn scalar_of(value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::String(_) => string_of(value),
        ValueKind::I64(number) => Some(number.to_string()),
        ValueKind::Float(number) => Some(number.to_string()),
        ValueKind::Boolean(is) => Some(is.to_string()),
        _ => None,
    }
}

fn whole_of(value: &Value) -> Option<i64> {
    match value.kind {
        ValueKind::I64(n) => Some(n),
        _ => None,
    }
}

fn decimal_of(value: &Value) -> Option<f64> {
    match value.kind {
        ValueKind::Float(n) => Some(n),
        ValueKind::I64(n) => i32::try_from(n).ok().map(f64::from),
        _ => None,
    }
}

fn id_of(value: &Value) -> Option<u32> {
    whole_of(value).and_then(|n| u32::try_from(n).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOURS: Words = Words { here: &["red", "green"], lacking: &["blue"] };

    fn from_toml(kind: Kind, text: &str) -> Result<Data, String> {
        kind.read(&toml_value(text).expect("TOML"))
    }

    fn from_variable(kind: Kind, text: &str) -> Result<Data, String> {
        kind.read(&kind.value_of_text(text)?)
    }

    #[test]
    fn each_kind_reads_toml_and_variables_alike() {
        let pair = || Data::Texts(vec!["red".into(), "green".into()]);
        for (kind, toml, variable, data) in [
            (Kind::Text, "\"a b\"", "a b", Data::Text("a b".into())),
            (Kind::Scalar, "4.5", "4.5", Data::Text("4.5".into())),
            (Kind::Scalar, "true", "true", Data::Text("true".into())),
            (Kind::Number, "-3", "-3", Data::Text("-3".into())),
            (Kind::Whole(0, 9), "7", "7", Data::Whole(7)),
            (Kind::Decimal(0.0, 9.0), "1", "1", Data::Decimal(1.0)),
            (Kind::Decimal(0.0, 9.0), "0.5", "0.5", Data::Decimal(0.5)),
            (Kind::Switch, "true", "true", Data::Switch(true)),
            (Kind::Size(0), "1024", "1KiB", Data::Size(1024)),
            (Kind::Time(true), "0", "0", Data::Time(Duration::ZERO)),
            (Kind::Time(false), "\"1m\"", "1m", Data::Time(Duration::from_secs(60))),
            (Kind::Word(&COLOURS), "\"red\"", "red", Data::Text("red".into())),
            (Kind::WordList(&COLOURS), "[\"red\", \"green\"]", "red, green", pair()),
            (Kind::Texts, "[\"red\", \"green\"]", "[\"red\", \"green\"]", pair()),
            (Kind::Ids, "[1, 2]", "1,2", Data::Ids(vec![1, 2])),
        ] {
            assert_eq!(from_toml(kind, toml).as_ref(), Ok(&data), "{toml}");
            assert_eq!(from_variable(kind, variable).as_ref(), Ok(&data), "{variable}");
            assert_eq!(from_toml(kind, &kind.show(&data)).as_ref(), Ok(&data), "shown and read back");
        }
    }

    #[test]
    fn a_value_that_does_not_fit_says_what_it_is_and_what_would_do() {
        for (kind, toml, message) in [
            (Kind::Text, "3", "is 3; give a string"),
            (Kind::Number, "\"x\"", "is \"x\"; give a number, or \"\" for none"),
            (Kind::Whole(0, 9), "-1", "is -1; give a whole number from 0 to 9"),
            (Kind::Whole(0, 9), "\"7\"", "is \"7\"; give a whole number from 0 to 9"),
            (Kind::Decimal(0.0, 9.5), "nan", "is NaN; give a number from 0 to 9.5"),
            (Kind::Switch, "1", "is 1; give true or false"),
            (Kind::Size(1), "0", "is 0; give bytes, or a size such as \"4GiB\" (KiB, MiB, GiB, TiB), at least 1"),
            (Kind::Time(false), "\"0\"", "is \"0\"; give a duration such as \"30s\" or \"1h30m\" (s, m, h, d)"),
            (Kind::Time(true), "30", "is 30; give a duration such as \"30s\" or \"1h30m\" (s, m, h, d), or \"0\""),
            (Kind::Word(&COLOURS), "\"blue\"", "is \"blue\", which is not in this build; give \"red\" or \"green\""),
            (Kind::WordList(&COLOURS), "[\"x\"]", "holds \"x\"; give a list out of \"red\" or \"green\""),
            (Kind::Texts, "[1, \"a\"]", "is [1, \"a\"]; give a list of strings"),
            (Kind::Ids, "[-1]", "is [-1]; give a list of whole numbers from 0 on"),
            (Kind::Url, "{ a = 1 }", "is a table; give a URL as a string"),
            (Kind::Whole(0, 9), "\"http://u:p@h\"", "is \"http://***@h\"; give a whole number from 0 to 9"),
        ] {
            assert_eq!(from_toml(kind, toml), Err(message.to_owned()));
        }
        assert_eq!(from_variable(Kind::Rows, "[{"), Err("is \"[{\"; give an array of tables, as a TOML value".into()));
    }
}
