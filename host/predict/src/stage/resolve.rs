//! Which version answers: another tenant's model looks exactly like one that does not exist.

use std::sync::Arc;

use crate::registry::{Registry, Target};
use crate::tenant::Tenant;
use crate::{ModelRef, PredictError};

/// Whether the version answers: its owner may have unloaded its model.
///
/// # Errors
/// `Unloaded`.
pub(crate) fn is_loaded(target: &Target) -> Result<(), PredictError> {
    if target.unloaded {
        return Err(PredictError::Unloaded {
            model: target.model.to_string(),
        });
    }
    Ok(())
}

/// The version that a call goes to: the named one, or the active one.
///
/// # Errors
/// `NotFound`, naming what there is.
pub(crate) async fn resolve(
    registry: &Registry,
    tenant: &Tenant,
    wanted: &ModelRef,
) -> Result<Arc<Target>, PredictError> {
    let unknown = || {
        PredictError::NotFound(format!(
            "Request for unknown model: '{}' is not found",
            wanted.model
        ))
    };
    let state = registry
        .model(tenant, &wanted.model)
        .await?
        .ok_or_else(unknown)?;
    match &wanted.version {
        None => state.active.clone().ok_or_else(|| {
            PredictError::NotFound(format!(
                "model `{}` has no active version; name one or activate one",
                wanted.model
            ))
        }),
        Some(version) => state.versions.get(version).cloned().ok_or_else(|| {
            let active = state
                .active
                .as_ref()
                .map_or("none", |target| target.version.as_str());
            PredictError::NotFound(format!(
                "model `{}` has no version `{version}`; its active version is {active}",
                wanted.model
            ))
        }),
    }
}
