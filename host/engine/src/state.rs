//! What a store holds for its guest: limits, deadline, log. Small, because a fresh one is made for every prediction.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wasmtime::{Store, StoreContextMut, UpdateDeadline};

use crate::budget::Share;
use crate::config::GuestLimits;
use crate::grants::log::{LogBudget, Origin};
use crate::limits::Limiter;
use crate::turns::thread_cpu_time;
use crate::wear::Memory;

/// The data of a store.
pub(crate) struct CallState {
    pub(crate) limits: Limiter,
    pub(crate) log: LogBudget,
    /// Where the guest's memory lies, once it has answered.
    pub(crate) memory: Option<Memory>,
    until: Until,
}

/// Until when a guest may run.
#[derive(Debug, Clone)]
pub(crate) struct Until {
    deadline: Instant,
    /// What the thread may have computed by then; none = only the clock counts.
    computed: Option<Duration>,
    /// Set once nobody waits for the answer any more; none = its caller cannot go away meanwhile.
    abandoned: Option<Arc<AtomicBool>>,
}

impl From<Instant> for Until {
    fn from(deadline: Instant) -> Self {
        Self {
            deadline,
            computed: None,
            abandoned: None,
        }
    }
}

impl Until {
    /// The deadline, or the moment at which `abandoned` is set.
    pub(crate) const fn either(deadline: Instant, abandoned: Arc<AtomicBool>) -> Self {
        Self {
            deadline,
            computed: None,
            abandoned: Some(abandoned),
        }
    }

    /// The same, or the moment at which the thread that runs the guest has computed for so long, all in all.
    pub(crate) fn or_computed(self, computed: Duration) -> Self {
        Self {
            computed: Some(computed),
            ..self
        }
    }

    fn is_over(&self) -> bool {
        let is_abandoned = |flag: &Arc<AtomicBool>| flag.load(Ordering::Relaxed);
        self.abandoned.as_ref().is_some_and(is_abandoned)
            || Instant::now() >= self.deadline
            || self.computed.is_some_and(|most| thread_cpu_time() >= most)
    }
}

/// A store of one guest. Its memory is gone before its data is, so that the budget never gives twice what it has once.
pub(crate) struct Guest(ManuallyDrop<Store<CallState>>);

impl Deref for Guest {
    type Target = Store<CallState>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Guest {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // SAFETY: nothing looks at the field afterwards.
        let store = unsafe { ManuallyDrop::take(&mut self.0) };
        // A store that is dropped drops its data first.
        drop(store.into_data());
    }
}

/// What a new store may use.
pub(crate) struct StoreLimits<'a> {
    pub(crate) memory_bytes: u64,
    pub(crate) guest: &'a GuestLimits,
    pub(crate) origin: Arc<Origin>,
    /// The tenant's part of what all guests share; none in the worker, which has one guest.
    pub(crate) budget: Option<Arc<Share>>,
}

/// A store that interrupts its guest in time.
pub(crate) fn store(engine: &wasmtime::Engine, limits: StoreLimits<'_>, until: Until) -> Guest {
    let guest = limits.guest;
    let mut store = Store::new(
        engine,
        CallState {
            limits: Limiter::new(
                limits.memory_bytes,
                guest.table_elements as u64,
                limits.budget,
            ),
            log: LogBudget::new(limits.origin, guest.log_lines, guest.log_bytes),
            memory: None,
            until,
        },
    );
    store.limiter(|state| &mut state.limits);
    store.set_hostcall_fuel(guest.result_bytes);
    // The interface has no resources, so no handle is ever needed; and a snapshot does not hold any, so one that `load` kept
    // would stand for nothing, or for another, in every instance.
    store.set_max_component_handles(0);
    store.epoch_deadline_callback(look_at_the_clock);
    store.set_epoch_deadline(1);
    Guest(ManuallyDrop::new(store))
}

/// Begins another call in a store that has served before.
pub(crate) fn begin(store: &mut Store<CallState>, until: Until) {
    let state = store.data_mut();
    state.until = until;
    state.limits.begin();
    store.set_epoch_deadline(1);
}

/// Runs once a tick inside the guest. The epoch alone is no measure: it stands still while the ticker sleeps, and jumps
/// nothing when it wakes.
fn look_at_the_clock(context: StoreContextMut<'_, CallState>) -> wasmtime::Result<UpdateDeadline> {
    let state = context.data();
    Ok(if state.until.is_over() || state.limits.is_over() {
        UpdateDeadline::Interrupt
    } else {
        UpdateDeadline::Continue(1)
    })
}
