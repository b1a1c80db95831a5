//! Places for instances, and warm instances between calls.
//!
//! The allocator's pool answers exhaustion with an error; [`Slots`] stands in front of it, so that it never comes to
//! that. [`Idle`] keeps instances of one version with isolation `reuse`. It is a part of the loaded version, which
//! belongs to one tenant: there is no way from here to another's instance.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Instance;

use crate::budget::Exhausted;
use crate::config::PoolConfig;
use crate::grants::log::Origin;
use crate::state::Guest;

/// Instances that may still be made, and kept.
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    idle: AtomicU32,
    max_idle: u32,
    stale_after: Duration,
    keepers: Mutex<Keepers>,
}

/// Everyone who may hold warm instances.
struct Keepers {
    all: Vec<Weak<Kept>>,
    last_sweep: Instant,
}

/// The right to one instance; dropping it gives the slot back.
#[derive(Debug)]
pub(crate) struct Slot(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Slots {
    /// Slots for the whole pool, of which `reserved` are never handed out here: they belong to the lanes, whose threads
    /// have one each.
    pub(crate) fn new(config: &PoolConfig, reserved: usize) -> Self {
        let free = (config.instances as usize).saturating_sub(reserved).max(1);
        Self {
            free: Arc::new(Semaphore::new(free)),
            idle: AtomicU32::new(0),
            // Idle instances hold slots, and nobody makes them let go: half is always for those who work.
            max_idle: config
                .max_idle
                .min(u32::try_from(free / 2).unwrap_or(u32::MAX)),
            stale_after: config.stale_after,
            keepers: Mutex::new(Keepers {
                all: Vec::new(),
                last_sweep: Instant::now(),
            }),
        }
    }

    /// A slot, or nothing if none came free in time.
    pub(crate) async fn wait(&self, patience: Duration) -> Option<Slot> {
        let waiting = Arc::clone(&self.free).acquire_owned();
        // The semaphore is never closed.
        let permit = tokio::time::timeout(patience, waiting).await.ok()?.ok()?;
        Some(Slot(permit))
    }

    /// A slot, if one is free.
    pub(crate) fn try_acquire(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(Slot(permit))
    }

    /// The right to keep one more instance idle.
    fn may_idle(&self) -> bool {
        let claim = || {
            let more = |idle: u32| (idle < self.max_idle).then_some(idle + 1);
            let claimed = self
                .idle
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
            claimed.is_ok()
        };
        claim() || (self.sweep() && claim())
    }

    /// Ends the warm instances of these versions, because a call needs what they hold. Whether there were any.
    fn end_those(&self, concerned: impl Fn(&Origin) -> bool) -> bool {
        let keepers: Vec<_> = {
            let mut keepers = lock(&self.keepers);
            keepers.all.retain(|kept| kept.strong_count() > 0);
            keepers.all.iter().filter_map(Weak::upgrade).collect()
        };
        let keepers = keepers.iter().filter(|kept| concerned(&kept.origin));
        let ended: u32 = keepers.map(|kept| kept.clear(self)).sum();
        ended > 0
    }

    /// Ends the warm instances of versions that nobody has asked for lately. Looks at most once in so long, because it
    /// looks at every version.
    fn sweep(&self) -> bool {
        let keepers: Vec<_> = {
            let mut keepers = lock(&self.keepers);
            if keepers.last_sweep.elapsed() < self.stale_after {
                return false;
            }
            keepers.last_sweep = Instant::now();
            keepers.all.retain(|kept| kept.strong_count() > 0);
            keepers.all.iter().filter_map(Weak::upgrade).collect()
        };
        let mut swept = 0;
        for kept in keepers {
            let stale = lock(&kept.waiting).last_used.elapsed() >= self.stale_after;
            if stale {
                swept += kept.clear(self);
            }
        }
        swept > 0
    }
}

/// An instance in its store. Fields are dropped in order: the slot is free only after the instance is gone.
pub(crate) struct Live {
    pub(crate) store: Guest,
    pub(crate) instance: Instance,
    /// Calls that it has served.
    pub(crate) calls: u32,
    /// The limit that its store was made with.
    pub(crate) memory_bytes: u64,
    /// None on a lane, whose thread has a slot of its own.
    pub(crate) slot: Option<Slot>,
}

/// The warm instances of one version.
pub(crate) struct Idle {
    slots: Arc<Slots>,
    kept: Arc<Kept>,
}

struct Kept {
    origin: Arc<Origin>,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    live: Vec<Live>,
    last_used: Instant,
}

impl Idle {
    pub(crate) fn new(slots: Arc<Slots>, origin: Arc<Origin>) -> Self {
        let kept = Arc::new(Kept {
            origin,
            waiting: Mutex::new(Waiting {
                live: Vec::new(),
                last_used: Instant::now(),
            }),
        });
        let mut keepers = lock(&slots.keepers);
        // Versions come and go; what is left of the gone ones goes whenever the list would grow.
        if keepers.all.len() == keepers.all.capacity() {
            keepers.all.retain(|kept| kept.strong_count() > 0);
        }
        keepers.all.push(Arc::downgrade(&kept));
        drop(keepers);
        Self { slots, kept }
    }

    /// The one used last: its memory is the likeliest to be in the cache.
    pub(crate) fn take(&self) -> Option<Live> {
        let live = lock(&self.kept.waiting).live.pop()?;
        self.slots.idle.fetch_sub(1, Ordering::Relaxed);
        Some(live)
    }

    /// Ends the warm instances of every version if the server has no more room, and of this tenant's if only its part is
    /// used up. Whether there were any.
    pub(crate) fn make_room(&self, exhausted: Exhausted) -> bool {
        let tenant = &self.kept.origin.tenant;
        self.slots.end_those(|origin| match exhausted {
            Exhausted::Server => true,
            Exhausted::Part => origin.tenant == *tenant,
        })
    }

    /// A slot, if one is free.
    pub(crate) fn slot(&self) -> Option<Slot> {
        self.slots.try_acquire()
    }

    /// Keeps an instance for the next call, if there is a place for it.
    pub(crate) fn put(&self, mut live: Live) {
        live.slot = live.slot.or_else(|| self.slots.try_acquire());
        if live.slot.is_some() && self.slots.may_idle() {
            let mut waiting = lock(&self.kept.waiting);
            waiting.last_used = Instant::now();
            waiting.live.push(live);
        }
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.kept.clear(&self.slots);
    }
}

impl Kept {
    /// Ends every waiting instance; says how many.
    fn clear(&self, slots: &Slots) -> u32 {
        let waiting = std::mem::take(&mut lock(&self.waiting).live);
        let count = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
        slots.idle.fetch_sub(count, Ordering::Relaxed);
        count
    }
}

/// Nothing is ever half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
