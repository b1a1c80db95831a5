//! One prediction in the sandbox.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_types::run::{Isolation, RunError, RunLimits};
use foretell_types::tensor::Tensor;

use crate::budget::Exhausted;
use crate::config::GuestLimits;
use crate::error::{self, Fault};
use crate::limits::Growth;
use crate::load::Loaded;
use crate::pool::{Live, Slot};
use crate::state::{self, StoreLimits, Until};
use crate::ticker::Ticker;

/// What calls need of the engine.
pub(crate) struct Host {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) ticker: Ticker,
    pub(crate) guest: GuestLimits,
    pub(crate) reuse_calls: u32,
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// There is no memory left for the instance: the guest has not begun.
    Starved {
        /// Bytes that it needs to begin.
        bytes: u64,
        /// Who has no more.
        exhausted: Exhausted,
    },
    /// The server stops, and has not let the guest end.
    Stopped,
    /// What the guest came to.
    Fault(Fault),
}

impl From<Fault> for Unanswered {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Unanswered {
    /// As the caller of a prediction with these limits sees it.
    pub(crate) fn run_error(self, limits: &RunLimits) -> RunError {
        match self {
            Self::Starved { exhausted, .. } => Fault::PoolFull(exhausted).run_error(limits),
            Self::Stopped => stopped(),
            Self::Fault(fault) => fault.run_error(limits),
        }
    }

    /// Who has no more room, where another instance's end may be all that is missing.
    const fn exhausted(&self) -> Option<Exhausted> {
        match self {
            Self::Starved { exhausted, .. } | Self::Fault(Fault::PoolFull(exhausted)) => {
                Some(*exhausted)
            }
            Self::Stopped | Self::Fault(_) => None,
        }
    }
}

/// What a caller is told whom the end of the server leaves without an answer.
pub(crate) fn stopped() -> RunError {
    RunError::Unavailable {
        cause: "the server is stopping".into(),
        retry_after: Duration::from_secs(2),
    }
}

/// Runs one prediction, for as long as it may. `slot` is the right to an instance; lane threads have one of their own and
/// bring none.
pub(crate) fn predict(
    host: &Host,
    loaded: &Loaded,
    inputs: &[Tensor],
    limits: &RunLimits,
    until: &Until,
    slot: Option<Slot>,
) -> Result<Vec<Tensor>, Unanswered> {
    let _running = host.ticker.running();
    let answer = contained(host, loaded, inputs, limits, until, slot);
    if answer.is_err() && loaded.share.is_closed() {
        return Err(Unanswered::Stopped);
    }
    // Warm instances hold memory and slots for calls that may never come; this one is here. Guests are pure, so it can
    // be run again.
    let exhausted = answer.as_ref().err().and_then(Unanswered::exhausted);
    if exhausted.is_some_and(|exhausted| loaded.idle.make_room(exhausted)) {
        return contained(host, loaded, inputs, limits, until, loaded.idle.slot());
    }
    answer
}

/// A panic of ours ends this call and nothing else: the store goes with it, and nothing shared was in its hands.
fn contained(
    host: &Host,
    loaded: &Loaded,
    inputs: &[Tensor],
    limits: &RunLimits,
    until: &Until,
    slot: Option<Slot>,
) -> Result<Vec<Tensor>, Unanswered> {
    let caught = catch_unwind(AssertUnwindSafe(|| match limits.isolation {
        Isolation::Fresh => {
            let mut live = fresh(host, loaded, limits, until, slot)?;
            let answer = answer(loaded, &mut live, inputs);
            end(loaded, live);
            Ok(answer?)
        }
        Isolation::Reuse => reused(host, loaded, inputs, limits, until, slot),
    }));
    caught.unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .copied()
            .or(panic.downcast_ref::<String>().map(String::as_str));
        let cause = format!("a panic: {}", message.unwrap_or("without words"));
        Err(Fault::Run(RunError::Internal(cause)).into())
    })
}

fn fresh(
    host: &Host,
    loaded: &Loaded,
    limits: &RunLimits,
    until: &Until,
    slot: Option<Slot>,
) -> Result<Live, Unanswered> {
    let memory_bytes = limits.memory_bytes;
    let limits = StoreLimits {
        memory_bytes,
        guest: &host.guest,
        origin: Arc::clone(&loaded.origin),
        budget: Some(Arc::clone(&loaded.share)),
    };
    let mut store = state::store(&host.engine, limits, until.clone());
    match loaded.plugin.instantiate(&mut store) {
        Ok(instance) => Ok(Live {
            store,
            instance,
            calls: 0,
            memory_bytes,
            slot,
        }),
        Err(error) => Err(match store.data().limits.growth() {
            Growth::BeyondBudget { wanted, exhausted } => Unanswered::Starved {
                bytes: wanted,
                exhausted,
            },
            growth => error::fault_at_start(&error, growth, memory_bytes).into(),
        }),
    }
}

fn answer(loaded: &Loaded, live: &mut Live, inputs: &[Tensor]) -> Result<Vec<Tensor>, Fault> {
    let result = loaded
        .plugin
        .predict(&mut live.store, &live.instance, inputs);
    let state = live.store.data_mut();
    let growth = state.limits.growth();
    let answer = match result {
        Ok(answer) => answer.map_err(|error| error::answered(error, growth)),
        Err(error) => Err(match error::fault(&error, growth, live.memory_bytes) {
            // A guest that panics says why in its log first.
            Fault::Run(RunError::Trapped(trap)) => {
                Fault::Run(RunError::Trapped(match state.log.last_error() {
                    Some(line) => format!("{trap}; it logged: {line}"),
                    None => trap,
                }))
            }
            other => other,
        }),
    };
    state.log.settle();
    answer
}

/// Ends an instance that will not be called again.
fn end(loaded: &Loaded, live: Live) {
    let Some(memory) = live.store.data().memory else {
        return;
    };
    if loaded.wear.is_worn_out(memory) {
        // SAFETY: the store is dropped a moment later, and nothing is done with it in between.
        unsafe { memory.give_back() };
    }
    let began = Instant::now();
    drop(live);
    loaded.wear.ended(memory, began.elapsed());
}

fn reused(
    host: &Host,
    loaded: &Loaded,
    inputs: &[Tensor],
    limits: &RunLimits,
    until: &Until,
    slot: Option<Slot>,
) -> Result<Vec<Tensor>, Unanswered> {
    // One that was made with another limit ends here, before its successor needs room.
    let warm = loaded.idle.take();
    let warm = warm.filter(|live| live.memory_bytes == limits.memory_bytes);
    let mut live = match warm {
        Some(mut live) => {
            state::begin(&mut live.store, until.clone());
            live
        }
        None => fresh(host, loaded, limits, until, slot)?,
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
    Ok(answer?)
}
