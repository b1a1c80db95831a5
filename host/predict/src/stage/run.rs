//! The one call of the runner.

use std::sync::Arc;
use std::time::Duration;

use foretell_types::run::{RunCall, RunLimits, RunOutcome, Runner};
use foretell_types::signature::Checked;

use super::admit::{Admitted, Permit};
use crate::{PredictError, Target};

/// What was run, and what became of it; still holds its permit.
pub(crate) struct Ran {
    pub(crate) target: Arc<Target>,
    pub(crate) rows: u32,
    pub(crate) outcome: RunOutcome,
    pub(crate) permit: Permit,
}

/// Runs the prediction in the sandbox.
pub(crate) async fn run(
    runner: &dyn Runner,
    admitted: Admitted,
    target: Arc<Target>,
    inputs: Checked,
) -> Ran {
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
    }
}

impl Ran {
    /// The outputs that the plugin returned.
    ///
    /// # Errors
    /// `Run`, if it returned none.
    pub(crate) fn into_outputs(
        self,
    ) -> Result<
        (
            Arc<Target>,
            u32,
            Vec<foretell_types::Tensor>,
            foretell_types::run::Usage,
        ),
        PredictError,
    > {
        drop(self.permit);
        let outputs = self.outcome.result.map_err(|error| PredictError::Run {
            target: self.target.to_string(),
            error,
        })?;
        Ok((self.target, self.rows, outputs, self.outcome.usage))
    }
}
