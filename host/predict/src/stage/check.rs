//! Inputs against the signature: the one check for every route.

use foretell_types::signature::Checked;
use foretell_types::{ErrorKind, Mismatch};

use crate::{Inputs, PredictError, Target};

/// Turns what the caller sent into inputs that the plugin may see.
///
/// # Errors
/// `Mismatch` for the first difference from the signature, and for more rows than the version takes.
pub(crate) fn check(target: &Target, inputs: Inputs) -> Result<Checked, PredictError> {
    if let Inputs::Records(records) = &inputs {
        // Before tensors are built from them.
        check_rows(target, records.len() as u64)?;
    }
    let checked = inputs.check(&target.signature)?;
    check_rows(target, u64::from(checked.rows()))?;
    Ok(checked)
}

fn check_rows(target: &Target, rows: u64) -> Result<(), PredictError> {
    let max_rows = target.runtime.max_rows;
    if rows <= u64::from(max_rows) {
        return Ok(());
    }
    let message = format!(
        "{rows} rows are given, this version takes at most {max_rows} in one request; send fewer"
    );
    Err(Mismatch::new(ErrorKind::InvalidInput, message).into())
}
