//! The one call of the runner.

use std::sync::Arc;
use std::time::Duration;

use foretell_types::Tensor;
use foretell_types::run::{RunCall, RunError, RunLimits, RunOutcome, Runner, Urgency, Usage};
use tokio::time::{Instant, timeout};

use super::admit::{Admitted, Permit};
use super::recall::Missed;
use crate::answer::Lookup;
use crate::cache::Place;
use crate::{PredictError, Target};

/// What was run, and what became of it; still holds its permit, and its place in the cache.
pub(crate) struct Ran<'a> {
    target: Arc<Target>,
    rows: u32,
    outcome: RunOutcome,
    /// The caller's own time, where that is what is over.
    gave_up: Option<Duration>,
    permit: Permit,
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
    admitted: Admitted,
    missed: Missed<'a>,
    urgency: Urgency,
) -> Ran<'a> {
    let Missed {
        target,
        inputs,
        place,
        lookup,
    } = missed;
    let rows = inputs.rows();
    let deadline = Duration::from_millis(u64::from(target.runtime.deadline_ms));
    let patience = urgency.timeout.filter(|timeout| *timeout < deadline);
    let call = RunCall {
        tenant: target.tenant.clone(),
        version: target.digest,
        inputs,
        limits: RunLimits {
            deadline: patience.unwrap_or(deadline),
            memory_bytes: u64::from(target.runtime.memory_mib) << 20,
            isolation: target.runtime.isolation,
        },
        priority: urgency.priority,
    };
    let (outcome, gave_up) = match urgency.timeout {
        None => (runner.run(call).await, None),
        Some(time) => Box::pin(run_within(runner, call, time, patience)).await,
    };
    Ran {
        target,
        rows,
        outcome,
        gave_up,
        permit: admitted.permit,
        place,
        lookup,
    }
}

/// Runs a call whose caller waits for `time` and no longer, for a thread and in the sandbox; where that is less than the
/// version has, `patience` says so. What has begun is ended by its deadline, which is no later.
async fn run_within(
    runner: &dyn Runner,
    call: RunCall,
    time: Duration,
    patience: Option<Duration>,
) -> (RunOutcome, Option<Duration>) {
    let (deadline, began) = (call.limits.deadline, Instant::now());
    let Ok(outcome) = timeout(time, runner.run(call)).await else {
        let outcome = RunOutcome {
            result: Err(RunError::Deadline { deadline }),
            usage: Usage {
                queued: began.elapsed(),
                compute: Duration::ZERO,
            },
        };
        return (outcome, Some(time));
    };
    let ended = matches!(outcome.result, Err(RunError::Deadline { .. }));
    (outcome, patience.filter(|_| ended))
}

impl<'a> Ran<'a> {
    /// The outputs that the plugin returned.
    ///
    /// # Errors
    /// `Run`, if it returned none, and `TimedOut`, if its caller did not want to wait for one.
    pub(crate) fn returned(self) -> Result<Returned<'a>, PredictError> {
        drop(self.permit);
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
