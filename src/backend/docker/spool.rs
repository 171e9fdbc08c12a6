//! One output stream of a run in its file.

use std::io;
use std::path::Path;

use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncReadExt;

use crate::backend::capped::CappedFile;
use crate::domain::LogBytes;

/// Stands in the file where the engine's log and what was written before do not fit together.
const GAP: &[u8] = b"\n[uwsd: the engine's log was cut: output is missing or repeated here]\n";

/// A file that receives a stream, and knows what of it it holds already.
#[derive(Debug)]
pub(super) struct Spool {
    /// Away while a thread writes to it.
    file: Option<CappedFile>,
    has_grown: bool,
    held: Option<Held>,
    /// Whether more stands in the file than the stream's beginning: the end of a long one, until it is told anew so far.
    is_longer: bool,
    is_cut: bool,
}

/// What of a stream was taken.
#[derive(Debug)]
pub(super) struct Taken {
    /// How much of it.
    pub(super) written: u64,
    /// The beginning of that.
    pub(super) begin: Vec<u8>,
    /// The end of that.
    pub(super) end: Vec<u8>,
}

/// What the file held when it was opened and the stream has not told again yet.
#[derive(Debug)]
struct Held {
    file: File,
    left: u64,
    buffer: Vec<u8>,
}

impl Spool {
    /// An empty file of at most `most` bytes for a stream that is told once, from its first byte on.
    pub(super) async fn empty(path: &Path, most: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(path).await?;
        let file = CappedFile::new(file.into_std().await, path, 0, most);
        Ok(Self { file: Some(file), has_grown: false, held: None, is_longer: false, is_cut: false })
    }

    /// A file of at most `most` bytes for a stream that is told anew from its first byte on: what the file holds of its
    /// beginning is not written again.
    pub(super) async fn resume(path: &Path, most: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path).await?;
        let length = file.metadata().await?.len();
        let left = length.min(CappedFile::half(most));
        let held =
            if left == 0 { None } else { Some(Held { file: File::open(path).await?, left, buffer: Vec::new() }) };
        let file = CappedFile::new(file.into_std().await, path, left, most);
        Ok(Self { file: Some(file), has_grown: false, held, is_longer: length > left, is_cut: false })
    }

    /// Takes the next bytes of the stream.
    pub(super) async fn take(&mut self, mut told: &[u8]) -> io::Result<()> {
        while let Some(held) = &mut self.held
            && !told.is_empty()
        {
            held.read(told.len()).await?;
            let agreement = agree(&held.buffer, told);
            held.buffer.drain(..agreement.held);
            told = &told[agreement.told..];
            if agreement.parts {
                self.held = None;
                self.is_cut = true;
                self.grow(|file| file.remark(GAP)).await?;
            } else if held.left == 0 && held.buffer.is_empty() {
                self.held = None;
            }
        }
        if told.is_empty() { Ok(()) } else { self.write(told).await }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes = bytes.to_owned();
        self.grow(move |file| file.take(&bytes)).await
    }

    /// Puts something behind the stream's beginning.
    async fn grow(&mut self, deed: impl FnOnce(&mut CappedFile) -> io::Result<()> + Send + 'static) -> io::Result<()> {
        self.has_grown = true;
        let is_longer = std::mem::take(&mut self.is_longer);
        self.with_file(move |file| {
            if is_longer {
                file.keep_beginning()?;
            }
            deed(file)
        })
        .await
    }

    /// Ends the file; what was written is on the disk afterwards. Unless the stream was told to its end or there is more of it now,
    /// all is as it was.
    pub(super) async fn finish(&mut self, is_whole: bool) -> io::Result<()> {
        if self.has_grown || is_whole { self.with_file(CappedFile::finish).await } else { Ok(()) }
    }

    /// How long the log is by now, if that is known: not of one that was cut, nor of one whose end was not told anew.
    pub(super) fn bytes(&self) -> Option<LogBytes> {
        if self.is_cut || self.is_longer { None } else { self.file.as_ref()?.bytes() }
    }

    /// How many bytes it knows of the stream.
    pub(super) fn told(&self) -> u64 {
        self.file.as_ref().map_or(0, CappedFile::told)
    }

    /// Whether the stream was told otherwise than what the file held of it.
    pub(super) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// How many bytes the stream has had, and the first and the last of them, `length` or fewer; `None` of one that was cut.
    pub(super) async fn taken(&mut self, length: u64) -> Option<Taken> {
        let written = self.bytes()?.written;
        // Of what cannot be read nothing is known to be there.
        let ends = self.with_file(move |file| Ok((file.first(length)?, file.last(length)?))).await;
        let (begin, end) = ends.unwrap_or_default();
        Some(Taken { written, begin, end })
    }

    async fn with_file<T: Send + 'static>(
        &mut self,
        deed: impl FnOnce(&mut CappedFile) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let mut file = self.file.take().ok_or_else(|| io::Error::other("an earlier write was cut short"))?;
        let done = tokio::task::spawn_blocking(move || {
            let result = deed(&mut file);
            (file, result)
        });
        let (file, result) = done.await?;
        self.file = Some(file);
        result
    }
}

impl Held {
    /// Has at least `wanted` bytes in the buffer, and one more to tell a lost newline by, as far as there are so many.
    async fn read(&mut self, wanted: usize) -> io::Result<()> {
        let missing = u64::try_from((wanted + 1).saturating_sub(self.buffer.len())).unwrap_or(u64::MAX);
        let missing = missing.min(self.left);
        let read = (&mut self.file).take(missing).read_to_end(&mut self.buffer).await?;
        self.left = if read == 0 { 0 } else { self.left - u64::try_from(read).unwrap_or(self.left) };
        Ok(())
    }
}

