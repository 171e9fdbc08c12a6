//! Files of jobs: opened so that no link leads out of the job's directory, streamed in pieces.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use warp::reply::Response;

use super::range::{Wanted, wanted};
use super::reply::ApiError;
use super::resource::streamed;
use crate::supervisor::Gate;

/// How much is read at a time.
const PIECE: usize = 64 << 10;

/// A regular file, as it was when it was opened.
#[derive(Debug)]
pub(super) struct Opened {
    gate: Gate,
    file: File,
    size: u64,
    etag: String,
    modified: Option<String>,
}

/// Opens the regular file `path` of the directory `below` of `root`, off the runtime; that and all that is read of it goes
/// through `gate`.
///
/// The job may have made anything there: links to other places, devices, FIFOs. Links are never followed, also in
/// the middle of a path, and what is no regular file is not there: `None`, as for a file that is gone.
///
/// # Errors
/// [`ApiError::File`] if there is such a file and it cannot be read; [`ApiError::Silent`] if its disk does not answer.
pub(super) async fn open_below(
    gate: &Gate,
    root: PathBuf,
    below: PathBuf,
    path: String,
) -> Result<Option<Opened>, ApiError> {
    let behind = gate.clone();
    let opened = gate.pass_in_time(move || open_now(behind, &root, &below, Path::new(&path))).await?;
    opened.map_err(ApiError::File)
}

fn open_now(gate: Gate, root: &Path, below: &Path, path: &Path) -> io::Result<Option<Opened>> {
    let directory = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    // A FIFO must not make us wait for its other end, a terminal must not become ours.
    let regular = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let opened = open(root, directory, Mode::empty())
        .and_then(|root| openat2(root, below, strictly(directory)))
        .and_then(|below| openat2(below, path, strictly(regular)));
    match opened {
        Ok(file) => Opened::of(gate, file),
        // Gone; or a link, a way out, or something that cannot be opened for reading like a socket.
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV | Errno::ENXIO | Errno::ENAMETOOLONG) => {
            Ok(None)
        }
        Err(errno) => Err(errno.into()),
    }
}

fn strictly(flags: OFlag) -> OpenHow {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    OpenHow::new().flags(flags).resolve(resolve)
}

impl Opened {
    fn of(gate: Gate, fd: OwnedFd) -> io::Result<Option<Self>> {
        let file = File::from(fd);
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Ok(None);
        }
        let etag = format!("\"{:x}-{:x}-{:x}.{:x}\"", facts.ino(), facts.len(), facts.mtime(), facts.mtime_nsec());
        let modified = facts.modified().ok().map(httpdate::fmt_http_date);
        Ok(Some(Self { gate, file, size: facts.len(), etag, modified }))
    }

    /// The file as an answer, as a whole or in the part that the headers ask for.
    ///
    /// Only so many bytes are sent as were there when it was opened, also of a log that grows.
    ///
    /// # Errors
    /// [`ApiError::NoSuchRange`].
    pub(super) fn respond(self, method: &Method, asked: &HeaderMap) -> Result<Response, ApiError> {
        if is_known(asked, &self.etag) {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            self.describe(response.headers_mut());
            return Ok(response);
        }
        let size = self.size;
        let (status, first, length) = match self.wanted(method, asked) {
            Wanted::Whole => (StatusCode::OK, 0, size),
            Wanted::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
            Wanted::Nothing => return Err(ApiError::NoSuchRange { size }),
        };
        let mut headers = HeaderMap::new();
        self.describe(&mut headers);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        if status == StatusCode::PARTIAL_CONTENT {
            headers.insert(CONTENT_RANGE, digits(format!("bytes {first}-{}/{size}", first + length - 1)));
        }
        let mut response = if method == Method::HEAD { Response::default() } else { self.part(first, length) };
        *response.status_mut() = status;
        response.headers_mut().extend(headers);
        Ok(response)
    }

    /// The last `most` bytes of it.
    ///
    /// # Errors
    /// [`ApiError::File`], [`ApiError::Silent`].
    pub(super) async fn tail(self, most: usize) -> Result<Vec<u8>, ApiError> {
        let Self { gate, file, size, .. } = self;
        let first = size.saturating_sub(most as u64);
        let tail = gate.pass_in_time(move || read_at(&file, first, most)).await?;
        tail.map_err(ApiError::File)
    }

    fn wanted(&self, method: &Method, asked: &HeaderMap) -> Wanted {
        let Some(range) = asked.get(RANGE).filter(|_| method == Method::GET) else { return Wanted::Whole };
        let is_same = asked.get(IF_RANGE).is_none_or(|condition| {
            condition == self.etag.as_str() || self.modified.as_deref().is_some_and(|modified| condition == modified)
        });
        match range.to_str() {
            Ok(range) if is_same => wanted(range, self.size),
            Ok(_) | Err(_) => Wanted::Whole,
        }
    }

    fn describe(&self, headers: &mut HeaderMap) {
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.insert(ETAG, digits(self.etag.clone()));
        if let Some(modified) = &self.modified {
            headers.insert(LAST_MODIFIED, digits(modified.clone()));
        }
    }

    /// A file that has become shorter ends early, and the connection with it.
    fn part(self, first: u64, length: u64) -> Response {
        let (gate, file) = (self.gate, Arc::new(self.file));
        let pieces = stream::try_unfold((first, length), move |(at, left)| {
            let (gate, file) = (gate.clone(), Arc::clone(&file));
            async move {
                let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                if most == 0 {
                    return Ok(None);
                }
                let piece = gate.pass(move || read_at(&file, at, most)).await?;
                let read = piece.len() as u64;
                Ok((read > 0).then(|| (Bytes::from(piece), (at + read, left - read))))
            }
        });
        streamed(pieces.map_err(|error: io::Error| {
            tracing::error!(%error, "a job's file broke off while it was sent");
            error.into()
        }))
    }
}

