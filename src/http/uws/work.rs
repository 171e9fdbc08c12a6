//! From form fields to what a job is asked to do (contract §4) and to its controls (UWS 1.1 §2.1.11).

use std::time::Duration;

use super::fields::Fields;
use super::instant;
use super::query::is_digits;
use crate::config::{Program, Service};
use crate::domain::jdl::ValueKind;
use crate::domain::{Parameter, RunId, Source, Timestamp, Upload, Variable, Work};
use crate::http::form::Field;
use crate::http::program;
use crate::http::reply::ApiError;
use crate::http::seconds;
use crate::http::xml::can_carry;
use crate::supervisor::{Asked, Terms};

/// The longest name of a parameter.
const LONGEST_NAME: usize = 256;

/// Takes the controls out of the fields: RUNID, of which an empty one is none, EXECUTIONDURATION, DESTRUCTION and
/// `KILL_GRACE`.
///
/// # Errors
/// [`ApiError::Malformed`] with the parameter's name and what would do.
pub(super) fn take_terms(fields: &mut Fields) -> Result<Terms, ApiError> {
    let run_id = fields.take("RUNID")?.filter(|text| !text.is_empty()).map(|text| run_id(&text)).transpose()?;
    Ok(Terms {
        run_id,
        execution_duration: take_duration(fields)?,
        destruction: take_destruction(fields)?,
        kill_grace: take_grace(fields)?,
    })
}

fn run_id(text: &str) -> Result<RunId, ApiError> {
    if text.chars().any(char::is_control) || !can_carry(text) {
        return Err(ApiError::Malformed("RUNID holds a control character; give printable text".to_owned()));
    }
    RunId::parse_uws(text).map_err(|why| ApiError::Malformed(format!("RUNID: {why}")))
}

/// Takes EXECUTIONDURATION: whole seconds, 0 is without limit (UWS 1.1 §2.1.4).
///
/// # Errors
/// [`ApiError::Malformed`].
pub(super) fn take_duration(fields: &mut Fields) -> Result<Asked<Option<Duration>>, ApiError> {
    let Some(text) = fields.take("EXECUTIONDURATION")? else { return Ok(Asked::Default) };
    let text = text.trim();
    if !is_digits(text) {
        let why = format!("EXECUTIONDURATION is {text:?}; give a whole number of seconds, 0 for no limit");
        return Err(ApiError::Malformed(why));
    }
    // What no number can hold is more than any limit, to which it is lowered.
    let seconds = text.parse().unwrap_or(u64::MAX);
    Ok(Asked::For((seconds > 0).then(|| Duration::from_secs(seconds))))
}

/// Takes `KILL_GRACE`: seconds, whole or not, between TERM and KILL.
fn take_grace(fields: &mut Fields) -> Result<Asked<Duration>, ApiError> {
    let Some(text) = fields.take("KILL_GRACE")? else { return Ok(Asked::Default) };
    let refusal = || ApiError::Malformed(format!("KILL_GRACE is {text:?}; give {}", seconds::WANTED));
    seconds::parse(text.trim()).map(Asked::For).ok_or_else(refusal)
}

/// Takes DESTRUCTION: an instant; an empty one asks for the latest there is.
///
/// # Errors
/// [`ApiError::Malformed`].
pub(super) fn take_destruction(fields: &mut Fields) -> Result<Asked<Option<Timestamp>>, ApiError> {
    let Some(text) = fields.take("DESTRUCTION")? else { return Ok(Asked::Default) };
    let text = text.trim();
    Ok(Asked::For(if text.is_empty() { None } else { Some(instant::parse("DESTRUCTION", text)?) }))
}

/// The parameters of a free-command service that are no files, whatever a part of them is called.
const FREE: [&str; 5] = ["COMMAND", "URL", "COMMIT_REF", "ENVIRONMENT", "REPLICAS"];
/// The parameters that every service takes as text.
const CONTROLS: [&str; 7] = ["PHASE", "RUNID", "EXECUTIONDURATION", "DESTRUCTION", "KILL_GRACE", "ACTION", "UPLOAD"];

/// Whether a multipart part of this name is a text for the service, also if it was sent as a file.
pub(super) fn is_text(service: &Service, name: &str) -> bool {
    let is_among = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    is_among(&CONTROLS)
        || match &service.program {
            Program::Shell(_) => is_among(&FREE),
            Program::Command(jdl) => jdl.find(name).is_some_and(|declaration| declaration.kind != ValueKind::File),
        }
}

/// What a job is asked to do, as posted by the client.
#[derive(Debug, Clone, Default)]
pub(super) struct Posted {
    command: Option<String>,
    url: Option<String>,
    commit_ref: Option<String>,
    environment: Vec<Variable>,
    replicas: Option<u32>,
    others: Vec<Parameter>,
}

impl Posted {
    /// Reads what is left of the fields once the controls are taken; names that the service does not know are kept.
    ///
    /// # Errors
    /// [`ApiError::Malformed`] with the parameter's name and what would do.
    pub(super) fn of(service: &Service, fields: Fields) -> Result<Self, ApiError> {
        match &service.program {
            Program::Shell(_) => Self::free(fields),
            Program::Command(_) => Self::typed(fields),
        }
    }

