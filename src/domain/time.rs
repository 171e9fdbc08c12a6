//! Instants of the wall clock, in whole milliseconds.

use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// An instant in UTC, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const ISO: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const COMPACT: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");
const OCPS: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]+00:00");

impl Timestamp {
    /// The earliest and latest instants that the wire formats can show (years 0 and 9999).
    const RANGE: (i64, i64) = (-62_167_219_200_000, 253_402_300_799_999);

    /// The instant `millis` milliseconds after the epoch; instants outside years 0 to 9999 are drawn to the nearer end.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        if millis < Self::RANGE.0 {
            Self(Self::RANGE.0)
        } else if millis > Self::RANGE.1 {
            Self(Self::RANGE.1)
        } else {
            Self(millis)
        }
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This instant and `duration` after it.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// This much earlier.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }

    /// How long after `earlier` this instant is; nothing if it is before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).expect("within years 0 to 9999")
    }

    /// `2031-03-04T08:15:00.250Z`, the form of UWS 1.1 §2.2.1 with exactly three fraction digits.
    #[must_use]
    pub fn to_iso(self) -> String {
        self.date_time().format(ISO).expect("all parts are there")
    }

    /// `20310304T081500Z`, for names of files: they sort by time.
    #[must_use]
    pub fn to_compact(self) -> String {
        self.date_time().format(COMPACT).expect("all parts are there")
    }

    /// `2031-03-04 08:15:00+00:00`, the form of the OCPS JSON API.
    #[must_use]
    pub fn to_ocps(self) -> String {
        self.date_time().format(OCPS).expect("all parts are there")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_iso())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_utc_and_truncated() {
        let t = Timestamp::from_millis(1_619_710_746_999);
        assert_eq!(t.to_iso(), "2021-04-29T15:39:06.999Z");
        assert_eq!(t.to_ocps(), "2021-04-29 15:39:06+00:00");
    }

    #[test]
    fn in_names_of_files_it_has_no_signs_between_its_digits() {
        assert_eq!(Timestamp::from_millis(1_619_710_746_999).to_compact(), "20210429T153906Z");
    }

    #[test]
    fn extremes_are_shown_and_do_not_overflow() {
        assert_eq!(Timestamp::from_millis(i64::MAX).to_iso(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(i64::MIN).to_iso(), "0000-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(0).after(Duration::MAX).to_iso(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
    }
}
