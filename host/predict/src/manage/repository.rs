//! Models taken out of service and put back, without a change of their versions.

use std::collections::HashSet;

use foretell_store::{Act, ModelRecord, StoreError};

use super::Manager;
use super::models::{WRITE, unknown_model};
use crate::stage::identify::Caller;
use crate::{Call, PredictError};

impl Manager {
    /// Takes a model out of service, also across restarts: what is under way ends, later calls are refused, and nothing of
    /// it stays loaded.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such model.
    pub async fn unload(&self, call: &Call, model: &str) -> Result<(), PredictError> {
        let (caller, record) = self.writable(call, model).await?;
        let tenant = caller.tenant.id.clone();
        self.set_unloaded(call, &caller, &record, true).await?;
        // Code is kept by its content: what another model has in service stays.
        let models = self.parts.models.list(&tenant).await?;
        let in_service: HashSet<_> = models
            .iter()
            .filter(|model| !model.unloaded)
            .flat_map(|model| &model.versions)
            .map(|version| version.digest)
            .collect();
        for version in &record.versions {
            if !in_service.contains(&version.digest) {
                self.parts.runner.forget(&tenant, &version.digest);
            }
        }
        Ok(())
    }

    /// Makes the versions that a model's calls go to ready to run, and puts the model back into service.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such model; `Load` if the version cannot be made ready: the model is then as it was.
    pub async fn load(&self, call: &Call, model: &str) -> Result<(), PredictError> {
        let (caller, record) = self.writable(call, model).await?;
        let versions: Vec<_> = record.traffic.versions().collect();
        self.make_ready(&caller.tenant.id, &record, &versions)
            .await?;
        self.set_unloaded(call, &caller, &record, false).await
    }

    /// A model of the caller's, who may change it.
    async fn writable(
        &self,
        call: &Call,
        model: &str,
    ) -> Result<(Caller, ModelRecord), PredictError> {
        let caller = self.parts.identity.caller(call, WRITE).await?;
        let record = self.model_of(&caller, model).await?;
        Ok((caller, record))
    }

    async fn set_unloaded(
        &self,
        call: &Call,
        caller: &Caller,
        record: &ModelRecord,
        unloaded: bool,
    ) -> Result<(), PredictError> {
        let (models, name) = (&self.parts.models, &record.name);
        let tenant = &caller.tenant.id;
        let act = if unloaded {
            Act::ModelUnload
        } else {
            Act::ModelLoad
        };
        let entry = self.act(call, caller, act, name.as_str());
        let set = models.set_unloaded(tenant, name, unloaded, &entry).await;
        let before = set.map_err(|error| match error {
            // Deleted since it was looked at.
            StoreError::NotFound(_) => unknown_model(name),
            other => other.into(),
        })?;
        // What changes nothing forgets nothing: a version that fails stays suspended.
        if before != unloaded {
            self.parts.registry.changed(tenant, name);
            tracing::info!(%tenant, model = %name, unloaded, request_id = %call.request_id, "model taken out of service or put back");
        }
        Ok(())
    }
}
