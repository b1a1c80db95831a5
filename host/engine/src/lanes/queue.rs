//! Whose turn it is on a lane, and who may wait for it.
//!
//! Plain data under the lane's lock: no thread, no clock of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_types::{TenantId, VersionDigest};

use super::lane::Work;
use crate::cost::{Expected, Kind};
use crate::grants::log::Origin;

/// What the predictions of a tenant may be expected to wait in a burst.
const BURST: Duration = Duration::from_millis(200);

/// The same while the tenant is strained.
const STRAINED: Duration = Duration::from_millis(10);

/// Whatever the two say, a prediction may wait for this many times its own cost.
const WAITS: u32 = 10;

/// How long a tenant stays strained after its last refusal.
const STRAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) waiting: usize,
    pub(super) per_tenant: usize,
    pub(super) for_unproven: usize,
    /// How many threads get anywhere at once.
    pub(super) cores: u32,
    pub(super) patience: Duration,
}

#[derive(Default)]
pub(super) struct Queue {
    /// One line for each tenant that waits; the front one is served next.
    pub(super) lines: VecDeque<TenantLine>,
    /// What is known of tenants that run, wait or are strained.
    tenants: HashMap<TenantId, Share>,
    pub(super) waiting: usize,
    running_unproven: usize,
    pub(super) tickets: u64,
    pub(super) closed: bool,
}

pub(super) struct TenantLine {
    tenant: TenantId,
    /// One line for each version that waits; the front one is served next.
    versions: VecDeque<VersionLine>,
}

struct VersionLine {
    version: VersionDigest,
    jobs: VecDeque<Job>,
}

impl VersionLine {
    /// Behind all that are as urgent. Nearly always that is the end.
    fn push(&mut self, job: Job) {
        let mut at = self.jobs.len();
        while at > 0 && rank(self.jobs[at - 1].priority) > rank(job.priority) {
            at -= 1;
        }
        self.jobs.insert(at, job);
    }
}

/// What one tenant has of the lane.
#[derive(Default)]
struct Share {
    running: usize,
    /// What those that wait are expected to cost.
    waiting: Duration,
    strained_until: Option<Instant>,
}

pub(super) struct Job {
    pub(super) number: u64,
    pub(super) since: Instant,
    pub(super) expected: Expected,
    /// As its caller states it: 1 first, 0 last.
    pub(super) priority: u64,
    pub(super) origin: Arc<Origin>,
    pub(super) work: Work,
}

/// Of a caller's priority: the lower, the earlier.
pub(crate) const fn rank(priority: u64) -> u64 {
    match priority {
        // Behind whatever priority is stated.
        0 => u64::MAX,
        stated => stated - 1,
    }
}

impl Limits {
    /// What a prediction of this cost may be expected to wait.
    fn longest_wait(&self, strained: bool, cost: Duration) -> Duration {
        let wait = if strained { STRAINED } else { BURST };
        wait.max(cost.saturating_mul(WAITS)).min(self.patience)
    }
}

impl Share {
    fn is_strained(&self, now: Instant) -> bool {
        self.strained_until.is_some_and(|until| now < until)
    }
}

impl Queue {
    /// Whether one more may wait. A refusal strains the tenant.
    pub(super) fn has_room(
        &mut self,
        limits: &Limits,
        tenant: &TenantId,
        cost: Duration,
        now: Instant,
    ) -> bool {
        if self.closed || self.waiting >= limits.waiting {
            return false;
        }
        let Some(share) = self.tenants.get_mut(tenant) else {
            return true;
        };
        // Tenants are served in turn, so what waits of one is spread over all that wait.
        let in_turn = u32::try_from(self.lines.len()).unwrap_or(u32::MAX).max(1);
        let wait = share.waiting.saturating_mul(in_turn) / limits.cores;
        let room = wait <= limits.longest_wait(share.is_strained(now), cost);
        if !room {
            share.strained_until = Some(now + STRAIN);
        }
        room
    }

    /// A call of the tenant was refused before it came here. Of a tenant of which nothing is here, nothing has to be kept
    /// short.
    pub(super) fn strain(&mut self, tenant: &TenantId, now: Instant) {
        if let Some(share) = self.tenants.get_mut(tenant) {
            share.strained_until = Some(now + STRAIN);
        }
    }

    pub(super) fn push(&mut self, job: Job) {
        let Origin { tenant, version } = &*job.origin;
        self.waiting += 1;
        self.tenants.entry(tenant.clone()).or_default().waiting += job.expected.cost;
        let known = self.lines.iter().position(|line| line.tenant == *tenant);
        if known.is_none() {
            self.lines.push_back(TenantLine {
                tenant: tenant.clone(),
                versions: VecDeque::new(),
            });
        }
        let at = known.unwrap_or(self.lines.len() - 1);
        let Some(line) = self.lines.get_mut(at) else {
            return;
        };
        match line
            .versions
            .iter_mut()
            .find(|line| line.version == *version)
        {
            Some(line) => line.push(job),
            None => line.versions.push_back(VersionLine {
                version: *version,
                jobs: VecDeque::from([job]),
            }),
        }
    }

