//! Sizes as people read them.

/// So many bytes in the largest unit that they fill, cut to a tenth: `1.5 GiB`.
#[must_use]
pub fn shown_bytes(size: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, unit)| size >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", size / unit, size % unit * 10 / unit),
        None => format!("{size} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_unit_that_is_filled_shows_a_size() {
        for (size, shown) in [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), ((3 << 30) - 1, "2.9 GiB")] {
            assert_eq!(shown_bytes(size), shown);
        }
    }
}
