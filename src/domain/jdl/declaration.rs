//! One parameter of a service: what its values may be.

use regex::Regex;
use url::Url;

use crate::domain::{Timestamp, strip_credentials};

/// What the values of a parameter are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueKind {
    /// Any text.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A finite decimal number.
    Real,
    /// `true`, `false`, `1` or `0` (DALI 1.1 §3.3).
    Boolean,
    /// One of these words.
    Enum(Vec<String>),
    /// An instant in UTC.
    Timestamp,
    /// An absolute URI.
    Uri,
    /// A file that is handed in: `param:PART` for a part of the request, or a URL where those are allowed.
    File,
}

impl ValueKind {
    /// Whether the empty text is a value, and not as good as none.
    #[must_use]
    pub const fn may_be_empty(&self) -> bool {
        matches!(self, Self::Text)
    }
}

/// A regular expression that a whole value has to match.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: String,
    regex: Regex,
}

impl Pattern {
    /// The pattern of this text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(source: &str) -> Result<Self, String> {
        let regex = Regex::new(&format!("^(?:{source})$")).map_err(|error| error.to_string())?;
        Ok(Self { source: source.to_owned(), regex })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// A parameter that a service declares.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    /// The name, in the service's spelling.
    pub name: String,
    /// What its values are.
    pub kind: ValueKind,
    /// The unit of its values, as VO services write it.
    pub unit: Option<String>,
    /// The UCD of its values.
    pub ucd: Option<String>,
    /// The value where none is given.
    pub default: Option<String>,
    /// Whether a job cannot run without it.
    pub is_required: bool,
    /// Whether it may have several values.
    pub is_multiple: bool,
    /// The least number.
    pub min: Option<f64>,
    /// The greatest number.
    pub max: Option<f64>,
    /// What a whole value has to match.
    pub pattern: Option<Pattern>,
    /// What it is, for people.
    pub description: String,
}

/// Why a parameter cannot be declared so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDeclaration {
    /// The default is no value of it.
    #[error("{0}")]
    Default(String),
    /// A range is for numbers.
    #[error("only integer and real parameters have a range: leave min and max out")]
    Range,
    /// Nothing is in the range.
    #[error("min is greater than max")]
    EmptyRange,
}

impl Declaration {
    /// A parameter of which nothing else is said: single-valued and optional.
    #[must_use]
    pub fn new(name: &str, kind: ValueKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            unit: None,
            ucd: None,
            default: None,
            is_required: false,
            is_multiple: false,
            min: None,
            max: None,
            pattern: None,
            description: String::new(),
        }
    }

    /// Looks whether it can be declared so.
    ///
    /// # Errors
    /// [`BadDeclaration`].
    pub fn verify(&self) -> Result<(), BadDeclaration> {
        let is_number = matches!(self.kind, ValueKind::Integer | ValueKind::Real);
        if !is_number && (self.min.is_some() || self.max.is_some()) {
            return Err(BadDeclaration::Range);
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            return Err(BadDeclaration::EmptyRange);
        }
        self.default.as_deref().map_or(Ok(()), |default| self.check(default).map_err(BadDeclaration::Default))
    }

    /// Looks whether a text is a value of it.
    ///
    /// # Errors
    /// A sentence that names it, the text, and what would do.
    pub fn check(&self, text: &str) -> Result<(), String> {
        let is_value = match &self.kind {
            ValueKind::Text => !text.contains('\0'),
            #[expect(clippy::cast_precision_loss, reason = "a range is in decimals")]
            ValueKind::Integer => text.parse::<i64>().is_ok_and(|number| self.is_within(number as f64)),
            ValueKind::Real => text.parse::<f64>().is_ok_and(|number| number.is_finite() && self.is_within(number)),
            ValueKind::Boolean => truth(text).is_some(),
            ValueKind::Enum(words) => words.iter().any(|word| word == text),
            ValueKind::Timestamp => Timestamp::parse(text).is_some(),
            ValueKind::Uri => is_uri(text),
            ValueKind::File => text.strip_prefix("param:").is_some_and(|part| !part.is_empty()) || is_web(text),
        };
        let fits = self.pattern.as_ref().is_none_or(|pattern| pattern.regex.is_match(text));
        if is_value && fits {
            return Ok(());
        }
        let is_address = matches!(self.kind, ValueKind::Uri | ValueKind::File);
        let shown = if is_address { &strip_credentials(text) } else { text };
        Err(format!("{} is {}; give {}", self.name, quoted(shown), self.expected()))
    }

    /// What would do as a value.
    #[must_use]
    pub fn expected(&self) -> String {
        let kind = match &self.kind {
            ValueKind::Text => "a text".to_owned(),
            ValueKind::Integer => "a whole number".to_owned(),
            ValueKind::Real => "a real number".to_owned(),
            ValueKind::Boolean => "true or false".to_owned(),
            ValueKind::Enum(words) => format!("one of {}", words.join(", ")),
            ValueKind::Timestamp => "an instant in UTC like 2031-03-04T08:15:00.250Z".to_owned(),
            ValueKind::Uri => "an absolute URI".to_owned(),
            ValueKind::File => {
                "a file: a part of a multipart request, as param:PART if the part has another name".to_owned()
            }
        };
        let range = match (self.min, self.max) {
            (Some(min), Some(max)) => format!(" from {min} to {max}"),
            (Some(min), None) => format!(" of {min} or more"),
            (None, Some(max)) => format!(" of {max} or less"),
            (None, None) => String::new(),
        };
        let unit = self.unit.as_ref().map_or_else(String::new, |unit| format!(" in {unit}"));
        let pattern = self.pattern.as_ref();
        let pattern = pattern.map_or_else(String::new, |pattern| format!(" that matches {}", pattern.source));
        format!("{kind}{range}{unit}{pattern}")
    }

    fn is_within(&self, number: f64) -> bool {
        self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
    }
}

