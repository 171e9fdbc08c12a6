//! Whether a log that was followed to its end has the end.
//!
//! Who follows the log of a container that ends at that moment may be told that it is over before the last of it was
//! told: Docker Engine 20.10 does so with its `local` driver, most of all where it was halted meanwhile. Asked again, it tells
//! all.

use std::cmp::Ordering;
use std::path::Path;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::LogsOptions;
use futures_util::StreamExt;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::connect::Client;
use crate::domain::LogBytes;

/// How much of two ends is compared: less than a file holds of its stream's behind a cut, however short it is kept.
const COMPARED: usize = 16 << 10;

/// One stream as the engine has it.
#[derive(Debug, Default)]
struct Stream {
    told: u64,
    /// The last of it, as far as it is compared and perhaps more.
    last: Vec<u8>,
}

impl Stream {
    fn take(&mut self, bytes: &[u8]) {
        self.told += bytes.len() as u64;
        self.last.extend_from_slice(bytes);
        if self.last.len() > 4 * COMPARED {
            self.last.drain(..self.last.len() - COMPARED);
        }
    }

    fn end(&self) -> &[u8] {
        &self.last[self.last.len().saturating_sub(COMPARED)..]
    }

    /// Whether the file at `path`, for which `written` bytes were taken, has its end. Of a long stream the engine has
    /// forgotten the beginning: then only the ends can be compared.
    async fn is_whole_in(&self, path: &Path, written: u64) -> bool {
        match self.told.cmp(&written) {
            Ordering::Equal => true,
            Ordering::Greater => false,
            Ordering::Less => {
                let end = self.end();
                last_of(path, end.len()).await.is_ok_and(|last| last == end)
            }
        }
    }
}

/// Whether both logs below `dir`, for which `bytes` were taken, have all that the engine
/// kept of the ends of its container's.
///
/// # Errors
/// The engine does not tell.
pub(super) async fn is_whole(
    client: &Client,
    container: &str,
    dir: &Path,
    bytes: [LogBytes; 2],
) -> Result<bool, Error> {
    let options = LogsOptions { stdout: true, stderr: true, ..LogsOptions::default() };
    let mut output = client.docker.logs(container, Some(options)).boxed();
    let (mut stdout, mut stderr) = (Stream::default(), Stream::default());
    while let Some(item) = output.next().await {
        match item {
            Ok(LogOutput::StdOut { message }) => stdout.take(&message),
            Ok(LogOutput::StdErr { message }) => stderr.take(&message),
            // The engine's own words, that it cannot read on: who reads all of it again deals with that.
            Ok(LogOutput::Console { .. } | LogOutput::StdIn { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    let (out, err) = (dir.join("stdout"), dir.join("stderr"));
    let [taken_of_stdout, taken_of_stderr] = bytes.map(|bytes| bytes.written);
    Ok(stdout.is_whole_in(&out, taken_of_stdout).await && stderr.is_whole_in(&err, taken_of_stderr).await)
}

/// The last `length` bytes of the file, fewer if it is shorter.
async fn last_of(path: &Path, length: usize) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path).await?;
    let from = file.metadata().await?.len().saturating_sub(length as u64);
    file.seek(std::io::SeekFrom::Start(from)).await?;
    let mut last = Vec::with_capacity(length);
    file.take(length as u64).read_to_end(&mut last).await?;
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_is_whole_that_ends_as_the_engine_tells_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("stdout");
        let long: Vec<u8> = (0..400_000_u32).map(|n| b'a' + u8::try_from(n % 23).expect("small")).collect();
        std::fs::write(&path, &long).expect("written");
        let written = long.len() as u64;
        let told = |parts: &[&[u8]]| {
            let mut stream = Stream::default();
            for chunk in parts.iter().flat_map(|part| part.chunks(7000)) {
                stream.take(chunk);
            }
            stream
        };
        assert!(told(&[&long]).is_whole_in(&path, written).await);
        assert!(!told(&[&long, b"."]).is_whole_in(&path, written).await, "the engine has more");
        // It has forgotten the beginning, and has more or not.
        assert!(told(&[&long[300_000..]]).is_whole_in(&path, written).await);
        assert!(told(&[b"other", &long[383_616..]]).is_whole_in(&path, written).await);
        assert!(!told(&[&long[300_000..], b"."]).is_whole_in(&path, written).await);
        assert!(told(&[&long[399_990..]]).is_whole_in(&path, written).await);
        assert!(told(&[]).is_whole_in(&path, written).await, "it keeps none");
        assert!(!told(&[b"x"]).is_whole_in(&dir.path().join("none"), 2).await);
    }
}
