//! Instants as clients write them: DALI 1.1 §3.3.3 and the forms that UWS clients are seen to send.

use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

use super::Timestamp;

impl Timestamp {
    /// The instant of `YYYY-MM-DD[(T| )hh:mm[:ss[.f…]]][Z]`, `YYYYMMDD` or `YYYY`; always UTC, cut to milliseconds.
    /// Any offset but `Z` is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('Z').unwrap_or(text);
        let (date, time) = match text.find(['T', ' ']) {
            Some(at) => (&text[..at], time_of_day(&text[at + 1..])?),
            None => (text, Time::MIDNIGHT),
        };
        let at = OffsetDateTime::new_in_offset(day(date)?, time, UtcOffset::UTC);
        let millis = at.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(millis).ok().map(Self::from_millis)
    }
}

fn day(text: &str) -> Option<Date> {
    let (year, month, day) = match (text.len(), text.as_bytes()) {
        (4, _) => (text, "01", "01"),
        (8, _) => (text.get(..4)?, text.get(4..6)?, text.get(6..)?),
        (10, [_, _, _, _, b'-', _, _, b'-', _, _]) => (text.get(..4)?, text.get(5..7)?, text.get(8..)?),
        _ => return None,
    };
    let month = Month::try_from(u8::try_from(number(month)?).ok()?).ok()?;
    Date::from_calendar_date(i32::from(number(year)?), month, u8::try_from(number(day)?).ok()?).ok()
}

fn time_of_day(text: &str) -> Option<Time> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) if clock.len() == 8 && !fraction.is_empty() => (clock, fraction),
        Some(_) => return None,
        None => (text, "0"),
    };
    let (hour, minute, second) = match (clock.len(), clock.as_bytes()) {
        (5, [_, _, b':', _, _]) => (clock.get(..2)?, clock.get(3..)?, "00"),
        (8, [_, _, b':', _, _, b':', _, _]) => (clock.get(..2)?, clock.get(3..5)?, clock.get(6..)?),
        _ => return None,
    };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let milli = fraction.bytes().chain(*b"00").take(3).fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
    let part = |text| u8::try_from(number(text)?).ok();
    Time::from_hms_milli(part(hour)?, part(minute)?, part(second)?, milli).ok()
}

/// A number of digits only: no sign, no space.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_that_clients_send_are_read_as_utc() {
        for (text, expected) in [
            ("2031-03-04T08:15:00.250Z", "2031-03-04T08:15:00.250Z"),
            ("2031-03-04T08:15:00.250999Z", "2031-03-04T08:15:00.250Z"),
            ("2031-03-04T08:15:00.5", "2031-03-04T08:15:00.500Z"),
            ("2031-03-04 08:15:09", "2031-03-04T08:15:09.000Z"),
            ("2031-03-04T08:15Z", "2031-03-04T08:15:00.000Z"),
            ("2031-03-04", "2031-03-04T00:00:00.000Z"),
            ("2031-03-04Z", "2031-03-04T00:00:00.000Z"),
            ("20310304", "2031-03-04T00:00:00.000Z"),
            ("2031", "2031-01-01T00:00:00.000Z"),
            ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
            ("2028-02-29", "2028-02-29T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp::parse(text).map(Timestamp::to_iso).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_in_utc_is_refused() {
        for bad in [
            "",
            "Z",
            "now",
            "2031-13-01",
            "2031-02-29",
            "2031-3-4",
            "203103",
            "2031-03-04T",
            "2031-03-04T08",
            "2031-03-04T25:00",
            "2031-03-04T08:15:60",
            "2031-03-04T08:15:00.",
            "2031-03-04T08:15:00.x",
            "2031-03-04T08:15.5",
            "2031-03-04T08:15:00+01:00",
            "2031-03-04T08:15:00-00:00",
            "2031-03-04T08:15:00ZZ",
            "+031-03-04",
            "12031-03-04",
            "2031-03-0\u{e4}",
            " 2031-03-04",
        ] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }
}
