//! The one call of the runner.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_types::Tensor;
use foretell_types::run::{Begun, RunCall, RunError, RunLimits, RunOutcome, Runner, Usage};
use foretell_types::signature::Checked;
use tokio::time::timeout;

use super::admit::Admitted;
use super::recall::Missed;
use crate::answer::Lookup;
use crate::cache::Place;
use crate::{PredictError, Target};

/// What was run, and what became of it; still holds its place in the cache.
pub(crate) struct Ran<'a> {
    target: Arc<Target>,
    rows: u32,
    outcome: RunOutcome,
    /// The caller's own time, where that is what is over.
    gave_up: Option<Duration>,
    place: Option<Place<'a>>,
    lookup: Lookup,
}

/// A run that gave outputs.
pub(crate) struct Returned<'a> {
    pub(crate) target: Arc<Target>,
    pub(crate) rows: u32,
    pub(crate) outputs: Vec<Tensor>,
    pub(crate) usage: Usage,
    pub(crate) place: Option<Place<'a>>,
    pub(crate) lookup: Lookup,
}

/// Runs the prediction in the sandbox, for no longer than its caller waits.
pub(crate) async fn run<'a>(
    runner: &dyn Runner,
    _admitted: &Admitted,
    missed: Missed<'a>,
    until: Option<Until>,
    priority: u64,
    begun: Begun,
) -> Ran<'a> {
    let Missed {
        target,
        inputs,
        place,
        lookup,
    } = missed;
    let rows = inputs.rows();
    let mut call = call(&target, inputs);
    let left = until.map(Until::left);
    if let Some(left) = left.filter(|left| *left < call.limits.deadline) {
        call.limits.deadline = left;
        call.is_hurried = true;
    }
    call.priority = priority;
    call.begun = begun;
    let (outcome, gave_up) = match left {
        None => (runner.run(call).await, false),
        Some(left) => Box::pin(run_within(runner, call, left)).await,
    };
    let gave_up = until.filter(|_| gave_up).map(|until| until.timeout);
    Ran {
        target,
        rows,
        outcome,
        gave_up,
        place,
        lookup,
    }
}

/// How long what is run for nobody may take, whatever the version may: there is one thread for all of it.
const ASIDE: Duration = Duration::from_secs(5);

/// Runs a version for nobody, beside whatever else is run.
pub(crate) async fn aside(runner: &dyn Runner, target: &Target, inputs: Checked) -> RunOutcome {
    let mut call = call(target, inputs);
    call.limits.deadline = call.limits.deadline.min(ASIDE);
    call.joins = None;
    call.is_aside = true;
    runner.run(call).await
}

/// A call with all that the version may use.
fn call(target: &Target, inputs: Checked) -> RunCall {
    RunCall {
        tenant: target.tenant.clone(),
        version: target.digest,
        inputs,
        limits: RunLimits {
            deadline: Duration::from_millis(u64::from(target.runtime.deadline_ms)),
            memory_bytes: u64::from(target.runtime.memory_mib) << 20,
            isolation: target.runtime.isolation,
        },
        is_hurried: false,
        priority: 0,
        joins: target.joins(),
        is_aside: false,
        begun: Begun::default(),
    }
}

/// Until when a caller wants its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    at: Instant,
    /// What it asked for.
    timeout: Duration,
}

impl Until {
    /// So long after a moment; none = never.
    pub(crate) fn after(began: Instant, timeout: Option<Duration>) -> Option<Self> {
        let timeout = timeout?;
        // Beyond what the clock can tell is never, too.
        let at = began.checked_add(timeout)?;
        Some(Self { at, timeout })
    }

    /// What is left of it.
    pub(crate) fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}

/// Runs a call whose caller waits for so long and no longer, for a thread and in the sandbox; whether that is why it has no
/// outputs. What has begun is ended by its deadline, which is no later.
async fn run_within(runner: &dyn Runner, call: RunCall, left: Duration) -> (RunOutcome, bool) {
    let (limits, is_hurried, began) = (call.limits, call.is_hurried, Instant::now());
    let begun = call.begun.clone();
    let gone = |queued: Duration| {
        // Its guest ends at the next tick.
        let compute = begun.elapsed().unwrap_or_default();
        RunOutcome {
            result: Err(RunError::Deadline {
                deadline: limits.deadline,
            }),
            usage: Usage::alone(queued.saturating_sub(compute), compute.min(limits.deadline)),
        }
    };
    if left.is_zero() {
        return (gone(Duration::ZERO), true);
    }
    let Ok(outcome) = timeout(left, runner.run(call)).await else {
        return (gone(began.elapsed()), true);
    };
    let ended = matches!(outcome.result, Err(RunError::Deadline { .. }));
    (outcome, ended && is_hurried)
}

impl<'a> Ran<'a> {
    /// How long it was in the sandbox.
    pub(crate) const fn compute(&self) -> Duration {
        self.outcome.usage.compute
    }

    /// The outputs that the plugin returned.
    ///
    /// # Errors
    /// `Run`, if it returned none, and `TimedOut`, if its caller did not want to wait for one.
    pub(crate) fn returned(self) -> Result<Returned<'a>, PredictError> {
        if let Some(timeout) = self.gave_up {
            return Err(PredictError::TimedOut { timeout });
        }
        let outputs = self.outcome.result.map_err(|error| PredictError::Run {
            target: self.target.to_string(),
            error,
        })?;
        Ok(Returned {
            target: self.target,
            rows: self.rows,
            outputs,
            usage: self.outcome.usage,
            place: self.place,
            lookup: self.lookup,
        })
    }
}
