//! Which version answers: another tenant's model looks exactly like one that does not exist.

use std::sync::Arc;

use super::identify::Caller;
use crate::registry::{ModelState, Registry, Target};
use crate::release::Trial;
use crate::tenant::Tenant;
use crate::{ModelRef, Payload, PredictError};

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

/// Where a prediction goes.
pub(crate) struct Route {
    /// The version that is to answer.
    pub(crate) target: Arc<Target>,
    /// What it is asked as, where that makes a difference.
    pub(crate) role: Role,
}

/// What a version is asked as.
pub(crate) enum Role {
    /// As the one that is named, or the active one of a model without a shadow.
    Plain,
    /// As the active one, and this one is to be given a copy.
    Shadowed(Arc<Target>),
    /// As the canary; where it fails, the active one answers.
    OnTrial {
        trial: Arc<Trial>,
        active: Option<Arc<Target>>,
    },
}

/// Where a prediction goes: to the version that it names, or wherever the model's traffic does.
///
/// # Errors
/// `NotFound`, naming what there is.
pub(crate) async fn route(
    registry: &Registry,
    caller: &Caller,
    payload: &mut impl Payload,
) -> Result<Route, PredictError> {
    let wanted = &*payload.model()?;
    caller.must_be_for(&wanted.model)?;
    let state = state(registry, &caller.tenant, wanted).await?;
    if wanted.version.is_none()
        && let Some(release) = &state.release
        && release.takes(caller.principal.key.as_ref(), |name| payload.header(name))
    {
        return Ok(Route {
            target: Arc::clone(&release.target),
            role: Role::OnTrial {
                trial: Arc::clone(&release.trial),
                active: state.active.clone(),
            },
        });
    }
    let role = match (&wanted.version, &state.shadow) {
        (None, Some(shadow)) => Role::Shadowed(Arc::clone(shadow)),
        _ => Role::Plain,
    };
    Ok(Route {
        target: version(&state, wanted)?,
        role,
    })
}

/// The version that is named, or the active one.
///
/// # Errors
/// `NotFound`, naming what there is.
pub(crate) async fn resolve(
    registry: &Registry,
    caller: &Caller,
    wanted: &ModelRef,
) -> Result<Arc<Target>, PredictError> {
    caller.must_be_for(&wanted.model)?;
    version(&*state(registry, &caller.tenant, wanted).await?, wanted)
}

async fn state(
    registry: &Registry,
    tenant: &Tenant,
    wanted: &ModelRef,
) -> Result<Arc<ModelState>, PredictError> {
    registry.model(tenant, &wanted.model).await?.ok_or_else(|| {
        PredictError::NotFound(format!(
            "Request for unknown model: '{}' is not found",
            wanted.model
        ))
    })
}

fn version(state: &ModelState, wanted: &ModelRef) -> Result<Arc<Target>, PredictError> {
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
