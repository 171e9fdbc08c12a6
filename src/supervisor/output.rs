//! The files that a job left.

use std::collections::BinaryHeap;
use std::io;
use std::path::Path;

use crate::domain::JobResult;

/// The most results that a job may have, and the most bytes that their paths may take together: every document about
/// the job tells of all of them.
const MOST: Limits = Limits { results: 100_000, bytes: 8 << 20 };
/// From this length on a path cannot be opened (`PATH_MAX`).
const TOO_LONG: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Limits {
    results: usize,
    bytes: usize,
}

/// The regular files below `output`, in name order: no links, and dotfiles only if asked for.
///
/// The job has ended, so nothing changes meanwhile. What is no result although it is such a file is told in the second
/// value, a sentence: one whose name is not UTF-8 or too long, which no document can tell, and of too many those whose
/// names come last.
pub(super) fn collect(output: &Path, dotfiles: bool) -> io::Result<(Vec<JobResult>, Option<String>)> {
    collect_within(MOST, output, dotfiles)
}

fn collect_within(most: Limits, output: &Path, dotfiles: bool) -> io::Result<(Vec<JobResult>, Option<String>)> {
    let mut first = First { most, found: BinaryHeap::new(), bytes: 0, beyond: 0 };
    let mut unnameable = 0_usize;
    let mut directories = vec![(output.to_owned(), String::new())];
    while let Some((directory, prefix)) = directories.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                unnameable += 1;
                continue;
            };
            if name.starts_with('.') && !dotfiles {
                continue;
            }
            if entry.path().as_os_str().len() >= TOO_LONG {
                unnameable += 1;
                continue;
            }
            let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                directories.push((entry.path(), path));
            } else if kind.is_file() {
                first.add(path, entry.metadata()?.len());
            }
        }
    }
    let complaint = complaint(unnameable, first.beyond);
    let sorted = first.found.into_sorted_vec().into_iter();
    Ok((sorted.map(|(path, size)| JobResult { path, size }).collect(), complaint))
}

/// The files that come first by name, as far as they are within the limits.
struct First {
    most: Limits,
    /// Path and size; the last name on top.
    found: BinaryHeap<(String, u64)>,
    bytes: usize,
    beyond: usize,
}

impl First {
    fn add(&mut self, path: String, size: u64) {
        self.bytes += path.len();
        self.found.push((path, size));
        while self.found.len() > self.most.results || self.bytes > self.most.bytes {
            let Some((path, _)) = self.found.pop() else { return };
            self.bytes -= path.len();
            self.beyond += 1;
        }
    }
}

fn complaint(unnameable: usize, beyond: usize) -> Option<String> {
    let unnameable = (unnameable > 0).then(|| {
        format!("{unnameable} output files or directories have names that are not UTF-8 or too long and are no results")
    });
    let beyond = (beyond > 0).then(|| {
        let Limits { results, bytes } = MOST;
        format!(
            "{beyond} output files are no results: a job may have {results}, and {bytes} bytes of names; the job had \
             better put them into an archive"
        )
    });
    let all: Vec<String> = unnameable.into_iter().chain(beyond).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn regular_files_in_name_order_without_links_and_dotfiles() {
        let dir = tempfile::tempdir().expect("temp dir");
        let out = dir.path();
        std::fs::create_dir_all(out.join("sub/deep")).expect("made");
        std::fs::create_dir(out.join(".hidden")).expect("made");
        for (name, text) in [("b", "12"), ("sub/deep/c", "1"), ("a.txt", ""), (".dot", "x"), (".hidden/x", "x")] {
            std::fs::write(out.join(name), text).expect("written");
        }
        symlink("/etc/passwd", out.join("link")).expect("linked");
        symlink("/etc", out.join("dirlink")).expect("linked");
        let names = |dotfiles| -> Vec<(String, u64)> {
            collect(out, dotfiles).expect("read").0.into_iter().map(|result| (result.path, result.size)).collect()
        };
        let plain = [("a.txt", 0), ("b", 2), ("sub/deep/c", 1)].map(|(name, size)| (name.to_owned(), size));
        assert_eq!(names(false), plain);
        assert_eq!(names(true).len(), 5);
    }

    #[test]
    fn of_too_many_files_the_first_by_name_are_results_and_the_rest_is_told() {
        let dir = tempfile::tempdir().expect("temp dir");
        for number in 0..30 {
            std::fs::write(dir.path().join(format!("{number:02}")), "").expect("written");
        }
        let within = |results, bytes| {
            let (found, complaint) = collect_within(Limits { results, bytes }, dir.path(), false).expect("read");
            (found.into_iter().map(|result| result.path).collect::<Vec<_>>(), complaint)
        };
        assert_eq!(within(30, 60).1, None);
        for limits in [(3, 60), (30, 7)] {
            let (names, complaint) = within(limits.0, limits.1);
            assert_eq!(names, ["00", "01", "02"]);
            assert!(complaint.expect("told").starts_with("27 output files are no results"));
        }
    }

    #[test]
    fn a_name_that_no_document_can_tell_is_no_result_but_told() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "").expect("written");
        let (found, complaint) = collect(dir.path(), false).expect("read");
        assert!(found.is_empty());
        assert!(complaint.expect("told").starts_with("1 output files or directories have names that are not UTF-8"));
    }
}
