//! What backends need of the daemon's own system: threads that may block, the words for a full disk, its boot.

use std::io;
use std::path::Path;

use crate::ports::{BackendError, LogLoss};

/// The file that holds the boot id of this host.
pub(super) const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The boot id in `file`.
pub(super) fn boot_id(file: &Path) -> io::Result<String> {
    Ok(std::fs::read_to_string(file)?.trim().to_owned())
}

/// Does something that may block on a thread of its own; once begun it comes to its end, whoever waits for it.
pub(super) async fn blocking<T: Send + 'static>(
    doing: &'static str,
    deed: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BackendError> {
    let done = tokio::task::spawn_blocking(deed).await.unwrap_or_else(|error| Err(error.into()));
    done.map_err(|error| io_failed(doing, error))
}

/// A failed operation on our own files.
pub(super) fn io_failed(doing: &'static str, source: io::Error) -> BackendError {
    if is_full(&source) {
        BackendError::DiskFull { doing, why: source.to_string() }
    } else {
        BackendError::Io { doing, source }
    }
}

/// How long the logs in `dir` are, `stdout` and `stderr`; one that was never opened is empty.
pub(super) fn kept_in(dir: &Path) -> [u64; 2] {
    ["stdout", "stderr"].map(|stream| std::fs::metadata(dir.join(stream)).map_or(0, |file| file.len()))
}

/// Whether there was no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Why something is missing in the log `stream`.
pub(super) fn log_error(stream: &str, error: &io::Error) -> LogLoss {
    let is_full = is_full(error);
    let why = if is_full {
        format!("no room left while writing {stream}")
    } else {
        format!("writing {stream} failed: {error}")
    };
    LogLoss { why, is_full }
}
