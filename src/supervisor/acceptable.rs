//! What a service makes of the work that a client asks for: refused, or brought into the service's own form.

use crate::config::{Program, Service};
use crate::domain::Work;
use crate::domain::jdl::Unfit;

use super::denied::Denied;
use super::files;
use super::image;
use super::limits;

/// The longest single variable of a Linux program, its name included (`MAX_ARG_STRLEN`).
const LONGEST: usize = 131_071;

/// The work of a job that may still be changed: every value is one of its kind, every file has its place, and the grace
/// is no longer than the service lets.
///
/// # Errors
/// [`Denied::Unacceptable`].
pub(super) fn work(service: &Service, work: Work) -> Result<Work, Denied> {
    let mut work = values(service, work)?;
    work.kill_grace = work.kill_grace.map(|asked| limits::kill_grace(service, asked));
    files::check(service, &work)?;
    Ok(work)
}

/// The same as far as it can be known before the files are there: every value is one of its kind, and the image one
/// that it may have.
///
/// # Errors
/// [`Denied::Unacceptable`].
pub(super) fn values(service: &Service, mut work: Work) -> Result<Work, Denied> {
    image::of(service, &work).map_err(unfit)?;
    if let Program::Command(jdl) = &service.program {
        work.parameters = jdl.settle(work.parameters).map_err(unfit)?;
    }
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

pub(super) fn refuse<T>(field: &str, why: String) -> Result<T, Denied> {
    Err(Denied::Unacceptable { field: field.to_owned(), why })
}
