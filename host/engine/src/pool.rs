//! Places for instances, and warm instances between calls.
//!
//! The allocator's pool answers exhaustion with an error; [`Slots`] stands in front of it, so that it never comes to
//! that. [`Idle`] keeps instances of one version with isolation `reuse`. It is a part of the loaded version, which
//! belongs to one tenant: there is no way from here to another's instance.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Store;
use wasmtime::component::Instance;

use crate::state::CallState;

/// Instances that may still be made.
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    idle: AtomicU32,
    max_idle: u32,
}

/// The right to one instance; dropping it gives the slot back.
#[derive(Debug)]
pub(crate) struct Slot(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Slots {
    /// `instances` in all, of which `reserved` are never handed out here: they belong to the lanes, whose threads have
    /// one each.
    pub(crate) fn new(instances: u32, reserved: usize, max_idle: u32) -> Self {
        let free = (instances as usize).saturating_sub(reserved).max(1);
        Self {
            free: Arc::new(Semaphore::new(free)),
            idle: AtomicU32::new(0),
            max_idle,
        }
    }

    /// A slot, or nothing if none came free in time.
    pub(crate) async fn acquire(&self, patience: Duration) -> Option<Slot> {
        if let Some(slot) = self.try_acquire() {
            return Some(slot);
        }
        // The semaphore is never closed.
        let permit = tokio::time::timeout(patience, Arc::clone(&self.free).acquire_owned())
            .await
            .ok()?
            .ok()?;
        Some(Slot(permit))
    }

    /// A slot, if one is free.
    pub(crate) fn try_acquire(&self) -> Option<Slot> {
        Arc::clone(&self.free).try_acquire_owned().ok().map(Slot)
    }

    /// The right to keep one instance idle.
    fn may_idle(&self) -> bool {
        self.idle
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |idle| {
                (idle < self.max_idle).then_some(idle + 1)
            })
            .is_ok()
    }
}

/// An instance in its store. Fields are dropped in order: the slot is free only after the instance is gone.
pub(crate) struct Live {
    pub(crate) store: Store<CallState>,
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
    waiting: Mutex<Vec<Live>>,
}

impl Idle {
    pub(crate) const fn new(slots: Arc<Slots>) -> Self {
        Self {
            slots,
            waiting: Mutex::new(Vec::new()),
        }
    }

    /// The one used last: its memory is the likeliest to be in the cache.
    pub(crate) fn take(&self) -> Option<Live> {
        let live = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()?;
        self.slots.idle.fetch_sub(1, Ordering::Relaxed);
        Some(live)
    }

    /// Keeps an instance for the next call, if there is a place for it.
    pub(crate) fn put(&self, mut live: Live) {
        live.slot = live.slot.or_else(|| self.slots.try_acquire());
        if live.slot.is_some() && self.slots.may_idle() {
            self.waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(live);
        }
    }

    /// Ends every waiting instance; says how many.
    pub(crate) fn clear(&self) -> usize {
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let count = waiting.len();
        self.slots
            .idle
            .fetch_sub(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
        count
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.clear();
    }
}
