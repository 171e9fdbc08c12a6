//! A child process with all that it starts: its own process group, ended as one.

use std::io;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// How much of what a child answers is kept, in bytes: the end of it. Room for the refs of a large repository.
const ANSWER: usize = 8 << 20;
/// How much of what a child says about itself is kept, in bytes: the end of it.
const WORDS: usize = 16 << 10;

/// How a child ended and the end of what it wrote.
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    /// Whether `stdout` is all of it.
    pub(super) is_whole: bool,
    pub(super) stderr: String,
}

/// Kills the group when dropped.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // Gone already is what is wanted.
        let _ = killpg(self.0, Signal::SIGKILL);
    }
}

/// Runs `command` without input until it ends, and then ends whatever it left behind in its process group.
///
/// Dropping the future kills the whole group at once.
///
/// # Errors
/// If it cannot be started.
pub(super) async fn run(mut command: Command) -> io::Result<Finished> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn()?;
    let id = child.id().and_then(|id| i32::try_from(id).ok()).expect("a child that was not waited for has a pid");
    // Dropped before the child is: while the child is not reaped, the number of its group cannot become another's.
    let group = Group(Pid::from_raw(id));
    let stdout = child.stdout.take().expect("piped above");
    let stderr = child.stderr.take().expect("piped above");
    let ended = async {
        let status = child.wait().await;
        // A helper that outlived its parent would hold the pipes open.
        drop(group);
        status
    };
    let (status, (stdout, is_whole), (stderr, _)) = tokio::join!(ended, tail(stdout, ANSWER), tail(stderr, WORDS));
    Ok(Finished { status: status?, stdout, is_whole, stderr })
}

/// Reads to the end and keeps the last `limit` bytes of it; whether that is all.
async fn tail(mut stream: impl AsyncRead + Unpin, limit: usize) -> (String, bool) {
    let (mut kept, mut total): (Vec<u8>, usize) = (Vec::new(), 0);
    let mut buffer = [0; 4096];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        total += count;
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > 2 * limit {
            kept.drain(..kept.len() - limit);
        }
    }
    (String::from_utf8_lossy(&kept[kept.len().saturating_sub(limit)..]).into_owned(), total <= limit)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn the_end_of_both_streams_is_kept() {
        let done = run(shell("echo out; for i in $(seq 20000); do echo $i >&2; done; exit 3")).await.expect("sh");
        assert_eq!((done.status.code(), done.stdout.as_str()), (Some(3), "out\n"));
        assert!(done.is_whole && done.stderr.len() <= WORDS && done.stderr.ends_with("19999\n20000\n"));
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_says_so() {
        let done = run(shell("head -c 20000000 /dev/zero")).await.expect("sh");
        assert_eq!((done.is_whole, done.stdout.len()), (false, ANSWER));
    }

    #[tokio::test]
    async fn a_helper_that_outlives_its_parent_is_ended() {
        // It holds the streams open: until it is gone, so long would be read.
        let done = timeout(Duration::from_secs(30), run(shell("sleep 600 & echo $!"))).await;
        assert_eq!(done.expect("it is ended").expect("sh").status.code(), Some(0));
    }
}
