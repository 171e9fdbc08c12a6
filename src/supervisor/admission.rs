//! Who runs next: pure; in fair turns, within a number of jobs and a budget of CPUs and memory.
//!
//! The next job is of the service that has least of its share running, there of the owner with fewest jobs running, and
//! of those the oldest. A job that does not fit holds up all that come after it in this order, so that a large job is
//! not starved by small ones. One whose service or owner has as many as it may is passed over.

use std::collections::HashMap;

use crate::config::Service;
use crate::domain::{OwnerId, Reservation};
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

/// What a service may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    /// How many of its jobs may run; `None` is any number.
    pub(super) jobs: Option<usize>,
    /// How many of one owner.
    pub(super) of_owner: Option<usize>,
    /// How much it has beside others that have jobs waiting, above 0.
    pub(super) weight: f64,
}

impl Share {
    /// That of a service that is not configured any more: any number, as all others.
    pub(super) const NONE: Self = Self { jobs: None, of_owner: None, weight: 1.0 };

    pub(super) fn of(service: &Service) -> Self {
        let some = |most: u32| usize::try_from(most).ok().filter(|most| *most > 0);
        Self { jobs: some(service.max_running), of_owner: some(service.max_running_per_owner), weight: service.weight }
    }
}

/// What runs already.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Running<'a> {
    /// The service of the job.
    pub(super) service: &'a str,
    /// Its owner.
    pub(super) owner: Option<&'a OwnerId>,
    /// What it takes from the budget.
    pub(super) reservation: Reservation,
}

/// What is given out.
struct Given<'a> {
    jobs: usize,
    cpus: f64,
    memory: u64,
    of_service: HashMap<&'a str, usize>,
    of_owner: HashMap<(&'a str, Option<&'a OwnerId>), usize>,
}

impl<'a> Given<'a> {
    fn give(&mut self, service: &'a str, owner: Option<&'a OwnerId>, reservation: Reservation) {
        self.jobs += 1;
        self.cpus += reservation.cpus;
        self.memory = self.memory.saturating_add(reservation.memory);
        *self.of_service.entry(service).or_default() += 1;
        *self.of_owner.entry((service, owner)).or_default() += 1;
    }

    fn of_service(&self, job: &QueuedJob) -> usize {
        self.of_service.get(job.service.as_str()).copied().unwrap_or(0)
    }

    fn of_owner(&self, job: &QueuedJob) -> usize {
        self.of_owner.get(&(job.service.as_str(), job.owner.as_ref())).copied().unwrap_or(0)
    }

    /// Whether the service and the owner of the job may have one more.
    fn has_share(&self, job: &QueuedJob, share: Share) -> bool {
        share.jobs.is_none_or(|most| self.of_service(job) < most)
            && share.of_owner.is_none_or(|most| self.of_owner(job) < most)
    }

    /// Whether it fits. What was accepted under a larger budget still runs, alone.
    fn fits(&self, job: &QueuedJob, budget: Budget) -> bool {
        let fits = self.cpus + job.reservation.cpus <= budget.cpus + SLACK
            && self.memory.saturating_add(job.reservation.memory) <= budget.memory;
        self.jobs < budget.jobs && (fits || self.jobs == 0)
    }
}

/// The positions of the jobs of `queue`, oldest first, that may start beside those that run, in the order of their turns.
pub(super) fn admit<'a>(
    budget: Budget,
    share: impl Fn(&str) -> Share,
    running: &[Running<'a>],
    queue: &'a [QueuedJob],
) -> Vec<usize> {
    let mut given = Given { jobs: 0, cpus: 0.0, memory: 0, of_service: HashMap::new(), of_owner: HashMap::new() };
    for Running { service, owner, reservation } in running {
        given.give(service, *owner, *reservation);
    }
    let mut admitted = Vec::new();
    let mut waiting: Vec<usize> = (0..queue.len()).collect();
    while let Some(turn) = next(&given, &share, queue, &waiting) {
        let position = waiting.remove(turn);
        let job = &queue[position];
        if !given.fits(job, budget) {
            break;
        }
        given.give(&job.service, job.owner.as_ref(), job.reservation);
        admitted.push(position);
    }
    admitted
}

