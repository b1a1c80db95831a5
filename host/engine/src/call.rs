//! One prediction in the sandbox.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_types::run::{Isolation, RunError, RunLimits};
use foretell_types::tensor::Tensor;

use crate::config::GuestLimits;
use crate::error::{self, Fault};
use crate::limits::{Budget, Growth};
use crate::load::Loaded;
use crate::pool::{Live, Slot};
use crate::state::{self, StoreLimits};
use crate::ticker::Ticker;

/// What calls need of the engine.
pub(crate) struct Host {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) ticker: Ticker,
    pub(crate) guest: GuestLimits,
    pub(crate) reuse_calls: u32,
    pub(crate) budget: Arc<Budget>,
}

/// Runs one prediction, for at most `budget`. `slot` is the right to an instance; lane threads have one of their own and
/// bring none.
pub(crate) fn predict(
    host: &Host,
    loaded: &Loaded,
    inputs: &[Tensor],
    limits: &RunLimits,
    budget: Duration,
    slot: Option<Slot>,
) -> Result<Vec<Tensor>, Fault> {
    let deadline = Instant::now() + budget;
    let _running = host.ticker.running();
    let answer = contained(host, loaded, inputs, limits, deadline, slot);
    // Warm instances hold memory and slots for calls that may never come; this one is here. Guests are pure, so it can
    // be run again.
    if answer == Err(Fault::PoolFull) && loaded.idle.make_room() {
        return contained(host, loaded, inputs, limits, deadline, loaded.idle.slot());
    }
    answer
}

/// A panic of ours ends this call and nothing else: the store goes with it, and nothing shared was in its hands.
fn contained(
    host: &Host,
    loaded: &Loaded,
    inputs: &[Tensor],
    limits: &RunLimits,
    deadline: Instant,
    slot: Option<Slot>,
) -> Result<Vec<Tensor>, Fault> {
    let caught = catch_unwind(AssertUnwindSafe(|| match limits.isolation {
        Isolation::Fresh => fresh(host, loaded, limits, deadline, slot)
            .and_then(|mut live| answer(loaded, &mut live, inputs)),
        Isolation::Reuse => reused(host, loaded, inputs, limits, deadline, slot),
    }));
    caught.unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .copied()
            .or(panic.downcast_ref::<String>().map(String::as_str));
        Err(Fault::Run(RunError::Internal(format!(
            "a panic: {}",
            message.unwrap_or("without words")
        ))))
    })
}

fn fresh(
    host: &Host,
    loaded: &Loaded,
    limits: &RunLimits,
    deadline: Instant,
    slot: Option<Slot>,
) -> Result<Live, Fault> {
    let memory_bytes = limits.memory_bytes;
    let limits = StoreLimits {
        memory_bytes,
        guest: &host.guest,
        origin: Arc::clone(&loaded.origin),
        budget: Some(Arc::clone(&host.budget)),
    };
    let mut store = state::store(&host.engine, limits, deadline);
    match loaded.plugin.instantiate(&mut store) {
        Ok(instance) => Ok(Live {
            store,
            instance,
            calls: 0,
            memory_bytes,
            slot,
        }),
        Err(error) => Err(error::fault(
            &error,
            store.data().limits.growth(),
            memory_bytes,
        )),
    }
}

fn answer(loaded: &Loaded, live: &mut Live, inputs: &[Tensor]) -> Result<Vec<Tensor>, Fault> {
    let result = loaded
        .plugin
        .predict(&mut live.store, &live.instance, inputs);
    let state = live.store.data_mut();
    let answer = match result {
        Ok(answer) => answer.map_err(Fault::Run),
        Err(error) => Err(
            match error::fault(&error, state.limits.growth(), live.memory_bytes) {
                // A guest that panics says why in its log first.
                Fault::Run(RunError::Trapped(trap)) => {
                    Fault::Run(RunError::Trapped(match state.log.last_error() {
                        Some(line) => format!("{trap}; it logged: {line}"),
                        None => trap,
                    }))
                }
                other => other,
            },
        ),
    };
    state.log.settle();
    answer
}

fn reused(
    host: &Host,
    loaded: &Loaded,
    inputs: &[Tensor],
    limits: &RunLimits,
    deadline: Instant,
    slot: Option<Slot>,
) -> Result<Vec<Tensor>, Fault> {
    let mut live = match loaded.idle.take() {
        Some(mut live) if live.memory_bytes == limits.memory_bytes => {
            state::begin(&mut live.store, deadline);
            live
        }
        _ => fresh(host, loaded, limits, deadline, slot)?,
    };
    let answer = answer(loaded, &mut live, inputs);
    live.calls += 1;
    // Only an instance that gave a valid answer and was refused nothing is in a state that its author has foreseen.
    let sound = matches!(
        answer,
        Ok(_) | Err(Fault::Run(RunError::Refused { .. } | RunError::Failed(_)))
    );
    if sound
        && live.store.data().limits.growth() == Growth::Granted
        && live.calls < host.reuse_calls
    {
        loaded.idle.put(live);
    }
    answer
}
