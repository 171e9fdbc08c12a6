//! Files that a job's parameters ask for by URL (DALI 1.1 §3.4.5): fetched before the job is accepted.

use tokio::time::Instant;
use url::Url;

use crate::domain::{Upload, strip_credentials};
use crate::http::Api;
use crate::http::reply::ApiError;
use crate::http::web;
use crate::supervisor::Staged;

use super::intake::not_kept;

/// How many URLs one request may give.
const MOST_URLS: usize = 100;

/// Whether any of `files`, a name and a URI each, is at an http or https URL.
///
/// # Errors
/// [`ApiError::Malformed`] if one of them has a login in it: it is not sent, and would be shown with the job.
pub(super) fn is_needed(files: &[(String, String)]) -> Result<bool, ApiError> {
    if let Some((name, _)) = files.iter().find(|(_, uri)| is_web(uri) && has_login(uri)) {
        let why = format!("{name}: files are fetched without a login; leave the part of the URL before '@' out");
        return Err(ApiError::Malformed(why));
    }
    Ok(files.iter().any(|(_, uri)| is_web(uri)))
}

/// Fetches those of `files` that are at an http or https URL, all within the time for one request.
///
/// # Errors
/// [`ApiError::Malformed`] if that is not allowed here, or did not work; [`ApiError::TooLarge`].
pub(super) async fn missing(
    api: &Api,
    files: &[(String, String)],
    staged: &mut Option<Staged>,
) -> Result<(), ApiError> {
    let config = api.config.get();
    let settings = &config.uploads;
    let mut left = settings.max_size;
    if let Some(staged) = staged {
        left = left.saturating_sub(staged.files().iter().map(|file| file.size).sum());
    }
    if files.iter().filter(|(_, uri)| is_web(uri)).count() > MOST_URLS {
        let why = format!("more than {MOST_URLS} URLs came with the request; put their files into an archive");
        return Err(ApiError::Malformed(why));
    }
    let deadline = Instant::now() + settings.url_timeout;
    for (name, uri) in files.iter().filter(|(_, uri)| is_web(uri)) {
        let is_there = |staged: &Staged| staged.files().iter().any(|file| file.source.as_deref() == Some(uri));
        if staged.as_ref().is_some_and(is_there) {
            continue;
        }
        if !settings.from_urls {
            let why = format!("{name}: files are not fetched from URLs here; send the file itself, as param:PART");
            return Err(ApiError::Malformed(why));
        }
        if staged.is_none() {
            *staged = Some(api.handle.uploads().stage().await.map_err(not_kept)?);
        }
        let Some(staged) = staged else { continue };
        let name = Upload::free_name(name, staged.files());
        let fetching = one(api, name.clone(), uri, staged, &mut left);
        let fetched = tokio::time::timeout_at(deadline, fetching).await;
        fetched.unwrap_or_else(|_| {
            let within = settings.url_timeout.as_secs();
            let shown = strip_credentials(uri);
            let why = format!("{name}: {shown} did not arrive within the {within} s that a request's files may take");
            Err(ApiError::Malformed(why))
        })?;
    }
    Ok(())
}

async fn one(api: &Api, name: String, uri: &str, staged: &mut Staged, left: &mut u64) -> Result<(), ApiError> {
    let config = api.config.get();
    let settings = &config.uploads;
    let shown = strip_credentials(uri);
    let refused = |why: web::WebError| ApiError::Malformed(format!("{name}: {shown} cannot be fetched: {why}"));
    let mut answer = api.web.get(&config, uri).await.map_err(refused)?;
    let mut arriving =
        staged.begin(name.clone(), answer.media_type.clone(), Some(uri.to_owned())).await.map_err(not_kept)?;
    while let Some(piece) = answer.next().await.map_err(refused)? {
        let size = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        *left = left.checked_sub(size).ok_or(ApiError::TooLarge { limit: settings.max_size })?;
        arriving.write(&piece).await.map_err(not_kept)?;
    }
    staged.keep(arriving).await.map_err(not_kept)
}

fn has_login(uri: &str) -> bool {
    Url::parse(uri).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
}

fn is_web(uri: &str) -> bool {
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}
