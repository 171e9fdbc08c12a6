//! Identifiers: parse and show, nothing else.

use std::fmt;
use std::str::FromStr;

use uuid::{NoContext, Uuid};

use super::Timestamp;

/// Why a text is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// Not 32 lower-case hex digits.
    #[error("a job id is 32 lower-case hex digits")]
    Job,
    /// Not a letter or digit followed by letters, digits, `-`, `.` or `_`.
    #[error("a run id begins with a letter or digit, followed by letters, digits, '-', '.' or '_'")]
    RunForm,
    /// Longer than allowed.
    #[error("a run id has at most {0} characters")]
    RunLength(usize),
}

/// A job's identifier: a `UUIDv7` written as 32 lower-case hex digits without dashes.
///
/// Identifiers sort by creation time (to the millisecond) and carry 74 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Uuid);

impl JobId {
    /// A new identifier for a job created at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let millis = u64::try_from(now.millis()).unwrap_or(0);
        let nanos = u32::try_from(millis % 1000).expect("below 1000") * 1_000_000;
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, millis / 1000, nanos)))
    }

    /// The 16 bytes that the store keeps.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The identifier of 16 stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_simple())
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for JobId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let is_id = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_id {
            return Err(BadId::Job);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| BadId::Job)
    }
}

/// The client's own name for a job (UWS 1.1 §2.1.9): kept and returned, never interpreted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunId(String);

impl RunId {
    /// The longest run id of the JSON API: the original server promised 63 (a Kubernetes label).
    pub const MAX_JSON: usize = 63;
    /// The longest RUNID of DALI 1.1 §3.4.6.
    pub const MAX_UWS: usize = 64;

    /// A run id of the JSON API: first a letter or digit, then `[-._A-Za-z0-9]`, at most 63 characters.
    ///
    /// # Errors
    /// [`BadId::RunForm`] or [`BadId::RunLength`].
    pub fn parse_json(text: &str) -> Result<Self, BadId> {
        let mut bytes = text.bytes();
        let is_form = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
            && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if !is_form {
            return Err(BadId::RunForm);
        }
        if text.len() > Self::MAX_JSON {
            return Err(BadId::RunLength(Self::MAX_JSON));
        }
        Ok(Self(text.to_owned()))
    }

    /// A RUNID of UWS: any text of at most 64 characters.
    ///
    /// # Errors
    /// [`BadId::RunLength`].
    pub fn parse_uws(text: &str) -> Result<Self, BadId> {
        if text.chars().count() > Self::MAX_UWS {
            return Err(BadId::RunLength(Self::MAX_UWS));
        }
        Ok(Self(text.to_owned()))
    }

    /// A run id as the store kept it.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text, exactly as the client gave it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whom a job belongs to; a job of an anonymous caller has none (UWS 1.1 §2.1.8).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnerId(String);

impl OwnerId {
    /// The owner with this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_is_32_lower_case_hex_digits_and_parses_back() {
        let id = JobId::new(Timestamp::from_millis(1_700_000_000_123));
        let text = id.to_string();
        assert_eq!(text.len(), 32);
        assert_eq!(text.parse::<JobId>().expect("own text"), id);
        for bad in ["", "abc", &text.to_uppercase(), &format!("{text}0"), "0192-..-", &text.replace(&text[..1], "g")] {
            assert_eq!(bad.parse::<JobId>(), Err(BadId::Job), "{bad}");
        }
    }

    #[test]
    fn job_ids_of_one_instant_share_nothing_but_the_instant() {
        let now = Timestamp::from_millis(1_700_000_000_123);
        let ids: Vec<[u8; 16]> = (0..1000).map(|_| *JobId::new(now).as_bytes()).collect();
        let tails: std::collections::HashSet<&[u8]> = ids.iter().map(|id| &id[8..]).collect();
        assert_eq!(tails.len(), ids.len());
        // The bits that are free differ as those of a fair coin do: not as a counter's.
        for byte in [7, 9, 15] {
            let ones = ids.iter().filter(|id| id[byte] & 1 == 1).count();
            assert!((400..600).contains(&ones), "byte {byte}: {ones} of 1000");
        }
    }

    #[test]
    fn job_ids_sort_by_creation_time() {
        let ids: Vec<String> =
            (0..100).map(|n| JobId::new(Timestamp::from_millis(1_700_000_000_000 + n)).to_string()).collect();
        assert!(ids.is_sorted());
    }

    #[test]
    fn a_run_id_of_the_json_api_is_checked() {
        for good in ["1", "a-b.c_D9", &"x".repeat(63)] {
            assert_eq!(RunId::parse_json(good).expect(good).as_str(), good);
        }
        assert_eq!(RunId::parse_json(&"x".repeat(64)), Err(BadId::RunLength(63)));
        for bad in ["", "-a", "a b", "ä", ".", "a/b"] {
            assert_eq!(RunId::parse_json(bad), Err(BadId::RunForm), "{bad}");
        }
    }
}
