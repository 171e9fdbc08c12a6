//! The files that a job left.

use std::io;
use std::path::Path;

use crate::domain::JobResult;

/// The regular files below `output`, in name order: no links, and dotfiles only if asked for.
///
/// The job has ended, so nothing changes meanwhile. A name that is not UTF-8 cannot be told in any document; such a
/// file is counted in the second value.
pub(super) fn collect(output: &Path, dotfiles: bool) -> io::Result<(Vec<JobResult>, usize)> {
    let mut found = Vec::new();
    let mut unnameable = 0;
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
            let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                directories.push((entry.path(), path));
            } else if kind.is_file() {
                found.push(JobResult { path, size: entry.metadata()?.len() });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok((found, unnameable))
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
}
