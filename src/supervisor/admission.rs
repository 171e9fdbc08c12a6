//! Who runs next: pure; in fair turns, within a number of jobs and a budget of CPUs and memory.
//!
//! The next job is of those with the highest priority, which rises while a job waits; of these of the service that has least
//! of its share running, there of the owner with fewest jobs running, and of those the oldest. A job that does not fit holds
//! up all that come after it in this order, so that a large job is not starved by small ones. One whose service or owner has
//! as many as it may is passed over.

use std::collections::HashMap;
use std::time::Duration;

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
    /// Its jobs go before those of services with a lower one.
    pub(super) priority: u32,
}

impl Share {
    /// That of a service that is not configured any more: any number, as all others.
    pub(super) const NONE: Self = Self { jobs: None, of_owner: None, weight: 1.0, priority: 0 };

    pub(super) fn of(service: &Service) -> Self {
        let some = |most: u32| usize::try_from(most).ok().filter(|most| *most > 0);
        let (jobs, of_owner) = (some(service.max_running), some(service.max_running_per_owner));
        Self { jobs, of_owner, weight: service.weight, priority: service.priority }
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

/// How high each job of `queue` is: its service's priority with its own, and one more for each `aging` that it has waited, but
/// no more than the highest has without that: so it only makes up for what others are before it.
fn levels(share: impl Fn(&str) -> Share, aging: Duration, queue: &[QueuedJob]) -> Vec<u32> {
    let base = |job: &QueuedJob| share(&job.service).priority.saturating_add(job.priority);
    let highest = queue.iter().map(base).max().unwrap_or(0);
    let risen = |job: &QueuedJob| u32::try_from(job.waited.as_millis() / aging.as_millis().max(1)).unwrap_or(u32::MAX);
    queue.iter().map(|job| base(job).saturating_add(risen(job)).min(highest)).collect()
}

/// The positions of the jobs of `queue`, oldest first, that may start beside those that run, in the order of their turns.
pub(super) fn admit<'a>(
    budget: Budget,
    share: impl Fn(&str) -> Share,
    aging: Duration,
    running: &[Running<'a>],
    queue: &'a [QueuedJob],
) -> Vec<usize> {
    let mut given = Given { jobs: 0, cpus: 0.0, memory: 0, of_service: HashMap::new(), of_owner: HashMap::new() };
    for Running { service, owner, reservation } in running {
        given.give(service, *owner, *reservation);
    }
    let mut admitted = Vec::new();
    let levels = levels(&share, aging, queue);
    let mut waiting: Vec<usize> = (0..queue.len()).collect();
    while let Some(turn) = next(&given, &share, queue, &levels, &waiting) {
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
fn next(
    given: &Given<'_>,
    share: impl Fn(&str) -> Share,
    queue: &[QueuedJob],
    levels: &[u32],
    waiting: &[usize],
) -> Option<usize> {
    let mut best: Option<(usize, u32, f64, usize)> = None;
    for (turn, position) in waiting.iter().enumerate() {
        let job = &queue[*position];
        let share = share(&job.service);
        if !given.has_share(job, share) {
            continue;
        }
        #[expect(clippy::cast_precision_loss, reason = "few jobs run")]
        let used = given.of_service(job) as f64 / share.weight;
        let (level, of_owner) = (levels[*position], given.of_owner(job));
        // Only what is really less goes before what is older.
        let is_less = |least: f64, fewest: usize| used < least || (used <= least && of_owner < fewest);
        if best.is_none_or(|(_, top, least, fewest)| level > top || (level == top && is_less(least, fewest))) {
            best = Some((turn, level, used, of_owner));
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
        let reservation = Reservation { cpus, memory };
        QueuedJob { seq, id, service: "a".to_owned(), owner: None, reservation, priority: 0, waited: Duration::ZERO }
    }

    fn running(cpus: f64, memory: u64) -> Running<'static> {
        Running { service: "a", owner: None, reservation: Reservation { cpus, memory } }
    }

    /// How many of the queue are admitted, which are its first ones.
    fn admit(budget: Budget, running: &[Running<'_>], queue: &[QueuedJob]) -> usize {
        let admitted = super::admit(budget, |_| ANY, AGING, running, queue);
        assert!(admitted.iter().copied().eq(0..admitted.len()));
        admitted.len()
    }

    const ANY: Share = Share::NONE;
    const AGING: Duration = Duration::from_secs(600);
    const ROOM: Budget = Budget { jobs: 4, cpus: 100.0, memory: 100 };

    fn of(seq: i64, service: &str, owner: &str) -> QueuedJob {
        let owner = (!owner.is_empty()).then(|| OwnerId::new(owner));
        QueuedJob { service: service.to_owned(), owner, ..job(seq, 1.0, 1) }
    }

    #[test]
    fn services_take_turns_and_one_that_has_its_share_is_passed_over() {
        let queue = [of(1, "a", ""), of(2, "a", ""), of(3, "a", ""), of(4, "b", ""), of(5, "b", "")];
        let share = |service: &str| if service == "a" { Share { jobs: Some(2), ..ANY } } else { ANY };
        assert_eq!(super::admit(ROOM, |_| ANY, AGING, &[], &queue), [0, 3, 1, 4]);
        assert_eq!(super::admit(ROOM, share, AGING, &[running(1.0, 1)], &queue), [3, 0, 4]);
        assert_eq!(super::admit(ROOM, |_| Share { jobs: Some(0), ..ANY }, AGING, &[], &queue), [0_usize; 0]);
        let heavy = |service: &str| if service == "b" { Share { weight: 3.0, ..ANY } } else { ANY };
        let more = [of(1, "a", ""), of(2, "a", ""), of(3, "b", ""), of(4, "b", ""), of(5, "b", ""), of(6, "b", "")];
        assert_eq!(super::admit(ROOM, heavy, AGING, &[], &more), [0, 2, 3, 4], "three for one");
    }

    #[test]
    fn owners_take_turns_within_a_service() {
        let queue = [of(1, "a", "me"), of(2, "a", "me"), of(3, "a", "me"), of(4, "a", "you"), of(5, "a", "them")];
        assert_eq!(super::admit(ROOM, |_| ANY, AGING, &[], &queue), [0, 3, 4, 1]);
        let one_each = Share { of_owner: Some(1), ..ANY };
        assert_eq!(super::admit(ROOM, |_| one_each, AGING, &[], &queue), [0, 3, 4]);
        let me = OwnerId::new("me");
        let mine = Running { owner: Some(&me), ..running(1.0, 1) };
        assert_eq!(super::admit(ROOM, |_| one_each, AGING, &[mine], &queue), [3, 4]);
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
        assert_eq!(super::admit(budget, |_| ANY, AGING, &beside, &queue), [0_usize; 0]);
        assert_eq!(super::admit(budget, |_| ANY, AGING, &[], &queue), [0]);
        // Also where it comes later than they do.
        let later = [small, QueuedJob { seq: 9, ..large }];
        assert_eq!(super::admit(budget, |_| ANY, AGING, &beside, &later), [0_usize; 0]);
    }

    #[test]
    fn what_has_a_higher_priority_goes_first_until_others_have_waited_long_enough() {
        let share = |service: &str| Share { priority: if service == "night" { 2 } else { 0 }, ..ANY };
        let one = Budget { jobs: 1, ..ROOM };
        let first = |queue: &[QueuedJob]| super::admit(one, share, AGING, &[], queue)[0];
        let (day, night) = (of(1, "day", ""), of(2, "night", ""));
        assert_eq!(first(&[day.clone(), night.clone()]), 1);
        // An operator puts it as high, and as the older one it goes first.
        assert_eq!(first(&[QueuedJob { priority: 2, ..day.clone() }, night.clone()]), 0);
        // So does waiting: one step in each ten minutes.
        let waited = |minutes: u64| QueuedJob { waited: Duration::from_secs(60 * minutes), ..day.clone() };
        assert_eq!(first(&[waited(19), night.clone()]), 1);
        assert_eq!(first(&[waited(20), night.clone()]), 0);
        // But it never goes before what has the same priority and less of its share.
        let equals = [QueuedJob { waited: 9 * AGING, ..of(1, "a", "") }, of(2, "b", "")];
        let beside = [Running { service: "a", ..running(1.0, 1) }];
        assert_eq!(super::admit(Budget { jobs: 2, ..ROOM }, share, AGING, &beside, &equals), [1]);
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
            priorities in proptest::collection::vec(0_u32..4, 3),
            first in (0_usize..3, 0_usize..3, 1_u32..5),
            stream in proptest::collection::vec((0_usize..3, 0_usize..3, 1_u32..4, 1_usize..4), 0..200),
        ) {
            const SERVICES: [&str; 3] = ["a", "b", "c"];
            const OWNERS: [&str; 3] = ["", "me", "you"];
            const ROUND: Duration = Duration::from_secs(60);
            let budget = Budget { jobs: 3, cpus: 4.0, memory: 1000 };
            let share = |service: &str| {
                let at = SERVICES.iter().position(|name| *name == service).expect("known");
                Share { weight: f64::from(weights[at]), priority: priorities[at], ..ANY }
            };
            let made = |seq, (service, owner, cpus): (usize, usize, u32)| {
                let job = of(seq, SERVICES[service], OWNERS[owner]);
                QueuedJob { reservation: Reservation { cpus: f64::from(cpus), memory: 1 }, ..job }
            };
            let mut queue = vec![made(0, first)];
            let mut beside: Vec<(QueuedJob, usize)> = Vec::new();
            let mut coming = (1_i64..).zip(stream.iter().cycle());
            for _ in 0..200 {
                for job in &mut queue {
                    job.waited += ROUND;
                }
                // More comes than can run.
                for (seq, (service, owner, cpus, _)) in coming.by_ref().take(2).filter(|_| !stream.is_empty()) {
                    queue.push(made(seq, (*service, *owner, *cpus)));
                }
                let running: Vec<_> = beside
                    .iter()
                    .map(|(job, _)| Running { service: &job.service, owner: job.owner.as_ref(), reservation: job.reservation })
                    .collect();
                let mut admitted = super::admit(budget, share, AGING, &running, &queue);
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
