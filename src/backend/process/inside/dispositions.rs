//! What a process does at a signal, as a program finds it when it begins.

use std::io;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};

/// Gives every signal its default action back: whoever started the daemon may have had some ignored, as a shell does for
/// what it runs in the background, and that is inherited over `exec`.
pub(super) fn reset() -> io::Result<()> {
    for one in Signal::iterator() {
        #[expect(unsafe_code, reason = "signal(2) is unsafe for the sake of handlers, and there is no safe wrapper")]
        // SAFETY: the default action is no handler, so no code of ours can ever run at a bad moment.
        let set = unsafe { signal(one, SigHandler::SigDfl) };
        match set {
            // The two that cannot be caught, and thus not be ignored either.
            Ok(_) | Err(Errno::EINVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
