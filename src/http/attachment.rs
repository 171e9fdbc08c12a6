//! How a result's file is described: its media type, and a name to save it under.

use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use warp::reply::Response;

/// What RFC 5987 §3.2.1 wants encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The media type of a file, by its name.
pub(super) fn media_type(path: &str) -> &'static str {
    mime_guess::from_path(file_name(path)).first_raw().unwrap_or("application/octet-stream")
}

/// Marks an answer as the file at `path` of a job's output, to be saved and not to be shown.
pub(super) fn describe(response: &mut Response, path: &str) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type(path)));
    headers.insert(CONTENT_DISPOSITION, attachment(file_name(path)));
    // Should a browser show it all the same, nothing in it runs with our origin.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A name to save under, in the old and the new form (RFC 6266 §4.3).
fn attachment(name: &str) -> HeaderValue {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/' | '%') || c == ' ';
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let encoded = utf8_percent_encode(name, ENCODED);
    HeaderValue::try_from(format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"))
        .expect("visible ASCII only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_leave_its_quotes_or_line() {
        for (name, expected) in [
            ("a.txt", "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt"),
            ("a\"; x=\\y\r\n", "attachment; filename=\"a_; x=_y__\"; filename*=UTF-8''a%22%3B%20x%3D%5Cy%0D%0A"),
            ("bild ä.fits", "attachment; filename=\"bild _.fits\"; filename*=UTF-8''bild%20%C3%A4.fits"),
        ] {
            assert_eq!(attachment(name), expected);
        }
    }
}
