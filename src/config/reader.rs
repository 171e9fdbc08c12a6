//! Turns settings into typed values, one key at a time, and keeps what was read for `uwsd check`.

use std::path::PathBuf;
use std::time::Duration;

use super::keys::{self, Key};
use super::kind::{Data, Kind, toml_string, toml_value};
use super::problem::{Origin, Problem};
use super::settings::{Setting, Settings};

/// One key of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The key, as `service.ocps.memory` or `server.listener[0].address`.
    pub key: String,
    /// The value as TOML text, with credentials masked.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Reads settings; what is unfit is noted and replaced, so that all of it is found in one go.
#[derive(Debug)]
pub(super) struct Reader {
    settings: Settings,
    effective: Vec<Effective>,
    warnings: Vec<String>,
}

impl Reader {
    pub const fn new(settings: Settings) -> Self {
        Self { settings, effective: Vec::new(), warnings: Vec::new() }
    }

    pub fn finish(self) -> (Vec<Effective>, Vec<String>, Vec<Problem>) {
        (self.effective, self.warnings, self.settings.problems)
    }

    pub fn services(&self) -> Vec<String> {
        self.settings.services().to_vec()
    }

    /// Where the value of a key comes from.
    pub fn origin(&self, path: &str) -> Origin {
        self.settings.get(path).map_or(Origin::Default, |setting| setting.origin.clone())
    }

    pub fn is_configured(&self, path: &str) -> bool {
        self.origin(path).is_configured()
    }

    pub fn text(&mut self, path: &str) -> String {
        match self.take(path) {
            Some(Data::Text(text)) => text,
            other => unfit(path, other.as_ref()).unwrap_or_default(),
        }
    }

    /// A string, number or truth as text.
    pub fn scalar(&mut self, path: &str) -> String {
        self.text(path)
    }

    /// A number, if there is one.
    pub fn number(&mut self, path: &str) -> Option<f64> {
        self.text(path).parse().ok()
    }

    /// What the word of a key means; `meanings` has every word that the key knows.
    pub fn word<T: Copy>(&mut self, path: &str, meanings: &[(&str, T)]) -> T {
        let word = self.text(path);
        let found = meanings.iter().find(|(known, _)| *known == word);
        found.map(|(_, meaning)| *meaning).expect("a test tries every word of every key")
    }

    pub fn whole<T: TryFrom<i64> + Default>(&mut self, path: &str) -> T {
        match self.take(path) {
            Some(Data::Whole(n)) => T::try_from(n).ok().expect("the key's range fits the type"),
            other => unfit(path, other.as_ref()).unwrap_or_default(),
        }
    }

    pub fn decimal(&mut self, path: &str) -> f64 {
        match self.take(path) {
            Some(Data::Decimal(n)) => n,
            other => unfit(path, other.as_ref()).unwrap_or_default(),
        }
    }

    pub fn switch(&mut self, path: &str) -> bool {
        match self.take(path) {
            Some(Data::Switch(is)) => is,
            other => unfit(path, other.as_ref()).unwrap_or_default(),
        }
    }

    pub fn size(&mut self, path: &str) -> u64 {
        match self.take(path) {
            Some(Data::Size(bytes)) => bytes,
            other => unfit(path, other.as_ref()).unwrap_or_default(),
        }
    }

    pub fn time(&mut self, path: &str) -> Duration {
        match self.take(path) {
            Some(Data::Time(duration)) => duration,
            other => unfit(path, other.as_ref()).unwrap_or_default(),
        }
    }

    pub fn texts(&mut self, path: &str) -> Vec<String> {
        match self.take(path) {
            Some(Data::Texts(texts)) => texts,
            other => unfit(path, other.as_ref()).unwrap_or_default(),
        }
    }

    pub fn ids(&mut self, path: &str) -> Vec<u32> {
        match self.take(path) {
            Some(Data::Ids(ids)) => ids,
            other => unfit(path, other.as_ref()).unwrap_or_default(),
        }
    }

    /// How many rows the array of tables has.
    pub fn rows(&mut self, path: &str) -> usize {
        match self.take(path) {
            Some(Data::Rows(count)) => count,
            other => unfit(path, other.as_ref()).unwrap_or_default(),
        }
    }

    /// The entries of a table of strings, in name order.
    pub fn entries(&mut self, path: &str) -> Vec<(String, String)> {
        let entries = self.settings.entries(path);
        if entries.is_empty() {
            self.note(path, "{}".to_owned(), Origin::Default);
        }
        let mut texts = Vec::with_capacity(entries.len());
        for (name, Setting { data, origin }) in entries {
            self.note(&format!("{path}.{name}"), Kind::Text.show(&data), origin);
            if let Data::Text(text) = data {
                texts.push((name, text));
            }
        }
        texts
    }

