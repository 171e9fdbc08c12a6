//! Which project id a job gets.
//!
//! Ids come out of a range of our own, far from those that sites give out by hand, that `/etc/projid` begins with, or that
//! container engines count up. It is small because XFS keeps room in its quota file for every id that was ever used. Nothing
//! has to be configured, and several daemons may share a file system: an id is taken only if no file has it.

use std::io;

/// The first id of the range.
const FIRST: u32 = 1_900_000_000;
/// How many ids there are.
const COUNT: u32 = 1 << 18;
/// How many are looked at for one job.
const TRIES: u32 = 4096;

/// Whether this id is one of the range.
pub(super) const fn is_ours(id: u32) -> bool {
    id >= FIRST && id - FIRST < COUNT
}

/// Takes the first id that can be had: `take` answers whether it could. The search begins at a place that follows from the inode of
/// the job's directory, so that jobs of two daemons do not begin at the same one.
pub(super) fn choose(inode: u64, mut take: impl FnMut(u32) -> io::Result<bool>) -> io::Result<u32> {
    let begin = u32::try_from(inode % u64::from(COUNT)).expect("below the count");
    for try_ in 0..TRIES {
        let id = FIRST + (begin + try_) % COUNT;
        if take(id)? {
            return Ok(id);
        }
    }
    Err(io::Error::other(format!("{TRIES} project ids from {} on are all in use", FIRST + begin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_the_range_and_follows_from_the_directory() {
        for inode in [0, 2, u64::from(COUNT) - 1, u64::from(COUNT), u64::MAX] {
            let id = choose(inode, |_| Ok(true)).expect("free");
            assert!(is_ours(id));
            assert_eq!(u64::from(id - FIRST), inode % u64::from(COUNT));
        }
        assert!(!is_ours(FIRST - 1) && !is_ours(FIRST + COUNT) && !is_ours(0) && !is_ours(u32::MAX));
    }

    #[test]
    fn those_in_use_are_passed_over_also_across_the_end_of_the_range() {
        let taken = [FIRST + COUNT - 2, FIRST + COUNT - 1, FIRST];
        let id = choose(u64::from(COUNT) - 2, |id| Ok(!taken.contains(&id))).expect("free");
        assert_eq!(id, FIRST + 1);
    }

    #[test]
    fn a_search_has_an_end_and_an_error_ends_it() {
        let mut seen = 0;
        let error = choose(7, |_| {
            seen += 1;
            Ok(false)
        });
        assert_eq!(seen, TRIES);
        assert_eq!(error.expect_err("none").to_string(), "4096 project ids from 1900000007 on are all in use");
        assert!(choose(7, |_| Err(io::ErrorKind::PermissionDenied.into())).is_err());
    }
}
