//! Tar archives for the engine, and from it.

use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use tar::{Archive, Builder, EntryType, Header, HeaderMode};
use tokio::sync::mpsc;

use crate::ports::User;

/// How many pieces of an archive may be under way.
pub(super) const PIECES: usize = 8;

/// Root in the container.
pub(super) const ROOT: User = User { uid: 0, gid: 0 };

/// Appends a directory.
pub(super) fn append_dir<W: Write>(tar: &mut Builder<W>, path: &str, mode: u32, user: User) -> io::Result<()> {
    let mut header = header(EntryType::Directory, mode, user);
    header.set_size(0);
    tar.append_data(&mut header, path, io::empty())
}

/// Appends a file.
pub(super) fn append_file<W: Write>(
    tar: &mut Builder<W>,
    path: &str,
    mode: u32,
    user: User,
    content: &[u8],
) -> io::Result<()> {
    let mut header = header(EntryType::Regular, mode, user);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content)
}

fn header(kind: EntryType, mode: u32, user: User) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(u64::from(user.uid));
    header.set_gid(u64::from(user.gid));
    header
}

/// Appends the tree at `from` as `to`, all of it belonging to `user`; links stay links, and special files are left out.
pub(super) fn append_tree<W: Write>(tar: &mut Builder<W>, from: &Path, to: &Path, user: User) -> io::Result<()> {
    let meta = std::fs::symlink_metadata(from)?;
    let mut header = Header::new_gnu();
    header.set_metadata_in_mode(&meta, HeaderMode::Complete);
    header.set_uid(u64::from(user.uid));
    header.set_gid(u64::from(user.gid));
    header.set_mode(meta.mode() & 0o7777);
    if meta.is_dir() {
        header.set_size(0);
        tar.append_data(&mut header, to, io::empty())?;
        let mut names: Vec<_> =
            std::fs::read_dir(from)?.map(|entry| entry.map(|e| e.file_name())).collect::<Result<_, _>>()?;
        names.sort();
        return names.iter().try_for_each(|name| append_tree(tar, &from.join(name), &to.join(name), user));
    }
    if meta.is_symlink() {
        header.set_size(0);
        return tar.append_link(&mut header, to, std::fs::read_link(from)?);
    }
    if meta.is_file() {
        let file = std::fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(from)?;
        return tar.append_data(&mut header, to, file.take(meta.len()));
    }
    Ok(())
}

