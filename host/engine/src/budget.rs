//! Memory of all guests together, and each tenant's part of it: a thousand instances of 128 MiB each would be more than
//! most machines have, and one tenant with a thousand callers should not leave its neighbours without.
//!
//! A guest takes as it grows, and gives back when its store ends. What is beyond the budget is refused; a prediction whose
//! instance cannot even begin waits ([`Share::wait`]). A tenant may take its part while somebody else holds or wants
//! memory, and all but a reserve while it is alone: so who comes second finds something at once, and the rest as soon as
//! the first one's predictions end.
//!
//! A budget can be closed: nobody gets any more, and guests that run are ended when they next look at the clock.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use foretell_types::TenantId;
use tokio::time::Instant;

/// What one tenant leaves free even while it is alone: one in so many.
const RESERVE: u64 = 8;
/// How often one who waits looks again. It is not woken: predictions end by the ten thousand, and each would wake all who
/// wait, to find that others were faster.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// How much later each looks again for everyone who waits: however many do, they look a few ten thousand times a second.
const FOR_EACH: Duration = Duration::from_micros(20);

/// Memory of all guests of the server together.
pub(crate) struct Budget {
    used: AtomicU64,
    limit: u64,
    /// What one tenant may take while others want memory.
    part: u64,
    kept: Kept,
    tenants: Mutex<HashMap<TenantId, Weak<Share>>>,
    /// Tenants that hold any.
    holders: AtomicUsize,
    waiting: AtomicUsize,
    closed: AtomicBool,
}

/// What places that no instance holds keep in memory, to be quicker the next time.
pub(crate) struct Kept {
    /// Bytes that it can be at most.
    pub(crate) at_most: u64,
    /// Bytes that it is now. Asking takes a lock, so it is asked only where it may matter.
    pub(crate) now: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// Which of the two has no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    /// What the tenant may have: only it can make room, by ending what it holds.
    Part,
    /// What the server has.
    Server,
}

/// One tenant's part.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    used: AtomicU64,
    waiting: AtomicUsize,
}

impl Budget {
    /// `percent` is what one tenant may take while others want memory.
    pub(crate) fn new(limit: u64, percent: u32, kept: Kept) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            limit,
            part: limit / 100 * u64::from(percent),
            kept,
            tenants: Mutex::default(),
            holders: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        })
    }

    /// The part of a tenant: the same for all of its versions.
    pub(crate) fn share(self: &Arc<Self>, tenant: &TenantId) -> Arc<Share> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = tenants.get(tenant).and_then(Weak::upgrade) {
            return share;
        }
        // Tenants come and go; what is left of the gone ones goes whenever the map would grow.
        if tenants.len() == tenants.capacity() {
            tenants.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Share {
            budget: Arc::clone(self),
            used: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        });
        tenants.insert(tenant.clone(), Arc::downgrade(&share));
        share
    }

    /// Bytes that guests have taken.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::SeqCst)
    }

    /// Ends what is under way, and lets nothing begin any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("used", &self.used)
            .field("limit", &self.limit)
            .field("part", &self.part)
            .finish_non_exhaustive()
    }
}

impl Share {
    /// Takes bytes for an instance that may have `instance_limit` of them: whatever its tenant's part is, one instance
    /// always gets what its own limit allows, if the server has it.
    ///
    /// # Errors
    /// [`Exhausted`] if there is not so much; nothing is taken.
    pub(crate) fn take(&self, bytes: u64, instance_limit: u64) -> Result<(), Exhausted> {
        if bytes == 0 {
            return Ok(());
        }
        // Looked at before it is added: what will be refused must not look like a full server to others, for however short.
        self.has(bytes, instance_limit)?;
        let before = self.used.fetch_add(bytes, Ordering::SeqCst);
        if before == 0 {
            self.budget.holders.fetch_add(1, Ordering::SeqCst);
        }
        let all = self.budget.used.fetch_add(bytes, Ordering::SeqCst) + bytes;
        // Others may have looked at the same moment, and added since.
        let granted = self.grants(before + bytes, all, self.others(1), instance_limit);
        if granted.is_err() {
            self.give(bytes);
        }
        granted
    }

    /// Whether whoever has taken from it must end.
    pub(crate) fn is_closed(&self) -> bool {
        self.budget.is_closed()
    }

