//! The main file and its drop-ins.

use std::io;
use std::path::{Path, PathBuf};

use config::{FileFormat, Format};

use super::problem::{Origin, Problem};
use super::settings::Settings;

/// Takes over the main file, then the drop-ins beside it, in name order.
///
/// A main file that was named must exist; the directory `conf.d` beside it need not. Of a main file that is not called
/// `uwsd.toml` it is `NAME.conf.d`: a second instance on the host does not read what is meant for the first.
pub(super) fn apply(main: &Path, is_named: bool, settings: &mut Settings) {
    apply_file(main, is_named, settings);
    let directory = match main.file_stem() {
        Some(name) if name != "uwsd" => main.with_file_name(format!("{}.conf.d", name.to_string_lossy())),
        Some(_) | None => main.with_file_name("conf.d"),
    };
    match drop_ins(&directory) {
        Ok(files) => files.iter().for_each(|file| apply_file(file, true, settings)),
        Err(e) => file_problem(settings, &directory, format!("cannot be read: {e}; make it readable")),
    }
}

fn drop_ins(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    // Hidden files are what editors leave behind.
    files.retain(|file| {
        file.extension().is_some_and(|extension| extension == "toml")
            && file.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
    });
    files.sort();
    Ok(files)
}

fn apply_file(path: &Path, must_exist: bool, settings: &mut Settings) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound && !must_exist => return,
        Err(e) => {
            let what = match e.kind() {
                io::ErrorKind::NotFound => "does not exist; give a file that does".to_owned(),
                io::ErrorKind::IsADirectory => "is a directory; give a file".to_owned(),
                io::ErrorKind::InvalidData => "is no UTF-8 text; save it as UTF-8".to_owned(),
                _ => format!("cannot be read: {e}; make it readable"),
            };
            return file_problem(settings, path, what);
        }
    };
    let uri = path.to_string_lossy().into_owned();
    match FileFormat::Toml.parse(Some(&uri), &text) {
        Ok(table) => settings.take_table("", &table, &Origin::File(path.to_owned())),
        Err(e) => file_problem(settings, path, syntax_problem(&text, e.as_ref())),
    }
}

/// What is wrong in a text that is no TOML. The line itself is not shown: it may hold a password.
fn syntax_problem(text: &str, error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    match error.downcast_ref::<toml::de::Error>() {
        Some(error) => {
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
            format!("line {line}: {}; give TOML", error.message().replace('\n', ", "))
        }
        None => format!("{error}; give TOML"),
    }
}

fn file_problem(settings: &mut Settings, path: &Path, what: String) {
    settings.problems.push(Problem { key: None, origin: Origin::File(path.to_owned()), what });
}