/// The truth that a text means, if it means one.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        word if word.eq_ignore_ascii_case("true") => Some(true),
        word if word.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn is_uri(text: &str) -> bool {
    !text.contains(|c: char| c.is_whitespace() || c.is_control()) && Url::parse(text).is_ok()
}

fn is_web(text: &str) -> bool {
    is_uri(text) && Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

/// A text for a message: not longer than somebody reads.
fn quoted(text: &str) -> String {
    const MOST: usize = 80;
    if text.chars().count() <= MOST {
        return format!("{text:?}");
    }
    format!("{:?}…", text.chars().take(MOST).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(declaration: &Declaration, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(declaration.check(text), Ok(()), "{text}");
        }
        for text in bad {
            assert!(declaration.check(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_kind_takes_its_values_and_no_others() {
        let of = |kind| Declaration::new("X", kind);
        takes(&of(ValueKind::Text), &["", "a\nb", "ü"], &["a\0"]);
        takes(
            &of(ValueKind::Integer),
            &["0", "-7", "9223372036854775807"],
            &["", "1.0", "x", " 1", "9223372036854775808"],
        );
        takes(&of(ValueKind::Real), &["0", "-1.5e3", ".5"], &["", "NaN", "inf", "1,5", "1e999"]);
        takes(&of(ValueKind::Boolean), &["true", "FALSE", "1", "0"], &["", "yes", "2"]);
        takes(&of(ValueKind::Enum(vec!["g".to_owned()])), &["g"], &["G", ""]);
        takes(&of(ValueKind::Timestamp), &["2031-03-04", "2031-03-04T08:15:00Z"], &["", "now", "2031-02-30"]);
        takes(&of(ValueKind::Uri), &["ivo://a/b", "https://x/?y"], &["", "x", "https://a b"]);
        takes(&of(ValueKind::File), &["param:a", "https://x/f.fits"], &["", "param:", "file:///etc/passwd", "a"]);
    }

    #[test]
    fn ranges_and_patterns_are_held_and_told() {
        let ra = Declaration {
            min: Some(0.0),
            max: Some(360.0),
            unit: Some("deg".to_owned()),
            ..Declaration::new("RA", ValueKind::Real)
        };
        takes(&ra, &["0", "360"], &["-0.1", "361"]);
        assert_eq!(ra.check("361").expect_err("too large"), "RA is \"361\"; give a real number from 0 to 360 in deg");
        let pattern = Some(Pattern::new("[a-z]{2}").expect("a pattern"));
        takes(&Declaration { pattern, ..Declaration::new("C", ValueKind::Text) }, &["ab"], &["a", "abc", "ab\n"]);
        assert!(Pattern::new("(").is_err());
    }

    #[test]
    fn a_declaration_that_contradicts_itself_is_refused() {
        let integer = || Declaration::new("N", ValueKind::Integer);
        let bad_default = Declaration { default: Some("x".to_owned()), ..integer() };
        assert!(matches!(bad_default.verify(), Err(BadDeclaration::Default(_))));
        let empty = Declaration { min: Some(2.0), max: Some(1.0), ..integer() };
        assert_eq!(empty.verify(), Err(BadDeclaration::EmptyRange));
        let text = Declaration { min: Some(2.0), ..Declaration::new("T", ValueKind::Text) };
        assert_eq!(text.verify(), Err(BadDeclaration::Range));
    }
}
