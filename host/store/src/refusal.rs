//! The words with which every backend refuses.

use foretell_types::{KeyId, ModelName, ModelVersion, TenantId, UserId, UserName};

use crate::StoreError;

pub(crate) fn no_tenant(tenant: &TenantId) -> StoreError {
    StoreError::NotFound(format!("tenant `{tenant}`"))
}

pub(crate) fn tenant_taken(tenant: &TenantId) -> StoreError {
    StoreError::Conflict(format!(
        "the tenant name `{tenant}` is taken; choose another"
    ))
}

pub(crate) fn tenant_retired(tenant: &TenantId) -> StoreError {
    StoreError::Conflict(format!(
        "the tenant name `{tenant}` was a deleted tenant's and is not used again; choose another"
    ))
}

pub(crate) fn no_key(id: &KeyId) -> StoreError {
    StoreError::NotFound(format!("key `{id}`"))
}

pub(crate) fn key_taken(id: &KeyId) -> StoreError {
    StoreError::Conflict(format!(
        "key `{id}` or its secret exists already; create another"
    ))
}

pub(crate) fn no_user(id: &UserId) -> StoreError {
    StoreError::NotFound(format!("user `{id}`"))
}

pub(crate) fn user_taken(name: &UserName) -> StoreError {
    StoreError::Conflict(format!("the user name `{name}` is taken; choose another"))
}

pub(crate) fn password_changed(id: &UserId) -> StoreError {
    StoreError::Conflict(format!("user `{id}` has another password by now"))
}

pub(crate) fn login_stale(id: &UserId) -> StoreError {
    StoreError::Conflict(format!(
        "user `{id}` may not log in by now, or has another password"
    ))
}

pub(crate) fn session_taken() -> StoreError {
    StoreError::Conflict("the session exists already; log in again".to_owned())
}

pub(crate) fn too_many_credits() -> StoreError {
    StoreError::Conflict("that would be more credits than can be counted; give fewer".to_owned())
}

pub(crate) fn checkpoint_taken(size: u64) -> StoreError {
    StoreError::Conflict(format!(
        "there is a checkpoint of {size} rows, and checkpoints do not change"
    ))
}

#[cfg(feature = "sqlite")]
pub(crate) fn row_missing(seq: u64) -> StoreError {
    StoreError::Corrupt(format!("row {seq} of the audit log is missing"))
}

pub(crate) fn no_model(model: &ModelName) -> StoreError {
    StoreError::NotFound(format!("model `{model}`"))
}

pub(crate) fn no_version(model: &ModelName, version: &ModelVersion) -> StoreError {
    StoreError::NotFound(format!("version `{version}` of model `{model}`"))
}

pub(crate) fn version_taken(model: &ModelName, version: &ModelVersion) -> StoreError {
    StoreError::Conflict(format!(
        "version `{version}` of model `{model}` exists with other content, and versions do not change; push it under \
         another version"
    ))
}

pub(crate) fn version_retired(model: &ModelName, version: &ModelVersion) -> StoreError {
    StoreError::Conflict(format!(
        "version `{version}` of model `{model}` was deleted and its name is not used again; push it under another \
         version"
    ))
}

pub(crate) fn version_in_use(model: &ModelName, version: &ModelVersion) -> StoreError {
    StoreError::Conflict(format!(
        "version `{version}` of model `{model}` has calls sent to it (active, canary or shadow); send them elsewhere with \
         `PUT /api/models/{model}/traffic` before deleting it (`foretell model traffic` shows which, `activate`, `rollback` and \
         `shadow` change it)"
    ))
}

pub(crate) fn traffic_changed(model: &ModelName, expected: u64, revision: u64) -> StoreError {
    StoreError::Conflict(format!(
        "the traffic of model `{model}` is at revision {revision} and not at {expected}: somebody changed it meanwhile; \
         look at it and decide again"
    ))
}

pub(crate) fn done_already() -> StoreError {
    StoreError::Conflict(
        "a call with this Idempotency-Key was done meanwhile; send it again for its answer"
            .to_owned(),
    )
}
