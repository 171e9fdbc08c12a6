//! Bubblewrap, started.

use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use nix::unistd::{Gid, Pid, Uid, fchown};
use serde::Deserialize;

use super::arguments::{Arguments, OpenSecret};
use super::link::Link;
use super::log::Log;
use crate::backend::process::descriptors::{in_memory, pass_on};
use crate::backend::process::entry;
use crate::backend::process::plan::Plan;

/// The largest secret, in bytes.
const LARGEST_SECRET: u64 = 1024 * 1024;

/// A sandbox that is being made or is there.
#[derive(Debug)]
pub(super) struct Sandbox {
    /// The link to init.
    pub link: Link,
    /// Standard output and error.
    pub logs: [Log; 2],
    info: PipeReader,
}

/// What bubblewrap tells of the sandbox.
#[derive(Debug, Deserialize)]
struct Info {
    #[serde(rename = "child-pid")]
    child_pid: i32,
}

impl Sandbox {
    /// Executes bubblewrap for `plan`; the sandbox is there when its init says so.
    pub(super) fn start(plan: &Plan) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let (output, output_end) = io::pipe()?;
        let (error, error_end) = io::pipe()?;
        let logs = [
            Log::open((&plan.log, plan.max_log), "stdout", output)?,
            Log::open((&plan.log, plan.max_log), "stderr", error)?,
        ];
        if plan.is_root {
            // Else `/dev/stdout` could not be opened by the job's user.
            for end in [&output_end, &error_end] {
                fchown(end, Some(Uid::from_raw(plan.command.uid)), Some(Gid::from_raw(plan.command.gid)))?;
            }
        }

        let (info, info_end) = io::pipe()?;
        pass_on(&info_end)?;
        // Executed through its descriptor: the sandbox then has no file of it, nor needs its path.
        let own = File::open("/proc/self/exe")?;
        pass_on(&own)?;
        let contents = plan.secrets.iter().map(|s| read_secret(&s.file)).collect::<io::Result<Vec<OwnedFd>>>()?;
        let secrets: Vec<_> = contents
            .iter()
            .zip(&plan.secrets)
            .map(|(fd, secret)| OpenSecret { fd: fd.as_raw_fd(), target: &secret.target })
            .collect();
        // Through a file in memory: the arguments of a process are for everybody to read.
        let arguments = in_memory(&Arguments::of(plan, &secrets, info_end.as_raw_fd())?.into_bytes())?;

        // Reaped with all other children, so its handle is not kept.
        Command::new(&plan.bwrap)
            .args(["--args", &arguments.as_raw_fd().to_string(), "--"])
            .args([&format!("/proc/self/fd/{}", own.as_raw_fd()), entry::INIT])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(output_end)
            .stderr(error_end)
            .spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("{} could not be executed: {e}", plan.bwrap.display())))?;
        Ok(Self { link: Link::new(ours), logs, info })
    }

    /// The number of the sandbox's init on the host; to be asked once init has spoken.
    pub(super) fn init(&mut self) -> io::Result<Pid> {
        let mut text = [0; 4096];
        let n = self.info.read(&mut text)?;
        let info: Info = serde_json::from_slice(&text[..n])?;
        Ok(Pid::from_raw(info.child_pid))
    }
}

fn read_secret(path: &std::path::Path) -> io::Result<OwnedFd> {
    let tell = |why: String| io::Error::other(format!("the secret {} {why}", path.display()));
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_SECRET + 1).read_to_end(&mut content))
        .map_err(|e| tell(format!("could not be read: {e}")))?;
    if content.len() as u64 > LARGEST_SECRET {
        return Err(tell(format!("has more than {LARGEST_SECRET} bytes")));
    }
    in_memory(&content)
}
