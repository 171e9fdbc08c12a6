//! Programs of the host that are asked something.

use std::process::Stdio;

use tokio::process::Command;

use super::patience::PATIENCE;

/// What a program prints, or `None` where it is not there, fails or hangs.
pub(super) async fn printed(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    // Those of systemd's would tell it of their own failure as if it were the daemon's.
    command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
