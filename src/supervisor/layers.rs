//! What the runs of a job write beside its directories, as far as their backend tells how much that is.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::domain::chain;
use crate::ports::{Backend, BackendError, RunSpec};

/// How long it rests between an answer and the next question, for which an engine walks through all of these files; a slow answer
/// is followed by a longer rest.
const REST: Duration = Duration::from_secs(10);
/// How much longer than the answer took the rest is, at the least.
const CALM: u32 = 10;
/// How long the end of a job waits for the last answers.
const PATIENCE: Duration = Duration::from_secs(3);

/// Resolves once `judge` has something to say of what all of them take, of which the first question comes after 10 s. What the
/// backend cannot tell is not counted.
pub(super) async fn follow<T>(backend: &dyn Backend, specs: &[RunSpec], judge: impl Fn(u64) -> Option<T>) -> T {
    let mut rest = REST;
    let mut known = 0;
    let mut has_complained = false;
    loop {
        sleep(rest).await;
        let began = Instant::now();
        let mut bytes = 0;
        let asked = add(backend, specs, &mut bytes).await;
        // Silence is no walk, and what was told before is not less for it.
        let is_silent = matches!(asked, Err(BackendError::Unreachable { .. }));
        rest = if is_silent { REST } else { REST.max(began.elapsed() * CALM) };
        known = if asked.is_ok() { bytes } else { known.max(bytes) };
        if let Some(judged) = judge(known) {
            return judged;
        }
        if let Err(error) = asked
            && !has_complained
        {
            warn!("what is written beside a job's directories cannot be counted: {}", chain(&error));
            has_complained = true;
        }
    }
}

/// What they take now, as far as that is told within a few seconds.
pub(super) async fn last(backend: &dyn Backend, specs: &[RunSpec]) -> u64 {
    let mut bytes = 0;
    // What was told in time stays counted; why the rest was not is of no more use.
    drop(timeout(PATIENCE, add(backend, specs, &mut bytes)).await);
    bytes
}

/// Adds what each takes to `bytes`: one question after the other, so that a walk is over before the next begins.
async fn add(backend: &dyn Backend, specs: &[RunSpec], bytes: &mut u64) -> Result<(), BackendError> {
    let mut result = Ok(());
    for spec in specs {
        match backend.layer_size(&spec.run).await {
            Ok(size) => *bytes = bytes.saturating_add(size.unwrap_or(0)),
            // To ask of the others is to wait as long once more.
            Err(error @ BackendError::Unreachable { .. }) => return Err(error),
            Err(error) => result = Err(error),
        }
    }
    result
}
