//! The file of a Unix socket: made with the right mode, replaced only if it is stale, removed at the end.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};

use super::listen::BindError;

/// A socket file of ours; dropping it removes the file, unless another one has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    /// Listens at `path`, for this user and group only (mode 0660).
    pub(super) fn listen(path: &Path) -> Result<(UnixListener, Self), BindError> {
        let failed = |source: io::Error| BindError::unix(path, source);
        clear_stale(path)?;
        let address = UnixAddr::new(path).map_err(|errno| failed(errno.into()))?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(|errno| failed(errno.into()))?;
        bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &address).map_err(|errno| failed(errno.into()))?;
        // Nobody can connect before `listen`, so nobody slips in while the mode is still the umask's.
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed)?;
        let facts = fs::symlink_metadata(path).map_err(failed)?;
        let file = Self { path: path.to_owned(), inode: (facts.dev(), facts.ino()) };
        listen(&fd, Backlog::MAXCONN).map_err(|errno| failed(errno.into()))?;
        Ok((UnixListener::from(fd), file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|facts| (facts.dev(), facts.ino()) == self.inode);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket file could not be removed");
        }
    }
}

/// Removes a socket file that a daemon left behind; one where somebody listens is left alone.
fn clear_stale(path: &Path) -> Result<(), BindError> {
    let facts = match fs::symlink_metadata(path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BindError::unix(path, error)),
    };
    if !facts.file_type().is_socket() {
        return Err(BindError::NotASocket { path: path.to_owned() });
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(BindError::Taken { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| BindError::unix(path, error))
        }
        Err(error) => Err(BindError::unix(path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_the_file_goes_with_its_owner() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("s");
        drop(UnixListener::bind(&path).expect("left behind"));
        assert!(path.exists());
        let (_listener, file) = SocketFile::listen(&path).expect("replaces it");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o660);
        UnixStream::connect(&path).expect("listens");
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_where_somebody_listens_is_left_alone() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("s");
        let _other = UnixListener::bind(&path).expect("other daemon");
        assert!(matches!(SocketFile::listen(&path), Err(BindError::Taken { .. })));
        UnixStream::connect(&path).expect("still there");
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("s");
        fs::write(&path, "precious").expect("written");
        assert!(matches!(SocketFile::listen(&path), Err(BindError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).expect("there"), "precious");
    }

    #[test]
    fn a_file_that_took_its_place_is_left_alone() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("s");
        let (_listener, file) = SocketFile::listen(&path).expect("listens");
        fs::rename(&path, dir.path().join("old")).expect("moved");
        let _other = UnixListener::bind(&path).expect("other daemon");
        drop(file);
        assert!(path.exists());
    }
}