    /// Gives bytes back.
    pub(crate) fn give(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        if self.used.fetch_sub(bytes, Ordering::SeqCst) == bytes {
            self.budget.holders.fetch_sub(1, Ordering::SeqCst);
        }
        self.budget.used.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Waits until an instance could take so many bytes, or until the patience ends. Nothing is taken: others may be
    /// faster. `false` if the patience has ended, or the budget is closed.
    pub(crate) async fn wait(&self, bytes: u64, instance_limit: u64, until: Instant) -> bool {
        let _waiting = Waiting::of(self);
        loop {
            let now = Instant::now();
            if now >= until || self.is_closed() {
                return false;
            }
            if self.has(bytes, instance_limit).is_ok() {
                return true;
            }
            let waiting = self.budget.waiting.load(Ordering::SeqCst);
            let pause = LOOK_AGAIN + FOR_EACH * u32::try_from(waiting).unwrap_or(u32::MAX);
            tokio::time::sleep_until(until.min(now + pause)).await;
        }
    }

    /// Whether so many bytes could be taken now.
    fn has(&self, bytes: u64, instance_limit: u64) -> Result<(), Exhausted> {
        let mine = self.used.load(Ordering::SeqCst);
        let others = self.others(usize::from(mine > 0));
        let all = self.budget.used().saturating_add(bytes);
        self.grants(mine.saturating_add(bytes), all, others, instance_limit)
    }

    /// How many others hold memory, where this tenant is counted so often. They are counted, because two sums that change one
    /// after the other tell of others where there are none. The count lags behind only where a tenant goes from nothing to
    /// something or back, when it is far from its part.
    fn others(&self, itself: usize) -> usize {
        let holders = self.budget.holders.load(Ordering::SeqCst);
        holders.saturating_sub(itself)
    }

    /// Whether this tenant may have `mine` bytes where all together would have `all`, and so many others hold some.
    fn grants(
        &self,
        mine: u64,
        all: u64,
        others: usize,
        instance_limit: u64,
    ) -> Result<(), Exhausted> {
        let budget = &self.budget;
        if budget.is_closed() {
            return Err(Exhausted::Server);
        }
        let contested = others > 0
            || budget.waiting.load(Ordering::SeqCst) > self.waiting.load(Ordering::SeqCst);
        let most = if contested {
            budget.part
        } else {
            budget.limit - budget.limit / RESERVE
        };
        // First, because a server with more room would help the tenant to nothing then.
        if mine > most.max(instance_limit) {
            return Err(Exhausted::Part);
        }
        let kept = &budget.kept;
        let fits = all <= budget.limit.saturating_sub(kept.at_most)
            || all.saturating_add((kept.now)()) <= budget.limit;
        if fits { Ok(()) } else { Err(Exhausted::Server) }
    }
}

/// Somebody who waits for memory.
struct Waiting<'a>(&'a Share);

