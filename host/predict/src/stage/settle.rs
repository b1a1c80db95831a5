//! From what the plugin returned to an answer: its outputs are held against its own signature, and kept for the next who
//! asks the same. A run that failed, or broke its promise, is never kept.
//!
//! What was reserved for it is trued up by [`Open`](super::reserve::Open), which outlives the run.

use std::time::Instant;

use super::run::{Ran, Returned};
use crate::answer::Outputs;
use crate::{Answer, PredictError};

/// Makes the answer.
///
/// # Errors
/// `Run` if the plugin returned nothing, `Contract` if its outputs are not what its signature promises.
pub(crate) fn settle(ran: Ran<'_>) -> Result<Answer, PredictError> {
    let Returned {
        target,
        rows,
        outputs,
        usage,
        place,
        lookup,
    } = ran.returned()?;
    target
        .signature
        .check_outputs(&outputs, rows)
        .map_err(|problem| PredictError::Contract {
            model: target.model.to_string(),
            target: target.to_string(),
            problem,
        })?;
    let outputs = match place {
        Some(place) => place.keep(&target, outputs),
        None => Outputs::run(outputs),
    };
    Ok(Answer {
        target,
        outputs,
        rows,
        usage,
        lookup,
        at: Instant::now(),
        credits: 0,
        is_repeated: false,
    })
}
