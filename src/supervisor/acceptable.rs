//! What a service makes of the work that a client asks for: refused, or brought into the service's own form.

use std::collections::HashSet;

use crate::config::{Program, Service};
use crate::domain::jdl::{Unfit, ValueKind};
use crate::domain::{Upload, Work};

use super::denied::Denied;
use super::inputs::PARAMETERS;
use super::plan::{UPLOAD, upload};

/// The longest single variable of a Linux program, its name included (`MAX_ARG_STRLEN`).
const LONGEST: usize = 131_071;

/// The work of a job that may still be changed: every value is one of its kind, and every file has its place.
///
/// # Errors
/// [`Denied::Unacceptable`].
pub(super) fn work(service: &Service, mut work: Work) -> Result<Work, Denied> {
    if let Program::Command(jdl) = &service.program {
        work.parameters = jdl.settle(work.parameters).map_err(unfit)?;
    }
    uploads(service, &work)?;
    Ok(work)
}

/// The same of a job that is to run: nothing is missing.
///
/// # Errors
/// [`Denied::Unacceptable`].
pub(super) fn complete(service: &Service, mut work: Work) -> Result<Work, Denied> {
    match &service.program {
        Program::Shell(_) if work.command.trim().is_empty() => {
            refuse("COMMAND", "COMMAND is missing: give the command that the job runs".to_owned())
        }
        Program::Shell(_) => Ok(work),
        Program::Command(jdl) => {
            work.parameters = jdl.complete(work.parameters).map_err(unfit)?;
            for declaration in &jdl.declarations {
                let name = &declaration.name;
                let values = work.parameters.iter().filter(|given| given.name == *name);
                let length: usize = values.map(|given| given.value.len() + 1).sum();
                if length + "UWS_PARAM_".len() + name.len() > LONGEST {
                    let why = format!("{name} is longer than {LONGEST} bytes, the most that a program can be given");
                    return refuse(name, why);
                }
            }
            Ok(work)
        }
    }
}

fn unfit(unfit: Unfit) -> Denied {
    Denied::Unacceptable { field: unfit.name, why: unfit.why }
}

fn refuse<T>(field: &str, why: String) -> Result<T, Denied> {
    Err(Denied::Unacceptable { field: field.to_owned(), why })
}

/// Every file is asked for by a parameter, and every parameter for a file that is there (UWS 1.1 §2.2.3.1.1).
fn uploads(service: &Service, work: &Work) -> Result<(), Denied> {
    let jdl = service.program.jdl();
    let is_file =
        |name: &str| jdl.and_then(|jdl| jdl.find(name)).is_some_and(|declaration| declaration.kind == ValueKind::File);
    let mut asked: HashSet<&str> = HashSet::new();
    let mut places: HashSet<String> = work.uploads.iter().map(|upload| upload.name.clone()).collect();
    for parameter in &work.parameters {
        let uri = if is_file(&parameter.name) {
            parameter.value.as_str()
        } else if parameter.name.eq_ignore_ascii_case(UPLOAD) {
            let Some((table, uri)) = parameter.value.split_once(',').filter(|(table, _)| is_table(table)) else {
                let why = format!("UPLOAD is {:?}; give NAME,URI, as in mytable,param:PART", parameter.value);
                return refuse(UPLOAD, why);
            };
            let own = upload(work, uri).is_some_and(|upload| upload.name == table);
            if !own && !places.insert(table.to_owned()) {
                return refuse(UPLOAD, format!("UPLOAD gives the name {table:?} to two files; give each its own"));
            }
            uri
        } else {
            continue;
        };
        let Some(upload) = upload(work, uri) else {
            let name = &parameter.name;
            let why = format!("{name} asks for {uri:?}, and no file part of that name came with the request");
            return refuse(name, why);
        };
        asked.insert(&upload.name);
    }
    let mut seen: HashSet<&str> = HashSet::new();
    for Upload { name, .. } in &work.uploads {
        if !is_place(name) {
            let why = format!(
                "the file part {name:?} cannot be kept under that name; give letters, digits, '-', '.' and '_', not a \
                 '.' first, and not {PARAMETERS}"
            );
            return refuse(name, why);
        }
        if !seen.insert(name) {
            return refuse(name, format!("two file parts are called {name:?}; give each a name of its own"));
        }
        if !asked.contains(name.as_str()) {
            let why = format!("nothing asks for the file part {name:?}; give UPLOAD=NAME,param:{name}");
            return refuse(name, why);
        }
    }
    Ok(())
}

/// The name of a table: a letter, then letters, digits and `_` (DALI 1.1 §3.4.5).
fn is_table(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.len() <= 64
}

/// Whether a file of this name may lie in the job's `in` directory.
fn is_place(name: &str) -> bool {
    let is_form = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (1..=128).contains(&name.len()) && name.bytes().all(is_form) && !name.starts_with('.') && name != PARAMETERS
}
