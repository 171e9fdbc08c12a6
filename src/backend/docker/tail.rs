//! Whether a log that was followed to its end is as the engine has it.
//!
//! Who follows the log of a container that ends at that moment may be told that it is over before the last of it was
//! told: Docker Engine 20.10 does so with its `local` driver, most of all where it was halted meanwhile. And where its file is
//! rotated meanwhile, it tells some of it twice or leaves some out. Asked again, it tells all, once.

use std::cmp::Ordering;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::LogsOptions;
use futures_util::StreamExt;

use super::connect::Client;
use super::spool::Taken;

/// How much of two ends is compared: less than a file holds of its stream's behind a cut, however short it is kept.
pub(super) const COMPARED: usize = 16 << 10;

/// One stream as the engine has it.
#[derive(Debug, Default)]
struct Stream {
    told: u64,
    /// The first of it, as far as it is compared.
    first: Vec<u8>,
    /// The last of it, as far as it is compared and perhaps more.
    last: Vec<u8>,
}

impl Stream {
    fn take(&mut self, bytes: &[u8]) {
        self.told += bytes.len() as u64;
        self.first.extend_from_slice(&bytes[..bytes.len().min(COMPARED - self.first.len())]);
        self.last.extend_from_slice(bytes);
        if self.last.len() > 4 * COMPARED {
            self.last.drain(..self.last.len() - COMPARED);
        }
    }

    fn end(&self) -> &[u8] {
        &self.last[self.last.len().saturating_sub(COMPARED)..]
    }

    /// Whether it begins as what was `taken`: then nothing of it is forgotten.
    fn has_beginning(&self, taken: &Taken) -> bool {
        !self.first.is_empty() && taken.begin.starts_with(&self.first)
    }

    /// Whether what was `taken` is as long and has its end. Of a long stream the engine has forgotten the beginning: then only the
    /// ends can be compared.
    fn is_whole_in(&self, taken: &Taken) -> bool {
        match self.told.cmp(&taken.written) {
            Ordering::Equal => true,
            Ordering::Greater => false,
            Ordering::Less => !self.has_beginning(taken) && taken.end.ends_with(self.end()),
        }
    }
}

/// Whether of both logs all was `taken` that the engine kept of the ends of its container's.
///
/// # Errors
/// The engine does not tell.
pub(super) async fn is_whole(client: &Client, container: &str, taken: &[Taken; 2]) -> Result<bool, Error> {
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
    Ok(stdout.is_whole_in(&taken[0]) && stderr.is_whole_in(&taken[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_whole_that_ends_as_the_engine_tells_it() {
        let long: Vec<u8> = (0..400_000_u32).map(|n| b'a' + u8::try_from(n % 23).expect("small")).collect();
        let taken = |long: &[u8]| Taken {
            written: long.len() as u64,
            begin: long[..COMPARED].to_vec(),
            end: long[long.len() - COMPARED..].to_vec(),
        };
        let told = |parts: &[&[u8]]| {
            let mut stream = Stream::default();
            for chunk in parts.iter().flat_map(|part| part.chunks(7000)) {
                stream.take(chunk);
            }
            stream
        };
        assert!(told(&[&long]).is_whole_in(&taken(&long)));
        assert!(!told(&[&long, b"."]).is_whole_in(&taken(&long)), "the engine has more");
        // It has forgotten the beginning, and has more or not.
        assert!(told(&[&long[300_000..]]).is_whole_in(&taken(&long)));
        assert!(told(&[b"other", &long[383_616..]]).is_whole_in(&taken(&long)));
        assert!(!told(&[&long[300_000..], b"."]).is_whole_in(&taken(&long)));
        assert!(told(&[&long[399_990..]]).is_whole_in(&taken(&long)));
        assert!(told(&[]).is_whole_in(&taken(&long)), "it keeps none");
        let unread = Taken { written: 2, begin: Vec::new(), end: Vec::new() };
        assert!(!told(&[b"x"]).is_whole_in(&unread), "it could not be read");
        // It told some of it twice.
        let double = [&long[..200_000], &long[100_000..]].concat();
        assert!(!told(&[&long]).is_whole_in(&taken(&double)));
        assert!(!told(&[b"short"]).is_whole_in(&Taken {
            written: 10,
            begin: b"shortshort".to_vec(),
            end: b"shortshort".to_vec()
        }));
    }
}