/// How far two beginnings tell the same.
#[derive(Debug, PartialEq, Eq)]
struct Agreement {
    held: usize,
    told: usize,
    /// Whether they differ from there on; else one of them just ends.
    parts: bool,
}

/// Compares what is held with what is told.
///
/// The engine's `local` log driver forgets a newline that follows directly on a multiple of 16 KiB without one, so a
/// newline may be held that is not told.
fn agree(held: &[u8], told: &[u8]) -> Agreement {
    let (mut h, mut t) = (0, 0);
    while let (Some(a), Some(b)) = (held.get(h), told.get(t)) {
        if a == b {
            t += 1;
        } else if *a != b'\n' {
            return Agreement { held: h, told: t, parts: true };
        }
        h += 1;
    }
    Agreement { held: h, told: t, parts: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 1000;

    async fn resumed(held: &str, told: &[&str]) -> String {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("stdout");
        std::fs::write(&path, held).expect("written");
        let mut spool = Spool::resume(&path, MOST).await.expect("opened");
        for told in told {
            spool.take(told.as_bytes()).await.expect("taken");
        }
        spool.finish(true).await.expect("finished");
        std::fs::read_to_string(&path).expect("read")
    }

    #[tokio::test]
    async fn what_is_held_is_not_written_again() {
        assert_eq!(resumed("", &["a\n", "b\n"]).await, "a\nb\n");
        assert_eq!(resumed("a\nb", &["a\n", "b\nc", "d"]).await, "a\nb\ncd");
        assert_eq!(resumed("a\nb\n", &["a\n", "b\n"]).await, "a\nb\n");
        assert_eq!(resumed("abc", &["a", "b"]).await, "abc");
        assert_eq!(resumed("abcdef", &["ab", "c", "defg"]).await, "abcdefg");
    }

    #[tokio::test]
    async fn a_newline_that_the_engine_forgot_moves_nothing() {
        assert_eq!(resumed("xx\n\nyy\n", &["xx\n", "yy\nzz\n"]).await, "xx\n\nyy\nzz\n");
        assert_eq!(resumed("xx\n", &["xx", "zz\n"]).await, "xx\nzz\n");
    }

    #[tokio::test]
    async fn a_cut_log_is_marked() {
        let gap = String::from_utf8_lossy(GAP);
        assert_eq!(resumed("1\n2\n3\n", &["3\n", "4\n"]).await, format!("1\n2\n3\n{gap}3\n4\n"));
    }

    #[tokio::test]
    async fn the_mark_of_a_cut_log_stays_however_much_follows() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("stdout");
        std::fs::write(&path, "a".repeat(600)).expect("written");
        let mut spool = Spool::resume(&path, MOST).await.expect("opened");
        assert!(!spool.is_cut() && spool.bytes().is_none(), "its end may be what is behind, or not");
        spool.take("b".repeat(3000).as_bytes()).await.expect("taken");
        spool.finish(true).await.expect("finished");
        assert!(spool.is_cut());
        assert_eq!(spool.bytes(), None, "how much is missing is not known");
        let kept = std::fs::read_to_string(&path).expect("read");
        assert!(kept.starts_with(&format!("{}{}", "a".repeat(500), String::from_utf8_lossy(GAP))), "{kept}");
        assert!(kept.ends_with(&format!("; 2500 bytes are cut here]\n{}", "b".repeat(500))), "{kept}");
    }

    #[tokio::test]
    async fn a_log_that_is_longer_than_half_and_told_again_is_as_it_was_told() {
        let long = "abcdefghij".repeat(100);
        for held in [400, 500, 700, 1000] {
            let told = [&long[..600], &long[600..]];
            assert_eq!(resumed(&long[..held], &told).await, long, "{held} bytes were held");
        }
    }

    #[tokio::test]
    async fn the_end_of_a_long_log_stays_until_it_is_told_again_so_far() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("stdout");
        let long = "abcdefghij".repeat(90);
        std::fs::write(&path, &long).expect("written");
        let mut spool = Spool::resume(&path, MOST).await.expect("opened");
        spool.take(&long.as_bytes()[..500]).await.expect("taken");
        spool.finish(true).await.expect("finished");
        assert_eq!((std::fs::read_to_string(&path).expect("read"), spool.bytes()), (long, None));
    }

    #[tokio::test]
    async fn a_long_log_that_is_told_again_is_cut_as_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("stdout");
        let long: Vec<u8> = (0..5000_u32).map(|n| b'a' + u8::try_from(n % 26).expect("small")).collect();
        let mut first = Spool::empty(&path, MOST).await.expect("opened");
        first.take(&long).await.expect("taken");
        // The daemon dies here, or when all is written.
        for is_finished in [false, true] {
            if is_finished {
                first.finish(true).await.expect("finished");
            }
            let mut again = Spool::resume(&path, MOST).await.expect("opened");
            again.take(&long[..700]).await.expect("taken");
            again.take(&long[700..]).await.expect("taken");
            again.finish(true).await.expect("finished");
            let kept = std::fs::read(&path).expect("read");
            assert!(kept.starts_with(&long[..500]) && kept.ends_with(&long[4500..]));
            let marks = String::from_utf8(kept[500..kept.len() - 500].to_vec()).expect("text");
            assert!(marks == "\n[uwsd: this log may have 1000 bytes; 4000 bytes are cut here]\n", "{marks}");
            first = again;
        }
    }
}
