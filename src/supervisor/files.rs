//! The files that a job's parameters ask for: values of parameters of that kind, and those of UPLOAD (DALI 1.1 §3.4.5).

use std::collections::{BTreeMap, HashSet};

use crate::config::Service;
use crate::domain::jdl::ValueKind;
use crate::domain::{Parameter, Upload, Work, strip_credentials};

use super::acceptable::refuse;
use super::denied::Denied;
use super::inputs::PARAMETERS;

/// The parameter that gives names to files.
const UPLOAD: &str = "UPLOAD";

/// The upload that a value means: `param:PART`, or the URL that it was fetched from.
pub(super) fn upload<'a>(work: &'a Work, value: &str) -> Option<&'a Upload> {
    let part = value.strip_prefix("param:");
    work.uploads.iter().find(|upload| match part {
        Some(part) => upload.name == part,
        None => upload.source.as_deref() == Some(value),
    })
}

/// The names that UPLOAD parameters give to uploads (DALI 1.1 §3.4.5), as far as they are others than the uploads' own.
pub(super) fn table_names(work: &Work) -> BTreeMap<String, &Upload> {
    let given = work.parameters.iter().filter(|given| is_upload(given));
    given
        .filter_map(|given| {
            let (name, uri) = given.value.split_once(',')?;
            let upload = upload(work, uri)?;
            (upload.name != name).then(|| (name.to_owned(), upload))
        })
        .collect()
}

/// Gives work the files that came with a change of it. Earlier ones go that no parameter asks for any more, or that came
/// anew; one that was fetched makes way for an earlier one of its name.
pub(super) fn give<'a>(service: &Service, work: &mut Work, arrived: impl Iterator<Item = &'a Upload>) {
    let arrived: Vec<&Upload> = arrived.collect();
    let is_anew = |old: &Upload| {
        arrived.iter().any(|new| match &new.source {
            None => new.name == old.name,
            source => *source == old.source,
        })
    };
    let asked: HashSet<&str> = work
        .parameters
        .iter()
        .filter_map(|parameter| match parameter.value.split_once(',') {
            Some((_, uri)) if is_upload(parameter) => Some(uri),
            _ => is_file(service, parameter).then_some(parameter.value.as_str()),
        })
        .filter_map(|uri| upload(work, uri))
        .map(|upload| upload.file.as_str())
        .collect();
    let mut kept: Vec<Upload> = Vec::new();
    kept.extend(work.uploads.iter().filter(|old| asked.contains(old.file.as_str()) && !is_anew(old)).cloned());
    for new in arrived {
        let name = if new.source.is_some() { Upload::free_name(&new.name, &kept) } else { new.name.clone() };
        kept.push(Upload { name, ..new.clone() });
    }
    work.uploads = kept;
}

/// Whether a parameter is declared to be a file.
fn is_file(service: &Service, parameter: &Parameter) -> bool {
    let declaration = service.program.jdl().and_then(|jdl| jdl.find(&parameter.name));
    declaration.is_some_and(|declaration| declaration.kind == ValueKind::File)
}

fn is_upload(parameter: &Parameter) -> bool {
    parameter.name.eq_ignore_ascii_case(UPLOAD)
}

/// Every file is asked for by a parameter, and every parameter for a file that is there (UWS 1.1 §2.2.3.1.1).
///
/// # Errors
/// [`Denied::Unacceptable`].
pub(super) fn check(service: &Service, work: &Work) -> Result<(), Denied> {
    let mut asked: HashSet<&str> = HashSet::new();
    let mut places: HashSet<String> = work.uploads.iter().map(|upload| upload.name.clone()).collect();
    for parameter in &work.parameters {
        let uri = if is_upload(parameter) {
            let Some((table, uri)) = parameter.value.split_once(',').filter(|(table, _)| is_table(table)) else {
                let shown = strip_credentials(&parameter.value);
                let why = format!("UPLOAD is {shown:?}; give NAME,URI, as in mytable,param:PART");
                return refuse(UPLOAD, why);
            };
            let own = upload(work, uri).is_some_and(|upload| upload.name == table);
            if !own && !places.insert(table.to_owned()) {
                return refuse(UPLOAD, format!("UPLOAD gives the name {table:?} to two files; give each its own"));
            }
            uri
        } else if is_file(service, parameter) {
            parameter.value.as_str()
        } else {
            continue;
        };
        let Some(upload) = upload(work, uri) else {
            let (name, shown) = (&parameter.name, strip_credentials(uri));
            let why = format!("{name} asks for {shown:?}, and no file part of that name came with the request");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_found_by_part_by_url_and_by_table() {
        let upload = |name: &str, source: Option<&str>| Upload {
            name: name.to_owned(),
            media_type: None,
            size: 1,
            file: String::new(),
            source: source.map(str::to_owned),
        };
        let table = |value: &str| Parameter { name: "upload".to_owned(), value: value.to_owned() };
        let work = Work {
            uploads: vec![upload("cat", None), upload("t2", Some("https://x/y"))],
            parameters: vec![table("t1,param:cat"), table("t2,https://x/y"), table("t3,param:none")],
            ..Work::of_command("")
        };
        assert_eq!(super::upload(&work, "param:cat").map(|found| found.name.as_str()), Some("cat"));
        assert_eq!(super::upload(&work, "https://x/y").map(|found| found.name.as_str()), Some("t2"));
        assert_eq!(super::upload(&work, "cat"), None);
        assert_eq!(table_names(&work).keys().collect::<Vec<_>>(), ["t1"]);
    }
}
