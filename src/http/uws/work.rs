//! From form fields to what a job is asked to do (contract §4) and to its controls (UWS 1.1 §2.1.11).

use std::time::Duration;

use super::fields::Fields;
use super::instant;
use super::query::is_digits;
use crate::domain::{Parameter, RunId, Source, Timestamp, Variable, Work};
use crate::http::form::Field;
use crate::http::program;
use crate::http::reply::ApiError;
use crate::http::xml::can_carry;
use crate::supervisor::Asked;

/// The longest name of a parameter.
const LONGEST_NAME: usize = 256;

/// Controls that stand among the parameters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Controls {
    /// RUNID; an empty one is none.
    pub(super) run_id: Option<RunId>,
    /// EXECUTIONDURATION.
    pub(super) execution_duration: Asked<Option<Duration>>,
    /// DESTRUCTION.
    pub(super) destruction: Asked<Option<Timestamp>>,
}

impl Controls {
    /// Takes the controls out of the fields.
    ///
    /// # Errors
    /// [`ApiError::Malformed`] with the parameter's name and what would do.
    pub(super) fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        let run_id = fields.take("RUNID")?.filter(|text| !text.is_empty()).map(|text| run_id(&text)).transpose()?;
        Ok(Self { run_id, execution_duration: take_duration(fields)?, destruction: take_destruction(fields)? })
    }
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

/// Takes DESTRUCTION: an instant; an empty one asks for the latest there is.
///
/// # Errors
/// [`ApiError::Malformed`].
pub(super) fn take_destruction(fields: &mut Fields) -> Result<Asked<Option<Timestamp>>, ApiError> {
    let Some(text) = fields.take("DESTRUCTION")? else { return Ok(Asked::Default) };
    let text = text.trim();
    Ok(Asked::For(if text.is_empty() { None } else { Some(instant::parse("DESTRUCTION", text)?) }))
}

/// What the job of a free-command service is asked to do, as posted by the client.
#[derive(Debug, Default)]
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
    pub(super) fn of(mut fields: Fields) -> Result<Self, ApiError> {
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

    /// The work of a new job.
    pub(super) fn into_work(self) -> Work {
        self.applied_to(Work {
            command: String::new(),
            source: Some(Source::default()),
            environment: Vec::new(),
            replicas: 1,
            parameters: Vec::new(),
        })
    }

    /// The work with this posted to it: ENVIRONMENT is added to, everything else replaced.
    pub(super) fn applied_to(self, mut work: Work) -> Work {
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
        let is_replaced = |old: &Parameter| self.others.iter().any(|new| new.name.eq_ignore_ascii_case(&old.name));
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
