//! Models taken out of service and put back, without a change of their versions.

use foretell_store::{ModelRecord, StoreError};
use foretell_types::TenantId;

use super::Manager;
use super::models::{WRITE, unknown_model};
use crate::{Call, ModelRef, PredictError};

impl Manager {
    /// Takes a model out of service, also across restarts: what is under way ends, later calls are refused, and nothing of
    /// it stays loaded.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such model.
    pub async fn unload(&self, call: &Call, model: &str) -> Result<(), PredictError> {
        let (tenant, record) = self.set_unloaded(call, model, true).await?;
        for version in &record.versions {
            self.parts.runner.forget(&tenant, &version.digest);
        }
        Ok(())
    }

    /// Puts a model back into service, and makes its active version ready to run.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such model, `Load` if the version cannot be made ready.
    pub async fn load(&self, call: &Call, model: &str) -> Result<(), PredictError> {
        let (tenant, record) = self.set_unloaded(call, model, false).await?;
        let active = record.traffic.active.as_ref();
        let mut versions = record.versions.iter();
        let Some(version) = versions.find(|version| Some(&version.version) == active) else {
            return Ok(());
        };
        let loaded = self.parts.runner.load(&tenant, &version.digest).await;
        loaded.map_err(|error| PredictError::Load {
            target: format!("{tenant}/{} version {}", record.name, version.version),
            error,
        })
    }

    async fn set_unloaded(
        &self,
        call: &Call,
        model: &str,
        unloaded: bool,
    ) -> Result<(TenantId, ModelRecord), PredictError> {
        let caller = self.parts.identity.caller(call, WRITE).await?;
        let (tenant, name) = (
            caller.tenant.id.clone(),
            ModelRef::parse(model, None)?.model,
        );
        let models = &self.parts.models;
        let set = models.set_unloaded(&tenant, &name, unloaded).await;
        let before = set.map_err(|error| match error {
            StoreError::NotFound(_) => unknown_model(&name),
            other => other.into(),
        })?;
        self.parts.registry.changed(&tenant, &name);
        if before != unloaded {
            tracing::info!(%tenant, model = %name, unloaded, request_id = %call.request_id, "model taken out of service or put back");
        }
        let record = self.model_of(&tenant, model).await?;
        Ok((tenant, record))
    }
}
