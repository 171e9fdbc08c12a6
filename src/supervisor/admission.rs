//! Who runs next: pure, first in first out, within a number of jobs and a budget of CPUs and memory.

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

/// The jobs at the head of `queue` that fit beside those that run. The first that does not fit holds up all behind it,
/// so that a large job is not starved by small ones.
pub(super) fn admit(budget: Budget, running: &[Reservation], queue: &[QueuedJob]) -> usize {
    let mut jobs = running.len();
    let mut cpus: f64 = running.iter().map(|reservation| reservation.cpus).sum();
    let mut memory = running.iter().fold(0_u64, |sum, reservation| sum.saturating_add(reservation.memory));
    let mut admitted = 0;
    for job in queue {
        let with_cpus = cpus + job.reservation.cpus;
        let with_memory = memory.saturating_add(job.reservation.memory);
        // What was accepted under a larger budget still runs, alone.
        let fits = (with_cpus <= budget.cpus + SLACK && with_memory <= budget.memory) || jobs == 0;
        if jobs >= budget.jobs || !fits {
            break;
        }
        (jobs, cpus, memory) = (jobs + 1, with_cpus, with_memory);
        admitted += 1;
    }
    admitted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{JobId, Timestamp};

    fn job(seq: i64, cpus: f64, memory: u64) -> QueuedJob {
        QueuedJob { seq, id: JobId::new(Timestamp::from_millis(seq)), reservation: Reservation { cpus, memory } }
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
        assert_eq!(admit(budget, &[Reservation { cpus: 0.1, memory: 1 }], &[job(1, 4.0, 1)]), 0);
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
                .map(|(cpus, memory)| Reservation { cpus: f64::from(cpus), memory }).collect();
            let queue: Vec<_> = (1_i64..).zip(queue)
                .map(|(seq, (cpus, memory))| job(seq, f64::from(cpus), memory)).collect();
            let admitted = admit(budget, &running, &queue);
            prop_assert!(admitted == 0 || running.len() + admitted <= budget.jobs);
            if running.len() + admitted > 1 && admitted > 0 {
                let all = || running.iter().chain(queue[..admitted].iter().map(|job| &job.reservation));
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