/// Up to `most` bytes from `first` on: fewer at the end of the file.
fn read_at(file: &File, first: u64, most: usize) -> io::Result<Vec<u8>> {
    let (mut piece, mut read) = (vec![0; most], 0);
    while read < most {
        match file.read_at(&mut piece[read..], first + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(read);
    Ok(piece)
}

/// Whether the client has this very file already.
fn is_known(asked: &HeaderMap, etag: &str) -> bool {
    asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == etag)
    })
}

fn digits(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits, names of days and months, quotes and dashes")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::unistd::mkfifo;

    use super::*;

    fn opened(dir: &Path, path: &str) -> Option<String> {
        let opened = open_now(Gate::default(), dir, Path::new("job/out"), Path::new(path)).expect("no error")?;
        Some(io::read_to_string(opened.file).expect("readable"))
    }

    #[test]
    fn only_regular_files_below_the_directory_are_opened() {
        let dir = tempfile::tempdir().expect("temp dir");
        let out = dir.path().join("job/out");
        fs::create_dir_all(out.join("sub")).expect("made");
        fs::write(dir.path().join("secret"), "secret").expect("written");
        fs::write(out.join("plain"), "plain").expect("written");
        fs::write(out.join("sub/deep"), "deep").expect("written");
        fs::hard_link(out.join("plain"), out.join("hard")).expect("linked");
        symlink("/etc/passwd", out.join("away")).expect("linked");
        symlink("plain", out.join("near")).expect("linked");
        symlink("/etc", out.join("etc")).expect("linked");
        symlink("/proc/self/root", out.join("magic")).expect("linked");
        mkfifo(&out.join("fifo"), Mode::S_IRWXU).expect("made");
        let _socket = std::os::unix::net::UnixListener::bind(out.join("socket")).expect("made");
        for (path, content) in [("plain", "plain"), ("sub/deep", "deep"), ("hard", "plain")] {
            assert_eq!(opened(dir.path(), path).as_deref(), Some(content));
        }
        for path in [
            "away",
            "near",
            "etc/passwd",
            "magic/etc/passwd",
            "fifo",
            "socket",
            "sub",
            "gone",
            "plain/x",
            "",
            ".",
            "../secret",
            "../../secret",
            "sub/../../../secret",
            "/etc/passwd",
            &"x".repeat(300),
        ] {
            assert_eq!(opened(dir.path(), path), None, "{path}");
        }
    }

    #[test]
    fn a_directory_that_became_a_link_is_not_followed() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::create_dir_all(dir.path().join("job")).expect("made");
        symlink("/etc", dir.path().join("job/out")).expect("linked");
        assert_eq!(opened(dir.path(), "passwd"), None);
    }

    #[test]
    fn a_client_that_has_the_file_is_recognised() {
        for (given, is_known_already) in
            [("\"a\"", true), ("W/\"a\"", true), ("\"b\", \"a\"", true), ("*", true), ("\"b\"", false)]
        {
            let asked = [(IF_NONE_MATCH, HeaderValue::from_static(given))].into_iter().collect();
            assert_eq!(is_known(&asked, "\"a\""), is_known_already, "{given}");
        }
    }
}
