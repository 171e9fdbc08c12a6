//! One stream of a run: from the pipe to the file.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::backend::capped::CappedFile;
use crate::backend::process::descriptors::never_block;
use crate::backend::system::log_error;
use crate::ports::LogLoss;

/// How much is read at once: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// A stream and its file.
///
/// A pipe and not the file itself is the run's output: nothing in the run can then cut or overwrite what was written.
#[derive(Debug)]
pub(super) struct Log {
    name: &'static str,
    pipe: Option<PipeReader>,
    file: CappedFile,
    buffer: Box<[u8]>,
    /// Why something is missing in the file.
    pub failure: Option<LogLoss>,
}

impl Log {
    /// Opens the file `name` in `dir`, which is made where it is missing, for what comes through `pipe`; it may have `most`
    /// bytes.
    pub(super) fn open((dir, most): (&Path, u64), name: &'static str, pipe: PipeReader) -> io::Result<Self> {
        DirBuilder::new().recursive(true).create(dir)?;
        let path = dir.join(name);
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(&path)?;
        never_block(&pipe)?;
        let file = CappedFile::new(file, &path, 0, most);
        Ok(Self { name, pipe: Some(pipe), file, buffer: vec![0; CHUNK].into(), failure: None })
    }

    /// Bytes of the stream so far.
    pub(super) const fn told(&self) -> u64 {
        self.file.told()
    }

    /// What to wait for; `None` once nobody can write any more.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(PipeReader::as_fd)
    }

    /// Brings one chunk to the file; whether there may be more.
    pub(super) fn copy(&mut self) -> bool {
        let n = self.read();
        if n > 0 {
            // A full disk must not stall the job: what cannot be written is let go, and told.
            if let Err(error) = self.file.take(&self.buffer[..n]) {
                self.failure = Some(log_error(self.name, &error));
            }
        }
        n > 0
    }

    /// Takes one chunk as text, not for the file: what bubblewrap says before the run begins.
    pub(super) fn take_text(&mut self) -> String {
        let n = self.read();
        String::from_utf8_lossy(&self.buffer[..n]).into_owned()
    }

    fn read(&mut self) -> usize {
        let Some(pipe) = &mut self.pipe else { return 0 };
        loop {
            match pipe.read(&mut self.buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => return n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    self.failure = Some(log_error(self.name, &error));
                    self.pipe = None;
                }
            }
            return 0;
        }
    }

    /// Brings the rest to the file and makes the file durable.
    ///
    /// To be called when the run is gone: all it wrote is in the pipe by then. The pipe's end is not waited for, since
    /// the run may have handed the other end on to somebody who lives.
    pub(super) fn finish(&mut self) {
        while self.copy() {}
        if let Err(error) = self.file.finish() {
            self.failure = Some(log_error(self.name, &error));
        }
    }
}
