//! Who runs next: pure, first in first out, within a number of jobs and a budget of CPUs and memory.

use std::collections::HashMap;

use crate::domain::Reservation;
use crate::ports::QueuedJob;

/// What may be given out to running jobs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Budget {
    /// How many jobs may run.
    pub(super) jobs: usize,
    /// CPUs in all.
    pub(super) cpus: f64,
    /// Memory in all, in bytes.
    pub(super) memory: u64,
}

/// CPUs are compared with this slack: a sum of thirds must not fail to fit into one by a rounding error.
const SLACK: f64 = 1e-6;

/// What runs already.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Running<'a> {
    /// The service of the job.
    pub(super) service: &'a str,
    /// What it takes from the budget.
    pub(super) reservation: Reservation,
}

/// The positions of the jobs of `queue` that fit beside those that run. The first that does not fit holds up all behind
/// it, so that a large job is not starved by small ones; but a job whose service has as many as it may (`most`; `None` is
/// any number) only holds up those of its own service.
pub(super) fn admit(
    budget: Budget,
    most: impl Fn(&str) -> Option<usize>,
    running: &[Running<'_>],
    queue: &[QueuedJob],
) -> Vec<usize> {
    let mut jobs = running.len();
    let mut cpus: f64 = running.iter().map(|running| running.reservation.cpus).sum();
    let mut memory = running.iter().fold(0_u64, |sum, running| sum.saturating_add(running.reservation.memory));
    let mut of_service: HashMap<&str, usize> = HashMap::new();
    for running in running {
        *of_service.entry(running.service).or_default() += 1;
    }
    let mut admitted = Vec::new();
    for (position, job) in queue.iter().enumerate() {
        let beside = of_service.entry(&job.service).or_default();
        if most(&job.service).is_some_and(|most| *beside >= most) {
            continue;
        }
        let with_cpus = cpus + job.reservation.cpus;
        let with_memory = memory.saturating_add(job.reservation.memory);
        // What was accepted under a larger budget still runs, alone.
        let fits = (with_cpus <= budget.cpus + SLACK && with_memory <= budget.memory) || jobs == 0;
        if jobs >= budget.jobs || !fits {
            break;
        }
        (jobs, cpus, memory) = (jobs + 1, with_cpus, with_memory);
        *beside += 1;
        admitted.push(position);
    }
    admitted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{JobId, Timestamp};

    fn job(seq: i64, cpus: f64, memory: u64) -> QueuedJob {
        let id = JobId::new(Timestamp::from_millis(seq));
        QueuedJob { seq, id, service: "a".to_owned(), reservation: Reservation { cpus, memory } }
    }

    fn running(cpus: f64, memory: u64) -> Running<'static> {
        Running { service: "a", reservation: Reservation { cpus, memory } }
    }

    /// How many of the queue are admitted, which are its first ones.
    fn admit(budget: Budget, running: &[Running<'_>], queue: &[QueuedJob]) -> usize {
        let admitted = super::admit(budget, |_| None, running, queue);
        assert!(admitted.iter().copied().eq(0..admitted.len()));
        admitted.len()
    }

    #[test]
    fn a_service_that_has_its_share_holds_up_itself_only() {
        let of = |seq, service: &str| QueuedJob { service: service.to_owned(), ..job(seq, 1.0, 1) };
        let queue = [of(1, "a"), of(2, "a"), of(3, "b"), of(4, "a"), of(5, "b")];
        let budget = Budget { jobs: 4, cpus: 10.0, memory: 10 };
        let most = |service: &str| (service == "a").then_some(2);
        assert_eq!(super::admit(budget, most, &[running(1.0, 1)], &queue), [0, 2, 4]);
        assert_eq!(super::admit(budget, most, &[], &queue), [0, 1, 2, 4]);
        assert_eq!(super::admit(budget, |_| Some(0), &[], &queue), [0_usize; 0]);
    }

    #[test]
    fn the_first_that_does_not_fit_holds_up_the_rest() {
        let budget = Budget { jobs: 10, cpus: 2.0, memory: 100 };
        let queue = [job(1, 1.0, 10), job(2, 1.5, 10), job(3, 0.5, 10)];
        assert_eq!(admit(budget, &[], &queue), 1);
        assert_eq!(admit(Budget { cpus: 3.0, ..budget }, &[], &queue), 3);
        assert_eq!(admit(Budget { jobs: 2, cpus: 3.0, ..budget }, &[], &queue), 2);
        assert_eq!(admit(Budget { jobs: 0, ..budget }, &[], &queue), 0);
    }

    #[test]
    fn three_thirds_are_one() {
        let budget = Budget { jobs: 10, cpus: 0.3, memory: 100 };
        assert_eq!(admit(budget, &[], &[job(1, 0.1, 1), job(2, 0.1, 1), job(3, 0.1, 1)]), 3);
    }

    #[test]
    fn a_job_larger_than_the_budget_runs_alone() {
        let budget = Budget { jobs: 2, cpus: 1.0, memory: 100 };
        assert_eq!(admit(budget, &[], &[job(1, 4.0, 1), job(2, 0.1, 1)]), 1);
        assert_eq!(admit(budget, &[running(0.1, 1)], &[job(1, 4.0, 1)]), 0);
    }

    proptest! {
        #[test]
        fn no_more_than_the_budget_is_given_out(
            limits in (1_usize..8, 1_u32..16, 1_u64..64),
            running in proptest::collection::vec((0_u32..4, 0_u64..16), 0..4),
            queue in proptest::collection::vec((0_u32..4, 0_u64..16), 0..12),
        ) {
            let budget = Budget { jobs: limits.0, cpus: f64::from(limits.1), memory: limits.2 };
            let running: Vec<_> = running.into_iter()
                .map(|(cpus, memory)| super::tests::running(f64::from(cpus), memory)).collect();
            let queue: Vec<_> = (1_i64..).zip(queue)
                .map(|(seq, (cpus, memory))| job(seq, f64::from(cpus), memory)).collect();
            let admitted = admit(budget, &running, &queue);
            prop_assert!(admitted == 0 || running.len() + admitted <= budget.jobs);
            if running.len() + admitted > 1 && admitted > 0 {
                let all = || running.iter().map(|running| running.reservation).chain(queue[..admitted].iter().map(|job| job.reservation));
                prop_assert!(all().map(|r| r.cpus).sum::<f64>() <= budget.cpus + SLACK);
                prop_assert!(all().map(|r| r.memory).sum::<u64>() <= budget.memory);
            }
            // Nothing idles beside a job that could run.
            if running.is_empty() && !queue.is_empty() {
                prop_assert!(admitted > 0);
            }
        }
    }
}
