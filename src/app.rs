//! The only place where adapters are chosen and wired to ports.

use crate::config::Config;
use crate::lifecycle::Lifecycle;

/// Runs the daemon until it is stopped.
///
/// # Errors
/// What kept it from starting, or an end that nobody asked for.
pub async fn run(_config: Config, lifecycle: Lifecycle) -> Result<(), anyhow::Error> {
    lifecycle.ready();
    lifecycle.run_until_stopped().await?;
    Ok(())
}
