//! A program with arguments in which `{NAME}` stands for the value of a parameter. An argv, never a shell's line.

use super::Declaration;

/// The program and its arguments, before the values are known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template(Vec<Argument>);

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Argument {
    /// The argument before it that comes and goes with it.
    flag: Option<String>,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The value of the parameter of this name.
    Value(String),
}

/// Why words are no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// There is no program.
    #[error("is empty; give a program, and its arguments")]
    Empty,
    /// The program is the value of a parameter.
    #[error("begins with {0:?}; give a program that no caller chooses")]
    Program(String),
    /// A brace that is no part of `{NAME}`.
    #[error("holds {0:?}; write {{NAME}} for a parameter, and {{{{ or }}}} for a brace")]
    Brace(String),
    /// There is no such parameter.
    #[error("names {{{0}}}, which is none of the service's parameters")]
    Unknown(String),
    /// Two parameters of one argument may have several values.
    #[error("holds {0:?}: two parameters of one argument may not both have several values")]
    TwoMultiple(String),
    /// The argument of a parameter that brings a flag has none before it.
    #[error("has no argument before {0:?} that could be the flag of {1}")]
    NoFlag(String, String),
}

impl Template {
    /// Reads the words of a command; the parameters named in `flagged` bring the argument before them as their flag.
    ///
    /// # Errors
    /// [`BadTemplate`].
    pub fn parse(words: &[String], declarations: &[Declaration], flagged: &[&str]) -> Result<Self, BadTemplate> {
        let find = |name: &str| declarations.iter().find(|known| known.name.eq_ignore_ascii_case(name));
        let mut arguments: Vec<Argument> = Vec::with_capacity(words.len());
        for word in words {
            let pieces = pieces(word)?;
            let mut known = Vec::new();
            for piece in &pieces {
                if let Piece::Value(name) = piece {
                    known.push(find(name).ok_or_else(|| BadTemplate::Unknown(name.clone()))?);
                }
            }
            if known.iter().filter(|declaration| declaration.is_multiple).count() > 1 {
                return Err(BadTemplate::TwoMultiple(word.clone()));
            }
            let mut flag = None;
            if let Some(bringing) = known.iter().find(|known| flagged.contains(&known.name.as_str())) {
                // The first word is the program, and no flag.
                let before = (arguments.len() > 1).then(|| arguments.pop()).flatten().filter(Argument::is_fixed);
                let before = before.ok_or_else(|| BadTemplate::NoFlag(word.clone(), bringing.name.clone()))?;
                flag = Some(before.text());
            }
            arguments.push(Argument { flag, pieces });
        }
        match arguments.first() {
            None => Err(BadTemplate::Empty),
            Some(program) if !program.is_fixed() || program.text().is_empty() => {
                Err(BadTemplate::Program(words[0].clone()))
            }
            Some(_) => Ok(Self(arguments)),
        }
    }

    /// The argv, with the values that `values` has for each name: none drops an argument, several repeat it.
    pub(super) fn fill(&self, values: impl Fn(&str) -> Vec<String>) -> Vec<String> {
        let mut argv = Vec::with_capacity(self.0.len());
        for Argument { flag, pieces } in &self.0 {
            let filled: Vec<(&Piece, Vec<String>)> = pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Text(_) => (piece, Vec::new()),
                    Piece::Value(name) => (piece, values(name)),
                })
                .collect();
            let is_absent =
                |(piece, values): &(&Piece, Vec<String>)| matches!(piece, Piece::Value(_)) && values.is_empty();
            if filled.iter().any(is_absent) {
                continue;
            }
            let times = filled.iter().map(|(_, values)| values.len()).max().unwrap_or(0).max(1);
            for time in 0..times {
                argv.extend(flag.clone());
                argv.push(filled.iter().map(|(piece, values)| piece.at(time, values)).collect());
            }
        }
        argv
    }
}

impl Argument {
    fn is_fixed(&self) -> bool {
        self.flag.is_none() && self.pieces.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    fn text(&self) -> String {
        self.pieces.iter().map(|piece| piece.at(0, &[])).collect()
    }
}

impl Piece {
    /// What stands for it the `time`-th time; a single value stands every time.
    fn at<'a>(&'a self, time: usize, values: &'a [String]) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::Value(_) => values.get(time).or(values.first()).map_or("", String::as_str),
        }
    }
}

fn pieces(word: &str) -> Result<Vec<Piece>, BadTemplate> {
    let brace = || BadTemplate::Brace(word.to_owned());
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let found = &rest[at..];
        if let Some(after) = found.strip_prefix("{{") {
            text.push('{');
            rest = after;
        } else if let Some(after) = found.strip_prefix("}}") {
            text.push('}');
            rest = after;
        } else {
            let (name, after) = found.strip_prefix('{').and_then(|inner| inner.split_once('}')).ok_or_else(brace)?;
            if name.is_empty() || name.contains('{') {
                return Err(brace());
            }
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Value(name.to_owned()));
            rest = after;
        }
    }
    text.push_str(rest);
    if !text.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::jdl::ValueKind;

    fn parse(words: &[&str], flagged: &[&str]) -> Result<Template, BadTemplate> {
        let many = |name| Declaration { is_multiple: true, ..Declaration::new(name, ValueKind::Text) };
        let declarations = [Declaration::new("A", ValueKind::Text), many("M"), many("N")];
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Template::parse(&words, &declarations, flagged)
    }

    #[test]
    fn braces_stand_for_values_and_doubled_ones_for_themselves() {
        let template = parse(&["p", "{{a}}={a}", "x{A}y", ""], &[]).expect("a template");
        assert_eq!(template.fill(|_| vec!["{M}".to_owned()]), ["p", "{a}={M}", "x{M}y", ""]);
        assert_eq!(template.fill(|_| Vec::new()), ["p", ""]);
    }

    #[test]
    fn a_flag_comes_and_goes_with_its_values() {
        let template = parse(&["p", "-m", "{M}", "-a", "{A}"], &["M"]).expect("a template");
        let values = |name: &str| if name == "M" { vec!["1".to_owned(), "2".to_owned()] } else { Vec::new() };
        assert_eq!(template.fill(values), ["p", "-m", "1", "-m", "2", "-a"]);
        assert_eq!(template.fill(|_| Vec::new()), ["p", "-a"]);
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (words, flagged, expected) in [
            (&[][..], &[][..], BadTemplate::Empty),
            (&[""], &[], BadTemplate::Program(String::new())),
            (&["{A}"], &[], BadTemplate::Program("{A}".to_owned())),
            (&["p", "{A"], &[], BadTemplate::Brace("{A".to_owned())),
            (&["p", "a}"], &[], BadTemplate::Brace("a}".to_owned())),
            (&["p", "{}"], &[], BadTemplate::Brace("{}".to_owned())),
            (&["p", "{B}"], &[], BadTemplate::Unknown("B".to_owned())),
            (&["p", "{M}{N}"], &[], BadTemplate::TwoMultiple("{M}{N}".to_owned())),
            (&["p", "{A}", "{M}"], &["M"], BadTemplate::NoFlag("{M}".to_owned(), "M".to_owned())),
            (&["p", "{M}"], &["M"], BadTemplate::NoFlag("{M}".to_owned(), "M".to_owned())),
        ] {
            assert_eq!(parse(words, flagged), Err(expected), "{words:?}");
        }
    }
}