/// Whose turn it is, as an index of `waiting`.
fn next(given: &Given<'_>, share: impl Fn(&str) -> Share, queue: &[QueuedJob], waiting: &[usize]) -> Option<usize> {
    let mut best: Option<(usize, f64, usize)> = None;
    for (turn, position) in waiting.iter().enumerate() {
        let job = &queue[*position];
        let share = share(&job.service);
        if !given.has_share(job, share) {
            continue;
        }
        #[expect(clippy::cast_precision_loss, reason = "few jobs run")]
        let used = given.of_service(job) as f64 / share.weight;
        let of_owner = given.of_owner(job);
        // Only what is really less goes before what is older.
        if best.is_none_or(|(_, least, fewest)| used < least || (used <= least && of_owner < fewest)) {
            best = Some((turn, used, of_owner));
        }
    }
    best.map(|(turn, ..)| turn)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{JobId, Timestamp};

    fn job(seq: i64, cpus: f64, memory: u64) -> QueuedJob {
        let id = JobId::new(Timestamp::from_millis(seq));
        QueuedJob { seq, id, service: "a".to_owned(), owner: None, reservation: Reservation { cpus, memory } }
    }

    fn running(cpus: f64, memory: u64) -> Running<'static> {
        Running { service: "a", owner: None, reservation: Reservation { cpus, memory } }
    }

    /// How many of the queue are admitted, which are its first ones.
    fn admit(budget: Budget, running: &[Running<'_>], queue: &[QueuedJob]) -> usize {
        let admitted = super::admit(budget, |_| ANY, running, queue);
        assert!(admitted.iter().copied().eq(0..admitted.len()));
        admitted.len()
    }

    const ANY: Share = Share::NONE;
    const ROOM: Budget = Budget { jobs: 4, cpus: 100.0, memory: 100 };

    fn of(seq: i64, service: &str, owner: &str) -> QueuedJob {
        let owner = (!owner.is_empty()).then(|| OwnerId::new(owner));
        QueuedJob { service: service.to_owned(), owner, ..job(seq, 1.0, 1) }
    }

    #[test]
    fn services_take_turns_and_one_that_has_its_share_is_passed_over() {
        let queue = [of(1, "a", ""), of(2, "a", ""), of(3, "a", ""), of(4, "b", ""), of(5, "b", "")];
        let share = |service: &str| if service == "a" { Share { jobs: Some(2), ..ANY } } else { ANY };
        assert_eq!(super::admit(ROOM, |_| ANY, &[], &queue), [0, 3, 1, 4]);
        assert_eq!(super::admit(ROOM, share, &[running(1.0, 1)], &queue), [3, 0, 4]);
        assert_eq!(super::admit(ROOM, |_| Share { jobs: Some(0), ..ANY }, &[], &queue), [0_usize; 0]);
        let heavy = |service: &str| if service == "b" { Share { weight: 3.0, ..ANY } } else { ANY };
        let more = [of(1, "a", ""), of(2, "a", ""), of(3, "b", ""), of(4, "b", ""), of(5, "b", ""), of(6, "b", "")];
        assert_eq!(super::admit(ROOM, heavy, &[], &more), [0, 2, 3, 4], "three for one");
    }

    #[test]
    fn owners_take_turns_within_a_service() {
        let queue = [of(1, "a", "me"), of(2, "a", "me"), of(3, "a", "me"), of(4, "a", "you"), of(5, "a", "them")];
        assert_eq!(super::admit(ROOM, |_| ANY, &[], &queue), [0, 3, 4, 1]);
        let one_each = Share { of_owner: Some(1), ..ANY };
        assert_eq!(super::admit(ROOM, |_| one_each, &[], &queue), [0, 3, 4]);
        let me = OwnerId::new("me");
        let mine = Running { owner: Some(&me), ..running(1.0, 1) };
        assert_eq!(super::admit(ROOM, |_| one_each, &[mine], &queue), [3, 4]);
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
    fn a_large_job_is_not_starved_by_a_stream_of_small_ones() {
        let budget = Budget { jobs: 10, cpus: 4.0, memory: 1000 };
        let large = QueuedJob { reservation: Reservation { cpus: 4.0, memory: 1 }, ..of(1, "large", "") };
        // Two of three small ones go on, and two more wait behind the large one.
        let small = of(2, "small", "");
        let beside = [Running { service: "small", ..running(1.0, 1) }; 2];
        let queue = [large.clone(), small.clone(), of(3, "small", "")];
        assert_eq!(super::admit(budget, |_| ANY, &beside, &queue), [0_usize; 0]);
        assert_eq!(super::admit(budget, |_| ANY, &[], &queue), [0]);
        // Also where it comes later than they do.
        let later = [small, QueuedJob { seq: 9, ..large }];
        assert_eq!(super::admit(budget, |_| ANY, &beside, &later), [0_usize; 0]);
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

        /// Whatever comes meanwhile, a job that waits runs once, if those that run end: simulated with a stream of others.
        #[test]
        fn nobody_waits_for_ever(
            weights in proptest::collection::vec(1_u32..5, 3),
            first in (0_usize..3, 0_usize..3, 1_u32..5),
            stream in proptest::collection::vec((0_usize..3, 0_usize..3, 1_u32..4, 1_usize..4), 0..200),
        ) {
            const SERVICES: [&str; 3] = ["a", "b", "c"];
            const OWNERS: [&str; 3] = ["", "me", "you"];
            let budget = Budget { jobs: 3, cpus: 4.0, memory: 1000 };
            let share = |service: &str| {
                let at = SERVICES.iter().position(|name| *name == service).expect("known");
                Share { weight: f64::from(weights[at]), ..ANY }
            };
            let made = |seq, (service, owner, cpus): (usize, usize, u32)| {
                let job = of(seq, SERVICES[service], OWNERS[owner]);
                QueuedJob { reservation: Reservation { cpus: f64::from(cpus), memory: 1 }, ..job }
            };
            let mut queue = vec![made(0, first)];
            let mut beside: Vec<(QueuedJob, usize)> = Vec::new();
            let mut coming = (1_i64..).zip(stream.iter().cycle());
            for _ in 0..200 {
                // More comes than can run.
                for (seq, (service, owner, cpus, _)) in coming.by_ref().take(2).filter(|_| !stream.is_empty()) {
                    queue.push(made(seq, (*service, *owner, *cpus)));
                }
                let running: Vec<_> = beside
                    .iter()
                    .map(|(job, _)| Running { service: &job.service, owner: job.owner.as_ref(), reservation: job.reservation })
                    .collect();
                let mut admitted = super::admit(budget, share, &running, &queue);
                admitted.sort_unstable();
                if admitted.first() == Some(&0) && queue[0].seq == 0 {
                    return Ok(());
                }
                beside.retain_mut(|(_, left)| { *left -= 1; *left > 0 });
                for position in admitted.into_iter().rev() {
                    let job = queue.remove(position);
                    let lasts = usize::try_from(job.seq % 3).expect("small") + 1;
                    beside.push((job, lasts));
                }
            }
            prop_assert!(false, "the first job still waits");
        }
    }
}
