//! Form fields, from a query, an url-encoded body or a multipart body; values are kept byte for byte.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use multer::Multipart;
use percent_encoding::percent_decode;

use super::reply::ApiError;

/// A name and its value.
pub(super) type Field = (String, String);

/// The fields of `name=value&name=value`; empty pieces are left out.
///
/// # Errors
/// [`ApiError::Malformed`] for bytes that are no UTF-8: nothing is replaced.
pub(super) fn urlencoded(text: &[u8]) -> Result<Vec<Field>, ApiError> {
    let pieces = text.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty());
    pieces
        .map(|piece| {
            let at = piece.iter().position(|byte| *byte == b'=').unwrap_or(piece.len());
            let name = decoded(&piece[..at]).ok_or_else(|| not_text("the name of a field"))?;
            let value = piece.get(at + 1..).unwrap_or_default();
            let value = decoded(value).ok_or_else(|| not_text(&format!("the field {name:?}")))?;
            Ok((name, value))
        })
        .collect()
}

fn decoded(bytes: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(percent_decode(&spaced).collect()).ok()
}

pub(super) fn not_text(what: &str) -> ApiError {
    ApiError::Malformed(format!("{what} is not valid UTF-8; send text in UTF-8"))
}

/// Whether a media type is that of a multipart form.
pub(super) fn is_multipart(declared: &str) -> bool {
    declared.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("multipart/form-data")
}

/// The fields of a form's body, of either kind; without a declared type it counts as url-encoded.
///
/// # Errors
/// [`ApiError::Malformed`]; [`ApiError::UnknownMediaType`] for a body of another type.
pub(super) async fn of_body(headers: &HeaderMap, body: Bytes) -> Result<Vec<Field>, ApiError> {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "multipart/form-data" => multipart(declared, body).await,
        "application/x-www-form-urlencoded" | "" => urlencoded(&body),
        _ if body.is_empty() => Ok(Vec::new()),
        other => Err(ApiError::UnknownMediaType(format!(
            "a body of type {other:?} cannot be read; send application/x-www-form-urlencoded or multipart/form-data"
        ))),
    }
}

/// The fields of a `multipart/form-data` body; a file counts as the field of its content.
///
/// # Errors
/// [`ApiError::Malformed`] with what is wrong with it.
pub(super) async fn multipart(content_type: &str, body: Bytes) -> Result<Vec<Field>, ApiError> {
    let broken = |error: multer::Error| ApiError::Malformed(format!("the multipart body cannot be read: {error}"));
    let boundary = multer::parse_boundary(content_type).map_err(broken)?;
    let mut parts = Multipart::new(stream::iter([Ok::<_, Infallible>(body)]), boundary);
    let mut fields = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        let name = part.name().map(str::to_owned);
        let name = name.ok_or_else(|| ApiError::Malformed("a part of the multipart body has no name".to_owned()))?;
        let bytes = part.bytes().await.map_err(broken)?;
        let value = String::from_utf8(bytes.into()).map_err(|_| not_text(&format!("the field {name:?}")))?;
        fields.push((name, value));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, value: &str) -> Field {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn url_encoded_fields_are_decoded_and_repeated_ones_kept() {
        let fields = urlencoded(b"a=1+2&&a=%2B%C3%A4&b&c=x=y").expect("fine");
        assert_eq!(fields, [field("a", "1 2"), field("a", "+ä"), field("b", ""), field("c", "x=y")]);
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_by_name() {
        let error = urlencoded(b"command=%FF").expect_err("no UTF-8");
        assert!(error.to_string().contains("\"command\""), "{error}");
    }

    #[tokio::test]
    async fn a_quoted_boundary_after_an_empty_line_is_read() {
        let kind = "multipart/form-data; boundary=\"<<<--------------MULTIPART-BOUNDARY------->>>\"";
        let line = "--<<<--------------MULTIPART-BOUNDARY------->>>";
        let body = format!(
            "\r\n{line}\r\nContent-Disposition: form-data; name=\"command\"\r\n\r\necho \"a\"\r\nb\r\n{line}--\r\n"
        );
        let fields = multipart(kind, Bytes::from(body)).await.expect("read");
        assert_eq!(fields, [field("command", "echo \"a\"\r\nb")]);
    }

    #[tokio::test]
    async fn a_multipart_body_without_boundary_or_end_is_refused() {
        assert!(multipart("multipart/form-data", Bytes::new()).await.is_err());
        let cut = Bytes::from_static(b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1");
        assert!(multipart("multipart/form-data; boundary=x", cut).await.is_err());
    }
}