/// Unpacks the regular files, with all their names, and the directories below `top` of an archive into `into`, over what is
/// there.
///
/// Symbolic links and special files are left out, and so no name leads elsewhere. A file that breaks off is not kept.
pub(super) fn unpack(from: impl Read, top: &str, into: &Path) -> io::Result<()> {
    let mut archive = Archive::new(from);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let Some(path) = below(&entry.path()?, top) else { continue };
        let target = into.join(path);
        let mode = entry.header().mode()? & 0o777;
        match entry.header().entry_type() {
            EntryType::Directory => {
                std::fs::create_dir_all(&target)?;
                std::fs::set_permissions(&target, PermissionsExt::from_mode(mode | 0o700))?;
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                make_room(&target)?;
                let mut file =
                    std::fs::OpenOptions::new().write(true).create_new(true).mode(mode | 0o600).open(&target)?;
                if let Err(error) = io::copy(&mut entry, &mut file) {
                    // Best effort: what failed first is what is told.
                    drop(std::fs::remove_file(&target));
                    return Err(error);
                }
                file.set_modified(UNIX_EPOCH + Duration::from_secs(entry.header().mtime()?))?;
            }
            // Another name of something that came before.
            EntryType::Link => {
                let first = entry.link_name()?.and_then(|name| below(&name, top)).map(|path| into.join(path));
                let is_file = |path: &PathBuf| std::fs::symlink_metadata(path).is_ok_and(|facts| facts.is_file());
                if let Some(first) = first.filter(|first| *first != target && is_file(first)) {
                    make_room(&target)?;
                    // Not every file system has links, or so many.
                    std::fs::hard_link(&first, &target).or_else(|_| std::fs::copy(&first, &target).map(drop))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes the directory that `target` is to be in, and takes away what is there in its place.
fn make_room(target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::remove_file(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The path below `top`, if it is one without any detour.
fn below(path: &Path, top: &str) -> Option<PathBuf> {
    let rest = path.strip_prefix(top).ok()?;
    rest.components().all(|part| matches!(part, Component::Normal(_))).then(|| rest.to_owned())
}

/// The writing end of a channel of pieces, for a thread that may block.
pub(super) struct PieceWriter(pub(super) mpsc::Sender<io::Result<Bytes>>);

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        self.0.blocking_send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reading end of a channel of pieces, for a thread that may block.
pub(super) struct PieceReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl PieceReader {
    pub(super) fn new(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { pieces, current: Bytes::new() }
    }
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.current = piece?,
            }
        }
        let taken = self.current.split_to(buffer.len().min(self.current.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_and_directories_come_out_and_only_below() {
        let mut tar = Builder::new(Vec::new());
        append_dir(&mut tar, "out", 0o755, ROOT).expect("appended");
        append_file(&mut tar, "out/a", 0o000, ROOT, b"a").expect("appended");
        append_file(&mut tar, "out/d/b", 0o644, ROOT, b"b").expect("appended");
        append_file(&mut tar, "elsewhere", 0o644, ROOT, b"c").expect("appended");
        let mut link = header(EntryType::Symlink, 0o777, ROOT);
        link.set_size(0);
        tar.append_link(&mut link, "out/link", "/etc").expect("appended");
        append_file(&mut tar, "out/link/passwd", 0o644, ROOT, b"mine").expect("appended");
        let mut evil = header(EntryType::Regular, 0o644, ROOT);
        evil.set_size(1);
        let name = b"out/../escaped";
        evil.as_old_mut().name[..name.len()].copy_from_slice(name);
        evil.set_cksum();
        tar.append(&evil, &b"x"[..]).expect("appended");
        let bytes = tar.into_inner().expect("whole");
        let dir = tempfile::tempdir().expect("a directory");
        let into = dir.path().join("into");
        for _ in 0..2 {
            unpack(&bytes[..], "out", &into).expect("unpacked");
        }
        assert_eq!(std::fs::read(into.join("a")).expect("there"), b"a");
        assert_eq!(std::fs::read(into.join("d/b")).expect("there"), b"b");
        assert_eq!(std::fs::read(into.join("link/passwd")).expect("in a directory of ours"), b"mine");
        assert!(!dir.path().join("escaped").exists() && !into.join("elsewhere").exists());
    }

    #[test]
    fn every_name_of_a_file_comes_out_and_none_from_elsewhere() {
        let mut tar = Builder::new(Vec::new());
        append_file(&mut tar, "out/a", 0o644, ROOT, b"a").expect("appended");
        let mut append_link = |kind, path: &str, to: &str| {
            let mut link = header(kind, 0o644, ROOT);
            link.set_size(0);
            tar.append_link(&mut link, path, to).expect("appended");
        };
        append_link(EntryType::Link, "out/d/b", "out/a");
        append_link(EntryType::Link, "out/a", "out/a");
        append_link(EntryType::Symlink, "out/link", "/etc/passwd");
        for (n, to) in
            ["out/link", "out/d", "out", "out/none", "/etc/passwd", "etc/passwd", "out/../secret"].iter().enumerate()
        {
            append_link(EntryType::Link, &format!("out/evil{n}"), to);
        }
        let bytes = tar.into_inner().expect("whole");
        let dir = tempfile::tempdir().expect("a directory");
        let into = dir.path().join("into");
        std::fs::write(dir.path().join("secret"), "secret").expect("written");
        for _ in 0..2 {
            unpack(&bytes[..], "out", &into).expect("unpacked");
        }
        let mut names: Vec<_> =
            std::fs::read_dir(&into).expect("read").map(|entry| entry.expect("read").file_name()).collect();
        names.sort();
        assert_eq!(names, ["a", "d"]);
        assert_eq!(std::fs::read(into.join("d/b")).expect("there"), b"a");
        assert_eq!(std::fs::metadata(into.join("a")).expect("there").nlink(), 2);
    }

    #[test]
    fn a_tree_goes_and_comes_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let from = dir.path().join("from");
        let long = "x".repeat(200);
        std::fs::create_dir_all(from.join("d").join(&long)).expect("made");
        std::fs::write(from.join("d").join(&long).join("f"), "deep").expect("written");
        std::os::unix::fs::symlink("nowhere", from.join("link")).expect("linked");
        let mut tar = Builder::new(Vec::new());
        append_tree(&mut tar, &from, Path::new("out"), User { uid: 5, gid: 6 }).expect("appended");
        let bytes = tar.into_inner().expect("whole");
        for entry in Archive::new(&bytes[..]).entries().expect("read") {
            assert_eq!(entry.expect("read").header().uid().expect("a number"), 5);
        }
        let into = dir.path().join("into");
        unpack(&bytes[..], "out", &into).expect("unpacked");
        assert_eq!(std::fs::read_to_string(into.join("d").join(&long).join("f")).expect("there"), "deep");
        assert!(!into.join("link").is_symlink());
    }
}
