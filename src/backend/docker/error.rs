//! The engine's errors in the words of the port.

use bollard::errors::Error;

use crate::domain::chain;
use crate::ports::BackendError;

/// The backend's name in messages.
pub(super) const DOCKER: &str = "docker";

/// The HTTP status that the engine answered with, if it answered.
pub(super) fn status_of(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Whether the engine may not have received the request, or its answer never came: nothing is known.
pub(super) fn is_unreachable(error: &Error) -> bool {
    match error {
        Error::RequestTimeoutError
        | Error::IOError { .. }
        | Error::HyperResponseError { .. }
        | Error::HyperLegacyError { .. }
        | Error::SocketNotFoundError(_) => true,
        Error::DockerResponseServerError { status_code, .. } => matches!(status_code, 502..=504),
        _ => false,
    }
}

/// Whether the name of a container to be created is taken; Podman tells so by a failure of its own.
pub(super) fn is_name_taken(error: &Error) -> bool {
    status_of(error) == Some(409) || words_of(error).contains("name is already in use")
}

/// Whether a container could not be told anything because it does not run; Podman tells so by a failure of its own.
pub(super) fn is_not_running(error: &Error) -> bool {
    matches!(status_of(error), Some(404 | 409)) || words_of(error).contains("container state improper")
}

/// Whether words of the engine, or of what it runs containers with, tell that the image lacks the program, or has none that
/// runs here; there is no code for that. Not for words of the program itself, which may be anybody's.
pub(super) fn is_program_missing(words: &str) -> bool {
    ["executable file", "exec: \"", "exec /", "exec user process", "exec format error"]
        .iter()
        .any(|known| words.contains(known))
}

/// What to tell of `error`, which came while `doing`.
pub(super) fn failed(doing: &'static str, error: &Error) -> BackendError {
    let why = words_of(error);
    if is_unreachable(error) {
        BackendError::Unreachable { backend: DOCKER, doing, why }
    } else if is_disk_full(&why) {
        BackendError::DiskFull { doing, why }
    } else {
        BackendError::Refused { backend: DOCKER, doing, why }
    }
}

/// A refusal of our own.
pub(super) fn refused(doing: &'static str, why: impl Into<String>) -> BackendError {
    BackendError::Refused { backend: DOCKER, doing, why: why.into() }
}

/// Whether the engine's words tell of a full disk; it has no code for that.
pub(super) fn is_disk_full(words: &str) -> bool {
    words.contains("no space left on device") || words.contains("disk quota exceeded")
}

/// The words of the engine, or of whatever kept us from it, down to the first cause.
pub(super) fn words_of(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Error::DockerStreamError { error } => error.trim().to_owned(),
        Error::RequestTimeoutError => "no answer in time".to_owned(),
        other => chain(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status_code: u16, message: &str) -> Error {
        Error::DockerResponseServerError { status_code, message: message.to_owned() }
    }

    #[test]
    fn silence_is_not_a_refusal() {
        for error in [Error::RequestTimeoutError, Error::SocketNotFoundError("/x".into()), answer(503, "starting")] {
            assert!(matches!(failed("asking", &error), BackendError::Unreachable { .. }), "{error}");
        }
        assert!(matches!(failed("asking", &answer(409, "conflict")), BackendError::Refused { .. }));
    }

    #[test]
    fn podmans_words_are_understood() {
        let taken = "the container name \"x\" is already in use by 64ae: that name is already in use";
        assert!(is_name_taken(&answer(500, taken)) && is_name_taken(&answer(409, "Conflict")));
        let ended = "can only kill running containers. 64ae is in state stopped: container state improper";
        assert!(is_not_running(&answer(500, ended)) && is_not_running(&answer(409, "is not running")));
        assert!(!is_not_running(&answer(500, "oops")) && !is_name_taken(&answer(500, "oops")));
    }

    #[test]
    fn a_program_that_is_missing_is_told_from_an_engine_in_trouble() {
        for words in [
            "starting container process caused: exec: \"chown\": executable file not found in $PATH: unknown",
            "exec /bin/chown: no such file or directory: unknown",
            "standard_init_linux.go:228: exec user process caused: exec format error",
            "crun: executable file `chown` not found in $PATH: No such file or directory: OCI runtime error",
        ] {
            assert!(is_program_missing(words), "{words}");
        }
        for words in ["cannot allocate memory", "rootfs_linux.go:60: mounting \"/x\": no such file or directory"] {
            assert!(!is_program_missing(words), "{words}");
        }
    }

    #[test]
    fn a_full_disk_is_told_as_such() {
        let full = answer(500, "write /var/lib/x: no space left on device");
        assert!(matches!(failed("creating", &full), BackendError::DiskFull { .. }));
    }
}
