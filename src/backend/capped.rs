//! A log that is kept within a size. One that is no longer is in its file as it was told; of a longer one there are its beginning and
//! its end, and between them a mark that says how much is missing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::domain::LogBytes;
use crate::ports::JobDirs;

/// A file that grows up to half of its size. What comes then is kept in a ring beside it, whose content is put behind that
/// in the end: only then it is known whether something is missing.
#[derive(Debug)]
pub(super) struct CappedFile {
    file: File,
    path: PathBuf,
    /// How much of the stream's beginning the file may hold.
    half: u64,
    /// How much of its end the ring may hold: the other half.
    room: u64,
    /// The bytes of the stream so far.
    told: u64,
    ring: Option<File>,
}

impl CappedFile {
    /// The log at `path`, which holds the first `told` bytes of its stream; `most` is how large the log may become, but for the mark.
    pub(super) fn new(file: File, path: &Path, told: u64, most: u64) -> Self {
        let half = Self::half(most);
        Self { file, path: path.to_owned(), half, room: most - half, told, ring: None }
    }

    /// How much of the stream its beginning holds at the most: what is beyond in a file is no part of the beginning.
    pub(super) const fn half(most: u64) -> u64 {
        most / 2
    }

    /// Takes the next bytes of the stream.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.half.saturating_sub(self.told)).unwrap_or(usize::MAX).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        self.file.write_all(first)?;
        self.told += first.len() as u64;
        if rest.is_empty() { Ok(()) } else { self.take_beyond(rest) }
    }

    /// Drops what stands in the file behind the stream's beginning.
    pub(super) fn keep_beginning(&mut self) -> io::Result<()> {
        self.file.set_len(self.told)
    }

    /// Writes a remark about what came so far, which is no part of the stream.
    pub(super) fn remark(&mut self, text: &[u8]) -> io::Result<()> {
        self.file.write_all(text)
    }

    fn take_beyond(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.ring.is_none() {
            self.ring = Some(open_ring(&JobDirs::rest_of(&self.path))?);
        }
        let Some(ring) = &self.ring else { return Ok(()) };
        // Of more than the ring holds only the end would stay.
        let skipped = u64::try_from(bytes.len()).unwrap_or(u64::MAX).saturating_sub(self.room);
        bytes = &bytes[usize::try_from(skipped).unwrap_or(bytes.len())..];
        self.told += skipped;
        while !bytes.is_empty() {
            let at = (self.told - self.half) % self.room;
            let room = usize::try_from(self.room - at).unwrap_or(usize::MAX).min(bytes.len());
            ring.write_all_at(&bytes[..room], at)?;
            self.told += room as u64;
            bytes = &bytes[room..];
        }
        Ok(())
    }

    /// Ends the log: what was kept of its end is in the file afterwards, and all of it on the disk.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if let Some(ring) = self.ring.take() {
            let beyond = self.told - self.half;
            let cut = beyond.saturating_sub(self.room);
            if cut > 0 {
                let most = self.half + self.room;
                writeln!(self.file, "\n[uwsd: this log may have {most} bytes; {cut} bytes are cut here]")?;
            }
            self.copy_end(&ring, beyond.min(self.room), &mut &self.file)?;
        }
        // Also that of one who took the stream before.
        remove(&JobDirs::rest_of(&self.path))?;
        self.file.sync_all()
    }

    /// The first `length` bytes of it, fewer if there are not so many.
    pub(super) fn first(&self, length: u64) -> io::Result<Vec<u8>> {
        let mut first = Vec::new();
        File::open(&self.path)?.take(length.min(self.half)).read_to_end(&mut first)?;
        Ok(first)
    }

    /// The last `length` bytes of what is kept so far, fewer if there are not so many. Of a log that will be cut they are no more than its
    /// half.
    pub(super) fn last(&self, length: u64) -> io::Result<Vec<u8>> {
        let beyond = if self.ring.is_some() { self.told - self.half } else { 0 };
        let of_ring = beyond.min(self.room).min(length);
        let mut file = File::open(&self.path)?;
        let from = file.metadata()?.len().saturating_sub(length - of_ring);
        file.seek(SeekFrom::Start(from))?;
        let mut last = Vec::new();
        file.take(length - of_ring).read_to_end(&mut last)?;
        if let Some(ring) = &self.ring {
            self.copy_end(ring, of_ring, &mut last)?;
        }
        Ok(last)
    }

    /// Copies the last `length` bytes in `ring`.
    fn copy_end(&self, mut ring: &File, length: u64, to: &mut impl Write) -> io::Result<()> {
        let at = (self.told - self.half - length) % self.room;
        let first = length.min(self.room - at);
        for (from, length) in [(at, first), (0, length - first)] {
            ring.seek(SeekFrom::Start(from))?;
            io::copy(&mut ring.take(length), to)?;
        }
        Ok(())
    }

    /// How long the log is; all that is kept is in the file once it is finished.
    pub(super) fn bytes(&self) -> Option<LogBytes> {
        let kept = self.file.metadata().ok()?.len();
        Some(LogBytes { written: self.told, kept })
    }

    /// How many bytes the stream has had.
    pub(super) const fn told(&self) -> u64 {
        self.told
    }
}

