//! What a program of this host can be given, whichever API it came by.

use super::reply::ApiError;
use crate::domain::Variable;

/// The longest single argument or variable of a Linux program, the NUL at its end left out (`MAX_ARG_STRLEN`).
const LONGEST: usize = 131_071;

/// Refuses a text that no program can be given as an argument.
///
/// # Errors
/// [`ApiError::Malformed`] that names `field`.
pub(super) fn argument(field: &str, text: &str) -> Result<(), ApiError> {
    if text.contains('\0') {
        return Err(ApiError::Malformed(format!("{field} holds a NUL, which no program can be given")));
    }
    fits(field, text.len())
}

/// The variable `name`, if a program can be given it and the caller may set it.
///
/// # Errors
/// [`ApiError::Malformed`] that names `field`.
pub(super) fn variable(field: &str, name: String, value: String) -> Result<Variable, ApiError> {
    fits(field, name.len() + 1 + value.len())?;
    Variable::new(name, value).map_err(|why| ApiError::Malformed(format!("{field}: {why}")))
}

fn fits(field: &str, length: usize) -> Result<(), ApiError> {
    if length <= LONGEST {
        return Ok(());
    }
    Err(ApiError::Malformed(format!("{field} is longer than {LONGEST} bytes, the most that a program can be given")))
}