    /// The next job that may run now: of the first tenant in turn, and of its first version in turn, that has a thread
    /// left for its kind.
    pub(super) fn next(&mut self, limits: &Limits) -> Option<Job> {
        let (at, version) = self.lines.iter().enumerate().find_map(|(at, line)| {
            let held = self
                .tenants
                .get(&line.tenant)
                .map_or(0, |share| share.running);
            if held >= limits.per_tenant {
                return None;
            }
            let mut fronts = line.versions.iter().map(|line| line.jobs.front());
            let version = fronts.position(|job| {
                job.is_some_and(|job| self.has_thread_for(job.expected.kind, limits))
            })?;
            Some((at, version))
        })?;
        // Whoever is served goes to the end, if more of it waits.
        let mut tenant = self.lines.remove(at)?;
        let mut line = tenant.versions.remove(version)?;
        let job = line.jobs.pop_front()?;
        if !line.jobs.is_empty() {
            tenant.versions.push_back(line);
        }
        if !tenant.versions.is_empty() {
            self.lines.push_back(tenant);
        }
        self.left(&job);
        self.tenants
            .entry(job.origin.tenant.clone())
            .or_default()
            .running += 1;
        if job.expected.kind == Kind::Unproven {
            self.running_unproven += 1;
        }
        Some(job)
    }

    fn has_thread_for(&self, kind: Kind, limits: &Limits) -> bool {
        kind != Kind::Unproven || self.running_unproven < limits.for_unproven
    }

    pub(super) fn ended(&mut self, tenant: &TenantId, kind: Kind) {
        if kind == Kind::Unproven {
            self.running_unproven -= 1;
        }
        if let Some(share) = self.tenants.get_mut(tenant) {
            share.running -= 1;
        }
        self.forget_idle(tenant);
    }

    pub(super) fn withdraw(&mut self, number: u64) -> Option<Job> {
        let (tenant, version, at) = self.lines.iter().enumerate().find_map(|(tenant, line)| {
            line.versions
                .iter()
                .enumerate()
                .find_map(|(version, line)| {
                    let at = line.jobs.iter().position(|job| job.number == number)?;
                    Some((tenant, version, at))
                })
        })?;
        let line = self.lines.get_mut(tenant)?;
        let jobs = &mut line.versions.get_mut(version)?.jobs;
        let job = jobs.remove(at)?;
        if jobs.is_empty() {
            line.versions.remove(version);
        }
        if line.versions.is_empty() {
            self.lines.remove(tenant);
        }
        self.left(&job);
        self.forget_idle(&job.origin.tenant);
        Some(job)
    }

    /// Takes out of the account what a job that waits no longer was expected to cost.
    fn left(&mut self, job: &Job) {
        self.waiting -= 1;
        if let Some(share) = self.tenants.get_mut(&job.origin.tenant) {
            share.waiting = share.waiting.saturating_sub(job.expected.cost);
        }
    }

    /// Keeps the map as small as the number of tenants that are about.
    fn forget_idle(&mut self, tenant: &TenantId) {
        let idle = self.tenants.get(tenant).is_some_and(|share| {
            share.running == 0 && share.waiting.is_zero() && !share.is_strained(Instant::now())
        });
        if idle {
            self.tenants.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SHORT, expected, origin};
    use super::*;

    const LIMITS: Limits = Limits {
        waiting: 10_000,
        per_tenant: 1,
        for_unproven: 1,
        cores: 1,
        patience: Duration::from_secs(2),
    };

    /// A short job of tenant `a`.
    fn job(number: u64, since: Instant) -> Job {
        Job {
            number,
            since,
            expected: SHORT,
            priority: 0,
            origin: origin("a", 1),
            work: Box::new(|_| ()),
        }
    }

    #[test]
    fn what_would_wait_too_long_is_refused_and_its_tenant_kept_short_for_a_while() {
        let mut queue = Queue::default();
        let (tenant, now) = (TenantId::parse("a").unwrap(), Instant::now());
        let cost = SHORT.cost;
        let mut waits = 0;
        while queue.has_room(&LIMITS, &tenant, cost, now) {
            queue.push(job(waits, now));
            waits += 1;
        }
        assert_eq!(waits, 201, "a burst of 200 ms, and the one behind it");
        for number in 0..191 {
            assert!(
                !queue.has_room(&LIMITS, &tenant, cost, now),
                "strained, and {} ms wait",
                201 - number
            );
            queue.withdraw(number).unwrap();
        }
        assert!(queue.has_room(&LIMITS, &tenant, cost, now));
        let slow = expected(Kind::Short, 50).cost;
        assert!(queue.has_room(&LIMITS, &tenant, slow, now));
        let neighbour = TenantId::parse("b").unwrap();
        assert!(queue.has_room(&LIMITS, &neighbour, cost, now));
        let share = &queue.tenants[&tenant];
        assert!(share.is_strained(now + STRAIN / 2));
        assert!(!share.is_strained(now + STRAIN));
    }

    #[test]
    fn a_tenant_that_was_refused_elsewhere_is_kept_short_too() {
        let mut queue = Queue::default();
        let (tenant, now) = (TenantId::parse("a").unwrap(), Instant::now());
        for number in 0..20 {
            assert!(queue.has_room(&LIMITS, &tenant, SHORT.cost, now));
            queue.push(job(number, now));
        }
        queue.strain(&tenant, now);
        assert!(!queue.has_room(&LIMITS, &tenant, SHORT.cost, now));
        queue.strain(&TenantId::parse("b").unwrap(), now);
        assert_eq!(queue.tenants.len(), 1, "of b nothing is here");
    }
}
