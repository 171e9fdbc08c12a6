//! The fields of a request: names in any case of letters, control parameters taken out one by one (DALI 1.1 §3).

use bytes::Bytes;
use http::HeaderMap;

use crate::http::form::{self, Field};
use crate::http::reply::ApiError;

/// The fields that nobody has taken yet, in the client's order.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<Field>);

impl Fields {
    /// Those of a query and a body together: clients send controls in either (UWS 1.1 §2.2.3.1).
    ///
    /// # Errors
    /// [`ApiError::Malformed`], [`ApiError::UnknownMediaType`].
    pub(super) async fn of(query: &str, headers: &HeaderMap, body: Bytes) -> Result<Self, ApiError> {
        let mut fields = form::urlencoded(query.as_bytes())?;
        fields.extend(form::of_body(headers, body).await?);
        Ok(Self(fields))
    }

    /// These.
    pub(super) const fn new(fields: Vec<Field>) -> Self {
        Self(fields)
    }

    /// Those of a query.
    ///
    /// # Errors
    /// [`ApiError::Malformed`].
    pub(super) fn of_query(query: &str) -> Result<Self, ApiError> {
        form::urlencoded(query.as_bytes()).map(Self)
    }

    /// Takes the value of a parameter that has one at most.
    ///
    /// # Errors
    /// [`ApiError::Malformed`] if it is given more than once (DALI 1.1 §3.2).
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let mut values = self.take_all(name);
        let value = values.pop();
        if values.is_empty() {
            Ok(value)
        } else {
            Err(ApiError::Malformed(format!("{name} is given {} times; give it once", values.len() + 1)))
        }
    }

    /// Takes every value of a parameter, in the client's order.
    pub(super) fn take_all(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// What is left.
    pub(super) fn rest(self) -> Vec<Field> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_single_ones_only_once() {
        let mut fields = Fields::of_query("Phase=RUN&a=1&WAIT=1&wait=2&A=2").expect("fine");
        assert_eq!(fields.take("PHASE").expect("one").as_deref(), Some("RUN"));
        assert_eq!(fields.take("PHASE").expect("none"), None);
        let twice = fields.take("WAIT").expect_err("two");
        assert_eq!(twice.to_string(), "WAIT is given 2 times; give it once");
        assert_eq!(fields.take_all("a"), ["1", "2"]);
        assert!(fields.rest().is_empty());
    }
}
