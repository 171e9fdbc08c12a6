//! What is asked of the job list and of a job (UWS 1.1 §2.2.1.2, §2.2.2.1); unknown names are ignored.

use std::time::Duration;

use super::fields::Fields;
use super::instant;
use crate::domain::{Caller, JobFilter, Phase};
use crate::http::reply::ApiError;

/// What a list shows, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListQuery {
    /// Which jobs.
    pub(super) filter: JobFilter,
    /// At most so many, the newest ones.
    pub(super) last: Option<u64>,
}

impl ListQuery {
    /// The jobs of `caller` in `service` that a query asks for.
    ///
    /// # Errors
    /// [`ApiError::Malformed`]: an unknown phase, no instant, no positive number, one of the latter two repeated.
    pub(super) fn parse(service: &str, caller: &Caller, query: &str) -> Result<Self, ApiError> {
        let mut fields = Fields::of_query(query)?;
        let phases = fields.take_all("PHASE").iter().map(|word| phase(word)).collect::<Result<_, _>>()?;
        let created_after = fields.take("AFTER")?.map(|text| instant::parse("AFTER", &text)).transpose()?;
        let last = fields.take("LAST")?.map(|text| last(&text)).transpose()?;
        let filter = JobFilter { service: Some(service.to_owned()), owner: caller.sees(), phases, created_after };
        Ok(Self { filter, last })
    }
}

/// How long a GET of a job may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    /// So long at most; `None`: without limit of the client's.
    pub(super) patience: Option<Duration>,
    /// Only if the job is in this phase.
    pub(super) phase: Option<Phase>,
}

impl Wait {
    /// What a query asks for; `None`: an answer at once.
    ///
    /// # Errors
    /// [`ApiError::Malformed`]: no whole number, an unknown phase beside it, one of them repeated.
    pub(super) fn parse(query: &str) -> Result<Option<Self>, ApiError> {
        let mut fields = Fields::of_query(query)?;
        let Some(text) = fields.take("WAIT")? else { return Ok(None) };
        let digits = text.strip_prefix('-').unwrap_or(&text);
        if !is_digits(digits) {
            return Err(ApiError::Malformed(format!("WAIT is {text:?}; give a whole number of seconds, or -1")));
        }
        let phase = fields.take("PHASE")?.map(|word| phase(&word)).transpose()?;
        if digits.bytes().all(|b| b == b'0') {
            return Ok(None);
        }
        // More seconds than a number can hold are more than any limit of ours.
        let seconds = digits.parse().unwrap_or(u64::MAX);
        let patience = (!text.starts_with('-')).then_some(Duration::from_secs(seconds));
        Ok(Some(Self { patience, phase }))
    }
}

fn phase(word: &str) -> Result<Phase, ApiError> {
    word.to_ascii_uppercase().parse().map_err(|_| {
        let words = Phase::ALL.map(Phase::as_str).join(", ");
        ApiError::Malformed(format!("PHASE is {word:?}; give one of {words}"))
    })
}

fn last(text: &str) -> Result<u64, ApiError> {
    let is_positive = is_digits(text) && text.bytes().any(|b| b != b'0');
    let refusal = || ApiError::Malformed(format!("LAST is {text:?}; give a whole number of 1 or more"));
    // A number that is too large to be held asks for all there are.
    is_positive.then(|| text.parse().unwrap_or(u64::MAX)).ok_or_else(refusal)
}

/// Whether a text is a number without sign.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(query: &str) -> Result<ListQuery, ApiError> {
        ListQuery::parse("ocps", &Caller::Anonymous, query)
    }

    #[test]
    fn filters_are_read_together() {
        let query = list("PHASE=QUEUED&phase=executing&AFTER=2031-03-04&LAST=7&x=y").expect("fine");
        assert_eq!(query.filter.phases, [Phase::Queued, Phase::Executing]);
        assert_eq!(query.filter.created_after.expect("given").to_iso(), "2031-03-04T00:00:00.000Z");
        assert_eq!(query.last, Some(7));
        assert_eq!(list("LAST=99999999999999999999999").expect("fine").last, Some(u64::MAX));
    }

    #[test]
    fn malformed_filters_are_refused() {
        for bad in [
            "PHASE=DONE",
            "PHASE=",
            "LAST=0",
            "LAST=00",
            "LAST=-1",
            "LAST=x",
            "LAST=",
            "LAST=1.5",
            "LAST=1&LAST=2",
            "AFTER=x",
            "AFTER=",
            "AFTER=2031-01-01T00:00:00%2B01:00",
            "AFTER=2031&after=2032",
            "PHASE=%ff",
        ] {
            assert!(matches!(list(bad), Err(ApiError::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn a_wait_is_a_whole_number_and_negative_is_without_limit() {
        let wait = |query: &str| Wait::parse(query).ok();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (query, expected) in [
            ("", Some(None)),
            ("PHASE=JUMP", Some(None)),
            ("WAIT=0", Some(None)),
            ("WAIT=-0", Some(None)),
            ("WAIT=5", Some(Some(Wait { patience: seconds(5), phase: None }))),
            ("wait=5&phase=QUEUED", Some(Some(Wait { patience: seconds(5), phase: Some(Phase::Queued) }))),
            ("WAIT=-1", Some(Some(Wait { patience: None, phase: None }))),
            ("WAIT=-17", Some(Some(Wait { patience: None, phase: None }))),
            ("WAIT=99999999999999999999", Some(Some(Wait { patience: seconds(u64::MAX), phase: None }))),
            ("WAIT=", None),
            ("WAIT=-", None),
            ("WAIT=1.5", None),
            ("WAIT=x", None),
            ("WAIT=%2B1", None),
            ("WAIT=1&WAIT=1", None),
            ("WAIT=1&PHASE=JUMP", None),
            ("WAIT=1&PHASE=QUEUED&PHASE=QUEUED", None),
        ] {
            assert_eq!(wait(query), expected, "{query}");
        }
    }
}
