//! `get`: results as local files, each there whole or not at all.

use std::path::{Component, Path, PathBuf};

use serde_json::json;
use tokio::fs;
use tokio::io::{AsyncWriteExt as _, BufWriter};
use uuid::Uuid;

use super::{Ending, Failure, Output};
use crate::client::{Client, ClientError, JobResult};
use crate::domain::JobId;

pub(super) async fn get(
    client: &Client,
    id: JobId,
    wanted: Option<&str>,
    to: Option<PathBuf>,
    output: &mut Output<'_>,
) -> Result<Ending, Failure> {
    let job = client.job(id).await?;
    // Not success, though there is nothing to fetch: the job may have left what is gone.
    if let Some(why) = job.files_gone() {
        return Err(Failure::FilesGone(why));
    }
    let results = job.results;
    let Some(wanted) = wanted else {
        if to.as_deref() == Some(Path::new("-")) {
            return Err(Failure::Usage("name the one result that goes to standard output".to_owned()));
        }
        let dir = to.unwrap_or_else(|| PathBuf::from("."));
        let mut told = Ok(());
        for result in results.iter().filter(|result| !result.is_log) {
            let path = dir.join(safe_path(&result.id)?);
            match fetch(client, id, result, &path, output).await {
                // Whoever reads the names may have gone away; the files are wanted all the same.
                Err(failure) if failure.is_broken_pipe() => told = Err(failure),
                done => done?,
            }
        }
        return told.map(|()| Ending::Done);
    };
    let result = results.iter().find(|result| result.id == wanted);
    let result = result.ok_or_else(|| Failure::NoResult(wanted.to_owned()))?;
    let path = match to {
        Some(path) if path == Path::new("-") => {
            client.download(id, result, &mut 0, output.out).await?;
            return Ok(Ending::Done);
        }
        Some(path) if is_directory(&path).await => path.join(file_name(&result.id)?),
        Some(path) => path,
        None => file_name(&result.id)?,
    };
    fetch(client, id, result, &path, output).await?;
    Ok(Ending::Done)
}

/// Fetches `result` as `path`: under another name beside it until it is whole.
async fn fetch(
    client: &Client,
    id: JobId,
    result: &JobResult,
    path: &Path,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let failed = |source| Failure::File { path: path.display().to_string(), source };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).await.map_err(failed)?;
    }
    // Not with the name in it, which may be as long as names can be.
    let part = path.with_file_name(format!(".uwsctl-{}.part", Uuid::new_v4().simple()));
    let written = match write(client, id, result, &part).await {
        Ok(size) => fs::rename(&part, path).await.map(|()| size).map_err(failed),
        Err(ClientError::Output(source)) => Err(failed(source)),
        Err(error) => Err(error.into()),
    };
    let size = match written {
        Ok(size) => size,
        Err(failure) => {
            // Best effort: what failed first is what is told.
            let _ = fs::remove_file(&part).await;
            return Err(failure);
        }
    };
    if output.json {
        output.document(&json!({"id": result.id, "path": path.to_string_lossy(), "size": size})).await
    } else {
        output.text(&format!("{}\n", path.display())).await
    }
}

async fn write(client: &Client, id: JobId, result: &JobResult, part: &Path) -> Result<u64, ClientError> {
    let file = fs::OpenOptions::new().write(true).create_new(true).open(part).await.map_err(ClientError::Output)?;
    let mut file = BufWriter::with_capacity(256 * 1024, file);
    let mut size = 0;
    client.download(id, result, &mut size, &mut file).await?;
    file.flush().await.map_err(ClientError::Output)?;
    file.get_ref().sync_all().await.map_err(ClientError::Output)?;
    Ok(size)
}

/// Whether `path` is meant as a directory.
async fn is_directory(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/") || fs::metadata(path).await.is_ok_and(|facts| facts.is_dir())
}

/// The path of a result below the directory it is fetched into: the name comes from a job and may try to lead elsewhere.
fn safe_path(name: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(name);
    let is_safe = !name.is_empty()
        && !name.ends_with('/')
        && !name.contains(char::is_control)
        && path.components().all(|part| matches!(part, Component::Normal(_)));
    if is_safe { Ok(path.to_owned()) } else { Err(Failure::UnsafeName(name.to_owned())) }
}

/// The last part of it.
fn file_name(name: &str) -> Result<PathBuf, Failure> {
    let path = safe_path(name)?;
    path.file_name().map(PathBuf::from).ok_or_else(|| Failure::UnsafeName(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a/", ".", "./x", "a\nb", "a\0"] {
            assert!(safe_path(bad).is_err(), "{bad:?}");
        }
        assert_eq!(safe_path("a/b c/ü.fits").expect("fine"), Path::new("a/b c/ü.fits"));
        assert_eq!(file_name("a/b.fits").expect("fine"), Path::new("b.fits"));
    }
}
