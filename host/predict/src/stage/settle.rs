//! From what the plugin returned to an answer: its outputs are held against its own signature.
//!
//! Quota and credits will be trued up here, and the cache filled; both come with their features.

use super::run::Ran;
use crate::{Answer, PredictError};

/// Makes the answer.
///
/// # Errors
/// `Run` if the plugin returned nothing, `Contract` if its outputs are not what its signature promises.
pub(crate) fn settle(ran: Ran) -> Result<Answer, PredictError> {
    let (target, rows, outputs, usage) = ran.into_outputs()?;
    target
        .signature
        .check_outputs(&outputs, rows)
        .map_err(|problem| PredictError::Contract {
            model: target.model.to_string(),
            target: target.to_string(),
            problem,
        })?;
    Ok(Answer {
        target,
        outputs,
        rows,
        usage,
    })
}