impl<'a> Waiting<'a> {
    fn of(share: &'a Share) -> Self {
        // In this order: the tenant's own count is never below its part of the other.
        share.waiting.fetch_add(1, Ordering::SeqCst);
        share.budget.waiting.fetch_add(1, Ordering::SeqCst);
        Self(share)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.budget.waiting.fetch_sub(1, Ordering::SeqCst);
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A budget where nothing is kept, for tests of what takes from it.
#[cfg(test)]
pub(crate) fn of(limit: u64) -> Arc<Budget> {
    let kept = Kept {
        at_most: 0,
        now: Box::new(|| 0),
    };
    Budget::new(limit, 50, kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn share(budget: &Arc<Budget>, name: &str) -> Arc<Share> {
        budget.share(&TenantId::parse(name).unwrap())
    }

    #[test]
    fn alone_a_tenant_takes_all_but_a_reserve_which_is_for_the_next() {
        let budget = of(800);
        let (acme, bob) = (share(&budget, "acme"), share(&budget, "bob"));
        assert!(acme.take(700, 100).is_ok());
        assert_eq!(acme.take(1, 100), Err(Exhausted::Part), "the reserve");
        assert!(bob.take(100, 100).is_ok());
        assert_eq!(bob.take(1, 100), Err(Exhausted::Server), "there is no more");
    }

    #[test]
    fn while_another_holds_memory_a_tenant_has_its_part_and_no_more() {
        let budget = of(800);
        let (acme, bob) = (share(&budget, "acme"), share(&budget, "bob"));
        assert!(bob.take(10, 100).is_ok());
        assert!(acme.take(400, 100).is_ok());
        assert!(acme.take(1, 100).is_err());
        bob.give(10);
        assert!(acme.take(300, 100).is_ok(), "alone again");
        assert_eq!(budget.used(), 700);
    }

    #[test]
    fn one_instance_gets_what_its_own_limit_allows_however_small_the_part() {
        let budget = of(800);
        let (acme, bob) = (share(&budget, "acme"), share(&budget, "bob"));
        assert!(bob.take(10, 100).is_ok());
        assert!(acme.take(700, 700).is_ok());
        assert!(acme.take(1, 700).is_err());
    }

    #[test]
    fn all_versions_of_a_tenant_share_its_part_as_long_as_one_of_them_holds_it() {
        let budget = of(800);
        let first = share(&budget, "acme");
        assert!(Arc::ptr_eq(&first, &share(&budget, "acme")));
        drop(first);
        for tenant in 0..1_000 {
            share(&budget, &format!("tenant-{tenant}"));
        }
        let names = budget.tenants.lock().unwrap().len();
        assert!(names < 100, "{names} names of tenants that are gone");
    }

    #[test]
    fn what_unused_places_keep_is_not_there_for_guests() {
        let kept = Kept {
            at_most: 500,
            now: Box::new(|| 400),
        };
        let acme = share(&Budget::new(800, 50, kept), "acme");
        assert!(acme.take(400, 100).is_ok());
        assert!(acme.take(1, 100).is_err());
    }

    #[tokio::test]
    async fn a_closed_budget_gives_nothing_and_keeps_nobody_waiting() {
        let budget = of(800);
        let acme = share(&budget, "acme");
        assert!(acme.take(800, 800).is_ok());
        let far = Instant::now() + Duration::from_secs(60);
        let waiting = {
            let bob = share(&budget, "bob");
            tokio::spawn(async move { bob.wait(200, 100, far).await })
        };
        while budget.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        budget.close();
        assert!(!waiting.await.unwrap());
        let late = share(&budget, "late");
        let late = late.wait(200, 100, far);
        let late = tokio::time::timeout(Duration::from_secs(20), late).await;
        assert_eq!(late, Ok(false), "nor whoever comes afterwards");
        acme.give(800);
        assert!(acme.take(1, 100).is_err());
    }

    #[test]
    fn what_is_refused_to_one_tenant_is_not_missing_to_another_meanwhile() {
        let budget = of(800);
        let (acme, bob) = (share(&budget, "acme"), share(&budget, "bob"));
        assert!(bob.take(10, 100).is_ok());
        assert!(acme.take(400, 100).is_ok());
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    assert_eq!(acme.take(350, 350), Err(Exhausted::Part));
                }
            });
            let refused = (0..200_000)
                .filter(|_| {
                    let granted = bob.take(50, 100).is_ok();
                    if granted {
                        bob.give(50);
                    }
                    !granted
                })
                .count();
            over.store(true, Ordering::SeqCst);
            assert_eq!(refused, 0);
        });
    }

    #[test]
    fn a_tenant_is_alone_also_while_several_of_its_instances_come_and_go() {
        let budget = of(800);
        let acme = share(&budget, "acme");
        assert!(acme.take(600, 100).is_ok());
        let come_and_go = || {
            let comes = |_: &u32| {
                let granted = acme.take(10, 100).is_ok();
                if granted {
                    acme.give(10);
                }
                !granted
            };
            (0..200_000).filter(comes).count()
        };
        std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(come_and_go));
            assert_eq!(threads.map(|thread| thread.join().unwrap()), [0; 4]);
        });
        acme.give(600);
        assert_eq!(budget.holders.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn who_waits_gets_what_others_give_back() {
        let budget = of(800);
        let (acme, bob) = (share(&budget, "acme"), share(&budget, "bob"));
        assert!(acme.take(700, 100).is_ok());
        let far = Instant::now() + Duration::from_secs(60);
        let waiting = {
            let bob = Arc::clone(&bob);
            tokio::spawn(async move { bob.wait(200, 100, far).await })
        };
        while budget.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        acme.give(50);
        assert!(
            acme.take(1, 100).is_err(),
            "somebody waits, and this is beyond the part"
        );
        acme.give(50);
        assert!(waiting.await.unwrap());
        assert_eq!(budget.waiting.load(Ordering::SeqCst), 0);
        let soon = Instant::now() + Duration::from_millis(20);
        assert!(!bob.wait(300, 100, soon).await, "patience ends");
    }
}
