//! `Range` requests: one range of bytes (RFC 9110 §14).

/// What a `Range` header comes to for a file of a known size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no range, several, or one in a form that is not understood, which may be ignored (§14.2).
    Whole,
    /// The bytes from `first` to `last`, both included.
    Part {
        /// The first byte.
        first: u64,
        /// The last byte, below the size.
        last: u64,
    },
    /// A range without a byte of the file in it.
    Nothing,
}

/// What `header` asks for of a file of `size` bytes.
pub(super) fn wanted(header: &str, size: u64) -> Wanted {
    let Some((unit, ranges)) = header.split_once('=') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let Some((first, last)) = ranges.trim().split_once('-') else { return Wanted::Whole };
    match (number(first), number(last)) {
        (Number::None, Number::Some(0)) => Wanted::Nothing,
        (Number::None, Number::Some(_)) if size == 0 => Wanted::Nothing,
        (Number::None, Number::Some(suffix)) => Wanted::Part { first: size.saturating_sub(suffix), last: size - 1 },
        (Number::Some(first), Number::None) if first < size => Wanted::Part { first, last: size - 1 },
        (Number::Some(first), Number::Some(last)) if first > last => Wanted::Whole,
        (Number::Some(first), Number::Some(last)) if first < size => Wanted::Part { first, last: last.min(size - 1) },
        (Number::Some(_), Number::None | Number::Some(_)) => Wanted::Nothing,
        (Number::None, Number::None) | (Number::Bad, _) | (_, Number::Bad) => Wanted::Whole,
    }
}

#[derive(Clone, Copy)]
enum Number {
    None,
    Some(u64),
    Bad,
}

fn number(text: &str) -> Number {
    match text.trim() {
        "" => Number::None,
        // A number beyond u64 is beyond every file as well.
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => Number::Some(digits.parse().unwrap_or(u64::MAX)),
        _ => Number::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_cut_to_the_file() {
        let part = |first, last| Wanted::Part { first, last };
        for (header, size, expected) in [
            ("bytes=0-0", 10, part(0, 0)),
            ("bytes=2-4", 10, part(2, 4)),
            ("Bytes= 2-4", 10, part(2, 4)),
            ("bytes=2-", 10, part(2, 9)),
            ("bytes=2-99", 10, part(2, 9)),
            ("bytes=2-99999999999999999999999", 10, part(2, 9)),
            ("bytes=-3", 10, part(7, 9)),
            ("bytes=-30", 10, part(0, 9)),
            ("bytes=10-", 10, Wanted::Nothing),
            ("bytes=10-11", 10, Wanted::Nothing),
            ("bytes=-0", 10, Wanted::Nothing),
            ("bytes=0-", 0, Wanted::Nothing),
            ("bytes=-5", 0, Wanted::Nothing),
            ("bytes=4-2", 10, Wanted::Whole),
            ("bytes=0-1,3-4", 10, Wanted::Whole),
            ("bytes=-", 10, Wanted::Whole),
            ("bytes=a-b", 10, Wanted::Whole),
            ("bytes=+1-2", 10, Wanted::Whole),
            ("lines=0-1", 10, Wanted::Whole),
            ("0-1", 10, Wanted::Whole),
            ("", 10, Wanted::Whole),
        ] {
            assert_eq!(wanted(header, size), expected, "{header} of {size}");
        }
    }
}