    /// What `check` makes of a text; a text that it refuses is noted, with what would do instead.
    pub fn checked<T>(&mut self, path: &str, expected: &str, check: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let Some(Data::Text(text)) = self.take(path) else { return None };
        let value = check(&text);
        if value.is_none() {
            self.refuse(path, expected);
        }
        value
    }

    /// As [`Self::checked`], but an empty text means none.
    pub fn optional<T>(&mut self, path: &str, expected: &str, check: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.checked(path, expected, |text| if text.is_empty() { Some(None) } else { check(text).map(Some) }).flatten()
    }

    /// What `check` makes of each text of a list.
    pub fn each<T>(&mut self, path: &str, expected: &str, check: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let texts = self.texts(path);
        let values: Vec<T> = texts.iter().filter_map(|text| check(text)).collect();
        if values.len() < texts.len() {
            self.refuse(path, expected);
        }
        values
    }

    /// An absolute path; flags and variables may give one relative to the working directory.
    pub fn path(&mut self, path: &str) -> Option<PathBuf> {
        let may_be_relative = matches!(self.origin(path), Origin::Flag(_) | Origin::Variable(_));
        let file = self.optional(path, &Kind::Path.expected(), |text| {
            let file = PathBuf::from(text);
            if may_be_relative { std::path::absolute(file).ok() } else { Some(file).filter(|file| file.is_absolute()) }
        })?;
        self.show(path, &toml_string(&file.to_string_lossy()));
        Some(file)
    }

    /// Whether something wrong with the key was noted.
    pub fn is_refused(&self, path: &str) -> bool {
        self.settings.problems.iter().any(|known| known.key.as_deref() == Some(path))
    }

    /// Notes that the value of a key does not do.
    pub fn refuse(&mut self, path: &str, expected: &str) {
        let shown = self.effective.iter().rev().find(|known| known.key == path).map(|known| known.value.clone());
        self.problem(path, format!("is {}; {expected}", shown.unwrap_or_else(|| "unset".to_owned())));
    }

    /// Notes something wrong with a key.
    pub fn problem(&mut self, path: &str, what: String) {
        let origin = self.origin(path);
        self.settings.problem(path, &origin, what);
    }

    pub fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// Shows, of a key that was read, what became of its value.
    pub fn show(&mut self, path: &str, value: &str) {
        if let Some(known) = self.effective.iter_mut().rev().find(|known| known.key == path) {
            value.clone_into(&mut known.value);
        }
    }

    /// Shows, of a key that was read, the value that was worked out for it, and from what.
    pub fn derive(&mut self, path: &str, value: &str, from: Origin) {
        self.show(path, value);
        if let Some(known) = self.effective.iter_mut().rev().find(|known| known.key == path)
            && !known.origin.is_configured()
        {
            known.origin = from;
        }
    }

    /// The value of a key, else its default; `None` if it has to be given and was not, which is then noted.
    fn take(&mut self, path: &str) -> Option<Data> {
        let key = keys::find(&keys::pattern_of(path)).unwrap_or_else(|| panic!("{path} stands in the table of keys"));
        let Some(setting) = self.settings.get(path).cloned().or_else(|| default_of(key)) else {
            let row = path.rsplit_once('[').map_or(path, |(rows, _)| rows);
            let origin = self.origin(row);
            if !self.is_refused(path) {
                self.settings.problem(path, &origin, format!("is missing; {}", key.kind.expected()));
            }
            return None;
        };
        let is_shown_by_parts = matches!(setting.data, Data::Rows(count) if count > 0);
        if !is_shown_by_parts {
            self.note(path, key.kind.show(&setting.data), setting.origin);
        }
        Some(setting.data)
    }

    fn note(&mut self, path: &str, value: String, origin: Origin) {
        self.effective.push(Effective { key: path.to_owned(), value, origin });
    }
}

fn default_of(key: &Key) -> Option<Setting> {
    if key.default.is_empty() {
        return None;
    }
    let data = match key.kind {
        Kind::Rows => Data::Rows(0),
        kind => {
            let value = toml_value(key.default).expect("a test reads every default");
            kind.read(&value).expect("a test reads every default")
        }
    };
    Some(Setting { data, origin: Origin::Default })
}

/// Reading a key as another kind than the table says is a mistake in this program that every start would show.
fn unfit<T>(path: &str, data: Option<&Data>) -> Option<T> {
    assert!(data.is_none(), "{path} is read as the kind that it has in the table of keys");
    None
}
