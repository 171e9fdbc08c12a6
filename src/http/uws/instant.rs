//! Instants in parameters.

use crate::domain::Timestamp;
use crate::http::reply::ApiError;

/// The instant that a text means.
///
/// # Errors
/// [`ApiError::Malformed`] that names the parameter `name`; also for any offset but `Z`.
pub(super) fn parse(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    Timestamp::parse(text).ok_or_else(|| {
        ApiError::Malformed(format!(
            "{name} is {text:?}; give an instant in UTC like 2031-03-04T08:15:00.250Z, without any other offset"
        ))
    })
}