    fn free(mut fields: Fields) -> Result<Self, ApiError> {
        let mut text = |name| {
            let value = fields.take(name)?;
            program::argument(name, value.as_deref().unwrap_or_default())?;
            Ok::<_, ApiError>(value)
        };
        let (command, url, commit_ref) = (text("COMMAND")?, text("URL")?, text("COMMIT_REF")?);
        let environment = fields.take_all("ENVIRONMENT");
        let environment = environment.iter().enumerate().map(variable).collect::<Result<_, _>>()?;
        let replicas = fields.take("REPLICAS")?.map(|text| replicas(&text)).transpose()?;
        let others = fields.rest().into_iter().map(other).collect::<Result<_, _>>()?;
        Ok(Self { command, url, commit_ref, environment, replicas, others })
    }

    fn typed(fields: Fields) -> Result<Self, ApiError> {
        let others = fields.rest().into_iter().map(|(name, value)| {
            program::argument(&name, &value)?;
            other((name, value))
        });
        Ok(Self { others: others.collect::<Result<_, _>>()?, ..Self::default() })
    }

    /// The values that ask for a file, each with the name that its parameter has for it.
    pub(super) fn files(&self, service: &Service) -> Vec<(String, String)> {
        let is_file = |name: &str| {
            let declaration = service.program.jdl().and_then(|jdl| jdl.find(name));
            declaration.is_some_and(|declaration| declaration.kind == ValueKind::File)
        };
        let mut files = Vec::new();
        for Parameter { name, value } in &self.others {
            if is_file(name) {
                files.push((name.clone(), value.clone()));
            } else if name.eq_ignore_ascii_case("UPLOAD")
                && let Some((table, uri)) = value.split_once(',')
            {
                files.push((table.to_owned(), uri.to_owned()));
            }
        }
        files
    }

    /// Lets a file part that has the name of a parameter be that parameter's value.
    pub(super) fn claim(&mut self, service: &Service, parts: &[Upload]) {
        for part in parts {
            let declaration = service.program.jdl().and_then(|jdl| jdl.find(&part.name));
            let Some(declaration) = declaration.filter(|declaration| declaration.kind == ValueKind::File) else {
                continue;
            };
            let value = format!("param:{}", part.name);
            if !self.others.iter().any(|other| other.value == value) {
                self.others.push(Parameter { name: declaration.name.clone(), value });
            }
        }
    }

    /// The work of a new job.
    pub(super) fn into_work(self, service: &Service) -> Work {
        self.applied_to(service, Work { source: Some(Source::default()), ..Work::of_command("") })
    }

    /// The work with this posted to it: what may have several values is added to, everything else replaced.
    pub(super) fn applied_to(self, service: &Service, mut work: Work) -> Work {
        if let Some(command) = self.command {
            work.command = command;
        }
        if let Some(url) = self.url {
            work.source.get_or_insert_default().url = url;
        }
        if let Some(commit_ref) = self.commit_ref {
            work.source.get_or_insert_default().commit_ref = commit_ref;
        }
        if let Some(replicas) = self.replicas {
            work.replicas = replicas;
        }
        work.environment.extend(self.environment);
        let is_multiple = |name: &str| {
            let declaration = service.program.jdl().and_then(|jdl| jdl.find(name));
            declaration.is_some_and(|declaration| declaration.is_multiple)
        };
        // Of UPLOAD each value is about the table that it names first.
        let table = |parameter: &Parameter| {
            let is_upload = parameter.name.eq_ignore_ascii_case("UPLOAD");
            is_upload.then(|| parameter.value.split(',').next().unwrap_or_default().to_owned())
        };
        let is_replaced = |old: &Parameter| {
            !is_multiple(&old.name)
                && self.others.iter().any(|new| new.name.eq_ignore_ascii_case(&old.name) && table(new) == table(old))
        };
        work.parameters.retain(|old| !is_replaced(old));
        work.parameters.extend(self.others);
        work
    }
}

fn variable((index, text): (usize, &String)) -> Result<Variable, ApiError> {
    let field = format!("ENVIRONMENT {}", index + 1);
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| ApiError::Malformed(format!("{field} has no '='; give ENVIRONMENT as NAME=VALUE")))?;
    program::variable(&field, name.to_owned(), value.to_owned())
}

fn replicas(text: &str) -> Result<u32, ApiError> {
    let number = text.trim().parse().ok().filter(|_| is_digits(text.trim()));
    number.ok_or_else(|| ApiError::Malformed(format!("REPLICAS is {text:?}; give a whole number of 1 or more")))
}

/// A name stands in an attribute of the XML and in URLs.
fn other((name, value): Field) -> Result<Parameter, ApiError> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        let why = format!("a parameter's name has {} bytes; give 1 to {LONGEST_NAME}", name.len());
        return Err(ApiError::Malformed(why));
    }
    if name.chars().any(char::is_control) || !can_carry(&name) {
        return Err(ApiError::Malformed(format!("the parameter name {name:?} holds a control character")));
    }
    Ok(Parameter { name, value })
}
