//! `Idempotency-Key`: a request that makes a job, sent again with its key, makes no second one.

use http::HeaderMap;

use super::reply::ApiError;

const NAME: &str = "idempotency-key";
/// The longest key.
const LONGEST: usize = 255;

/// The key of a request, if it has one; quotes around it, as structured fields have them, do not count.
///
/// # Errors
/// [`ApiError::Malformed`] for a key that is none, or more than one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut given = headers.get_all(NAME).iter();
    let Some(first) = given.next() else { return Ok(None) };
    let text = first.to_str().unwrap_or_default().trim();
    let key = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let is_key = (1..=LONGEST).contains(&key.len()) && key.bytes().all(|b| (b' '..=b'~').contains(&b));
    if given.next().is_some() || !is_key {
        let why = format!("Idempotency-Key: give one key of 1 to {LONGEST} printable ASCII characters");
        return Err(ApiError::Malformed(why));
    }
    Ok(Some(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_key_is_printable_and_alone() {
        let of = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(NAME, HeaderValue::from_bytes(value).expect("a header"));
            }
            key(&headers).ok()
        };
        assert_eq!(of(&[]), Some(None));
        assert_eq!(of(&[b"a-1"]), Some(Some("a-1".to_owned())));
        assert_eq!(of(&[b"\"a 1\""]), Some(Some("a 1".to_owned())));
        let long = [b'x'; LONGEST + 1];
        for bad in [&[&b""[..]][..], &[b"\"\""], &[b"\xe4"], &[b"a", b"a"], &[&long[..]]] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
