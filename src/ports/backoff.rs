//! How long to wait before trying again.

use std::time::Duration;

/// Waits that double from a fifth of a second to ten seconds.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(10);

    pub(crate) const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// Waits; the next wait is twice as long.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(Self::LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_ten_seconds() {
        let begin = tokio::time::Instant::now();
        let mut backoff = Backoff::new();
        for _ in 0..7 {
            backoff.wait().await;
        }
        assert_eq!(begin.elapsed().as_millis(), 200 + 400 + 800 + 1600 + 3200 + 6400 + 10_000);
    }
}
