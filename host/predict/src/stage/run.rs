//! The one call of the runner.

use std::sync::Arc;
use std::time::Duration;

use foretell_types::Tensor;
use foretell_types::run::{RunCall, RunLimits, RunOutcome, Runner, Usage};

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

/// Runs the prediction in the sandbox.
pub(crate) async fn run<'a>(
    runner: &dyn Runner,
    admitted: Admitted,
    missed: Missed<'a>,
) -> Ran<'a> {
    let Missed {
        target,
        inputs,
        place,
        lookup,
    } = missed;
    let rows = inputs.rows();
    let call = RunCall {
        tenant: target.tenant.clone(),
        version: target.digest,
        inputs,
        limits: RunLimits {
            deadline: Duration::from_millis(u64::from(target.runtime.deadline_ms)),
            memory_bytes: u64::from(target.runtime.memory_mib) << 20,
            isolation: target.runtime.isolation,
        },
    };
    let outcome = runner.run(call).await;
    Ran {
        target,
        rows,
        outcome,
        permit: admitted.permit,
        place,
        lookup,
    }
}

impl<'a> Ran<'a> {
    /// The outputs that the plugin returned.
    ///
    /// # Errors
    /// `Run`, if it returned none.
    pub(crate) fn returned(self) -> Result<Returned<'a>, PredictError> {
        drop(self.permit);
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
