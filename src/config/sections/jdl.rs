//! What the jobs of a service run: a shell for the caller's command, or a program with typed parameters.

use super::super::reader::Reader;
use super::super::types::{Example, Program};
use crate::domain::jdl::{Declaration, Jdl, Pattern, Template, ValueKind};

const NAME: &str = "give a letter, then letters, digits and \"_\"";

/// Names that every service knows already.
const TAKEN: [&str; 9] =
    ["PHASE", "RUNID", "DESTRUCTION", "EXECUTIONDURATION", "KILL_GRACE", "ACTION", "WAIT", "UPLOAD", "VALUE"];

/// The word of `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Integer,
    Real,
    Boolean,
    Enum,
    Timestamp,
    Uri,
    File,
}

/// Reads what the jobs of the service at `path` run.
pub(super) fn program(r: &mut Reader, path: &str) -> Program {
    let at = |leaf: &str| format!("{path}.{leaf}");
    let shell = r.texts(&at("shell"));
    let words = r.texts(&at("command"));
    let (declarations, flagged) = declarations(r, &at("parameters"));
    if words.is_empty() {
        if shell.first().is_none_or(String::is_empty) {
            r.refuse(&at("shell"), "give the program and words before the command, such as [\"/bin/sh\", \"-c\"]");
        }
        if !declarations.is_empty() {
            r.problem(&at("parameters"), "are of a service with a command; give command too".to_owned());
        }
        return Program::Shell(shell);
    }
    if r.is_configured(&at("shell")) && !shell.is_empty() {
        r.problem(&at("shell"), "stands beside command; give one of the two".to_owned());
    }
    r.show(&at("shell"), "[]");
    if path == "service.ocps" {
        let why =
            "cannot be given: the JSON API, which serves this service, sends free commands; name the service otherwise";
        r.problem(&at("command"), why.to_owned());
    }
    let flagged: Vec<&str> = flagged.iter().map(String::as_str).collect();
    let command = Template::parse(&words, &declarations, &flagged).unwrap_or_else(|why| {
        r.problem(&at("command"), why.to_string());
        Template::default()
    });
    Program::Command(Jdl { declarations, command })
}

fn declarations(r: &mut Reader, path: &str) -> (Vec<Declaration>, Vec<String>) {
    let mut declarations: Vec<Declaration> = Vec::new();
    let mut flagged = Vec::new();
    for n in 0..r.rows(path) {
        let row = format!("{path}[{n}]");
        let key = format!("{row}.name");
        let Some(declaration) = declaration(r, &row) else { continue };
        if declarations.iter().any(|other| other.name.eq_ignore_ascii_case(&declaration.name)) {
            r.refuse(&key, "another parameter has it: give each name once, whatever the case of its letters");
        }
        if TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(&declaration.name)) {
            r.refuse(&key, "every service has that one already: give another");
        }
        if r.switch(&format!("{row}.flag")) {
            flagged.push(declaration.name.clone());
        }
        declarations.push(declaration);
    }
    (declarations, flagged)
}

fn declaration(r: &mut Reader, row: &str) -> Option<Declaration> {
    let at = |leaf: &str| format!("{row}.{leaf}");
    let name = r.checked(&at("name"), NAME, name);
    let kind = kind(r, row);
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let (unit, ucd) = (given(r.text(&at("unit"))), given(r.text(&at("ucd"))));
    let default = given(r.scalar(&at("default")));
    let [min, max] = ["min", "max"].map(|leaf| r.number(&at(leaf)));
    let pattern = r.optional(&at("pattern"), "give a regular expression", |text| Pattern::new(text).ok());
    let description = r.text(&at("description"));
    let (is_required, is_multiple) = (r.switch(&at("required")), r.switch(&at("multiple")));
    let declaration =
        Declaration { name: name?, kind, unit, ucd, default, is_required, is_multiple, min, max, pattern, description };
    if let Err(why) = declaration.verify() {
        r.problem(&at("name"), format!("names a parameter that does not hold together: {why}"));
    }
    if declaration.is_required && declaration.default.is_some() {
        r.refuse(&at("required"), "a parameter with a default is never missing: leave one of the two out");
    }
    if declaration.kind == ValueKind::File && declaration.default.is_some() {
        r.refuse(&at("default"), "a file has none: leave it out");
    }
    Some(declaration)
}

fn kind(r: &mut Reader, row: &str) -> ValueKind {
    let word = r.word(
        &format!("{row}.type"),
        &[
            ("string", Type::Text),
            ("integer", Type::Integer),
            ("real", Type::Real),
            ("boolean", Type::Boolean),
            ("enum", Type::Enum),
            ("timestamp", Type::Timestamp),
            ("uri", Type::Uri),
            ("file", Type::File),
        ],
    );
    let key = format!("{row}.values");
    let values = r.texts(&key);
    if word == Type::Enum && values.is_empty() {
        r.refuse(&format!("{row}.type"), "give its words too, as values = [\"a\", \"b\"]");
    } else if word != Type::Enum && !values.is_empty() {
        r.refuse(&key, "only an enum has them: leave them out");
    }
    match word {
        Type::Text => ValueKind::Text,
        Type::Integer => ValueKind::Integer,
        Type::Real => ValueKind::Real,
        Type::Boolean => ValueKind::Boolean,
        Type::Enum => ValueKind::Enum(values),
        Type::Timestamp => ValueKind::Timestamp,
        Type::Uri => ValueKind::Uri,
        Type::File => ValueKind::File,
    }
}

/// Reads the examples of the service at `path`; those of typed parameters have to be ones that a job could have.
pub(super) fn examples(r: &mut Reader, path: &str, program: &Program) -> Vec<Example> {
    let rows = format!("{path}.examples");
    let mut examples: Vec<Example> = Vec::new();
    for n in 0..r.rows(&rows) {
        let row = format!("{rows}[{n}]");
        let key = format!("{row}.id");
        let id = r.checked(&key, NAME, name);
        let title = r.text(&format!("{row}.name"));
        let description = r.text(&format!("{row}.description"));
        let parameters = r.entries(&format!("{row}.parameters"));
        let Some(id) = id else { continue };
        if examples.iter().any(|other| other.id == id) {
            r.refuse(&key, "another example has it: give each id once");
        }
        if let Program::Command(jdl) = program {
            for (name, value) in &parameters {
                let unfit = match jdl.find(name) {
                    Some(declaration) => declaration.check(value).err(),
                    None => Some("is none of the service's parameters".to_owned()),
                };
                if let Some(why) = unfit {
                    r.problem(&format!("{row}.parameters.{name}"), why);
                }
            }
        }
        examples.push(Example { id, name: title, description, parameters });
    }
    examples
}

fn name(text: &str) -> Option<String> {
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.len() <= 64;
    is_name.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_name_is_fit_for_variables_and_braces() {
        assert!(["RA", "a_1"].iter().all(|good| name(good).is_some()));
        assert!(["", "1a", "a-b", "a b", "ä", "_a"].iter().all(|bad| name(bad).is_none()));
    }
}
