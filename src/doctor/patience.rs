//! Looks that may hang: at a file system over a network, for one.

use std::time::Duration;

use super::finding::{Finding, Subject};

/// How long one look may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What `look` finds, on a thread of its own; if it hangs, that is what is found. `what` is what is looked at, as the subject of a
/// sentence.
pub(super) async fn looked(
    subject: Subject,
    what: impl Into<String>,
    look: impl FnOnce() -> Vec<Finding> + Send + 'static,
) -> Vec<Finding> {
    within(PATIENCE, look).await.unwrap_or_else(|why| {
        vec![Finding::wrong(
            subject,
            format!("{} {why}", what.into()),
            "look for a file system over a network whose server is away: findmnt -t nfs,nfs4,cifs,fuse.sshfs",
        )]
    })
}

/// What `look` gives within `patience`, else what became of it.
pub(super) async fn within<T: Send + 'static>(
    patience: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    match tokio::time::timeout(patience, tokio::task::spawn_blocking(look)).await {
        Ok(Ok(seen)) => Ok(seen),
        Ok(Err(error)) => Err(format!("could not be looked at: {error}")),
        Err(_) => Err(format!("did not answer within {} s", patience.as_secs_f32())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_hangs_is_found_to_hang() {
        let (release, hang) = std::sync::mpsc::channel::<()>();
        let seen = within(Duration::from_millis(100), move || hang.recv().is_ok()).await;
        assert_eq!(seen, Err("did not answer within 0.1 s".to_owned()));
        drop(release);
        assert_eq!(within(PATIENCE, || 7).await, Ok(7));
    }
}