/// A new ring. That of one who took the stream before stays whole, without a name: it may have got further.
fn open_ring(path: &Path) -> io::Result<File> {
    remove(path)?;
    OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(path)
}

/// Removes the file at `path`, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn logged(most: u64, pieces: &[&[u8]]) -> String {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("stdout");
        let mut log = CappedFile::new(File::create(&path).expect("made"), &path, 0, most);
        for piece in pieces {
            log.take(piece).expect("taken");
        }
        log.finish().expect("finished");
        assert_eq!(log.told(), pieces.iter().map(|piece| piece.len() as u64).sum::<u64>());
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1, "the ring is gone");
        fs::read_to_string(&path).expect("read")
    }

    fn cut(most: u64, bytes: u64) -> String {
        format!("\n[uwsd: this log may have {most} bytes; {bytes} bytes are cut here]\n")
    }

    #[test]
    fn a_log_that_is_not_too_long_is_kept_as_it_was_told() {
        assert_eq!(logged(8, &[b"abcd"]), "abcd");
        assert_eq!(logged(8, &[b"abc", b"def"]), "abcdef");
        assert_eq!(logged(8, &[b"abcdefgh"]), "abcdefgh");
        assert_eq!(logged(9, &[b"abcde", b"fghi"]), "abcdefghi");
    }

    #[test]
    fn of_a_longer_one_beginning_and_end_are_kept_and_the_cut_is_marked() {
        assert_eq!(logged(8, &[b"abcdefgh", b"i"]), format!("abcd{}fghi", cut(8, 1)));
        assert_eq!(logged(8, &[b"abcdefghijklmn"]), format!("abcd{}klmn", cut(8, 6)));
        assert_eq!(logged(9, &[b"abcdefghi", b"j"]), format!("abcd{}fghij", cut(9, 1)));
    }

    #[test]
    fn while_it_is_written_it_grows_by_what_was_told_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("stdout");
        let mut log = CappedFile::new(File::create(&path).expect("made"), &path, 0, 8);
        for (piece, shown) in [("abc", "abc"), ("def", "abcd"), ("ghijkl", "abcd")] {
            log.take(piece.as_bytes()).expect("taken");
            assert_eq!(fs::read_to_string(&path).expect("read"), shown);
            assert_eq!(log.last(2).expect("read"), piece.as_bytes()[piece.len() - 2..]);
            assert_eq!(log.first(2).expect("read"), b"ab");
        }
        assert_eq!(log.last(4).expect("read"), b"ijkl");
        log.finish().expect("finished");
        assert_eq!(fs::read_to_string(&path).expect("read"), format!("abcd{}ijkl", cut(8, 4)));
        assert_eq!(log.last(4).expect("read"), b"ijkl");
    }

    proptest! {
        #[test]
        fn however_it_comes_the_same_is_kept(pieces in proptest::collection::vec("[a-z]{0,9}", 0..12)) {
            let whole = pieces.concat();
            let bytes: Vec<&[u8]> = pieces.iter().map(String::as_bytes).collect();
            let kept = match whole.len() {
                ..=8 => whole.clone(),
                long => format!("{}{}{}", &whole[..4], cut(8, long as u64 - 8), &whole[long - 4..]),
            };
            prop_assert_eq!(logged(8, &bytes), kept);
        }
    }
}
