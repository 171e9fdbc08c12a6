//! What a job finds in its `in` directory: its uploads, and its typed parameters as `parameters.json` (contract §5).

use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use super::files::table_names;
use super::plan::shown;
use super::uploads::Uploads;
use crate::config::Service;
use crate::domain::Job;
use crate::domain::jdl::{Declaration, Jdl, ValueKind, truth};

/// The document with the typed parameters.
pub(super) const PARAMETERS: &str = "parameters.json";

/// Fills the directory `input`. Blocks: files are copied.
pub(super) fn fill(input: &Path, job: &Job, service: &Service, uploads: &Uploads) -> io::Result<()> {
    for upload in &job.work.uploads {
        std::fs::copy(uploads.path(job.id, upload), input.join(&upload.name))?;
        make_readable(&input.join(&upload.name))?;
    }
    for (name, upload) in table_names(&job.work) {
        std::fs::hard_link(input.join(&upload.name), input.join(name))?;
    }
    if let Some(jdl) = service.program.jdl() {
        let path = input.join(PARAMETERS);
        std::fs::write(&path, serde_json::to_vec_pretty(&document(jdl, job))?)?;
        make_readable(&path)?;
    }
    Ok(())
}

/// The daemon keeps uploads to itself; a job of another user reads its copy.
fn make_readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

/// The declared parameters by name, with their defaults: numbers and truths as such, several values as a list.
fn document(jdl: &Jdl, job: &Job) -> Value {
    // What does not fit the service never comes this far: a job is asked for its invocation first.
    let settled = jdl.settle(job.work.parameters.clone()).and_then(|settled| jdl.complete(settled));
    let parameters = settled.unwrap_or_else(|_| job.work.parameters.clone());
    let mut document = Map::new();
    for declaration in &jdl.declarations {
        let given = parameters.iter().filter(|given| given.name == declaration.name);
        let mut values: Vec<Value> = given.map(|given| value(declaration, job, &given.value)).collect();
        let value = match (declaration.is_multiple, values.len()) {
            (_, 0) => continue,
            (false, _) => values.swap_remove(0),
            (true, _) => Value::Array(values),
        };
        document.insert(declaration.name.clone(), value);
    }
    Value::Object(document)
}

fn value(declaration: &Declaration, job: &Job, text: &str) -> Value {
    let typed = match &declaration.kind {
        ValueKind::Integer => text.parse::<i64>().ok().map(Value::from),
        ValueKind::Real => text.parse::<f64>().ok().map(Value::from),
        ValueKind::Boolean => truth(text).map(Value::from),
        ValueKind::Text | ValueKind::Enum(_) | ValueKind::Timestamp | ValueKind::Uri | ValueKind::File => None,
    };
    typed.unwrap_or_else(|| Value::String(shown(job.id, &job.work, declaration, text)))
}
