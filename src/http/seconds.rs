//! Times that clients give as numbers of seconds.

use std::time::Duration;

/// What would do, for refusals.
pub(super) const WANTED: &str = "a number of seconds, 0 or more";

/// The time for a number of seconds, to the millisecond; what no time can hold is the longest. `None` if it is negative.
pub(super) fn of_number(seconds: f64) -> Option<Duration> {
    let whole = |time: Duration| Duration::new(time.as_secs(), time.subsec_millis() * 1_000_000);
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).map_or(Duration::MAX, whole))
}

/// The same of digits with or without a fraction; `None` for any other text.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let is_decimal =
        text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|_| is_decimal).and_then(of_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_whole_or_decimal_and_never_negative() {
        assert_eq!(parse("4"), Some(Duration::from_secs(4)));
        assert_eq!(parse("0"), Some(Duration::ZERO));
        assert_eq!(parse("0.2505"), Some(Duration::from_millis(250)));
        assert_eq!(parse(&"9".repeat(400)), Some(Duration::MAX));
        for bad in ["", "-1", "+1", "1e3", "inf", "NaN", ".5", "1.2.3", "10s", " 1", "\u{664}"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
        assert_eq!((of_number(-0.5), of_number(f64::NAN)), (None, None));
    }
}
