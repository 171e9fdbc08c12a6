//! What a client may ask of a job's limits: clamped, not refused (UWS 1.1 §2.2.3.3–4).

use std::time::Duration;

use crate::config::Service;
use crate::domain::Timestamp;

/// The soonest destruction: the redirect after a change must still find the job.
const SOONEST: Duration = Duration::from_secs(10);
/// The longest duration that the XML can show (`xs:int` seconds).
const LONGEST: Duration = Duration::from_secs(i32::MAX as u64);

/// The execution duration in force for one that was asked for; `None` is without limit.
pub(super) fn execution_duration(service: &Service, asked: Option<Duration>) -> Option<Duration> {
    match (asked, service.max_execution_duration) {
        (asked, None) => asked.map(|asked| asked.min(LONGEST)),
        (None, Some(max)) => Some(max),
        (Some(asked), Some(max)) => Some(asked.min(max)),
    }
}

/// The destruction time in force for one that was asked for; `None` asks for the latest there is.
pub(super) fn destruction(service: &Service, asked: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let latest = service.max_destruction.map(|max| now.after(max));
    match (asked, latest) {
        (None, latest) => latest,
        (Some(asked), None) => Some(asked.max(now.after(SOONEST))),
        (Some(asked), Some(latest)) => Some(asked.min(latest).max(now.after(SOONEST))),
    }
}

/// The time between TERM and KILL in force for one that was asked for.
pub(super) fn kill_grace(service: &Service, asked: Duration) -> Duration {
    asked.min(service.max_kill_grace)
}

#[cfg(all(test, feature = "test-support"))]
mod tests {
    use super::*;
    use crate::config::testing;

    #[test]
    fn durations_are_clamped_to_the_service_and_zero_is_its_maximum() {
        let free = testing::service();
        let capped = Service { max_execution_duration: Some(Duration::from_secs(100)), ..free.clone() };
        let secs = |n| Some(Duration::from_secs(n));
        assert_eq!(execution_duration(&free, None), None);
        assert_eq!(execution_duration(&free, secs(u64::MAX)), Some(LONGEST));
        assert_eq!(execution_duration(&capped, None), secs(100));
        assert_eq!(execution_duration(&capped, secs(200)), secs(100));
        assert_eq!(execution_duration(&capped, secs(7)), secs(7));
    }

    #[test]
    fn destruction_is_neither_past_nor_beyond_the_maximum() {
        let now = Timestamp::from_millis(1_000_000);
        let free = testing::service();
        let capped = Service { max_destruction: Some(Duration::from_secs(100)), ..free.clone() };
        assert_eq!(destruction(&free, None, now), None);
        assert_eq!(destruction(&free, Some(Timestamp::from_millis(0)), now), Some(now.after(SOONEST)));
        assert_eq!(destruction(&capped, None, now), Some(now.after(Duration::from_secs(100))));
        let far = now.after(Duration::from_secs(1000));
        assert_eq!(destruction(&capped, Some(far), now), Some(now.after(Duration::from_secs(100))));
    }
}
