//! Tenants: an operator's work.

use foretell_store::{Act, TenantRecord};
use foretell_types::TenantId;

use super::Manager;
use crate::stage::once;
use crate::text::shown;
use crate::{Call, PredictError};

impl Manager {
    /// Adds a tenant.
    ///
    /// # Errors
    /// `Invalid` for a text that is no tenant name; `Conflict` if the name is or was taken.
    pub async fn create_tenant(
        &self,
        call: &Call,
        name: &str,
    ) -> Result<TenantRecord, PredictError> {
        let operator = self.parts.identity.operator(call).await?;
        let id = TenantId::parse(name).map_err(|error| PredictError::Invalid(error.to_string()))?;
        let record = TenantRecord {
            id,
            created_at: self.parts.identity.now(),
        };
        let (tenant, name) = (Some(record.id.clone()), record.id.as_str());
        let mut entry = self.act_on(call, &operator, tenant, Act::TenantCreate, name);
        entry.once = self.mark(call, &operator, None)?;
        if let Some(mark) = &entry.once
            && let Some(before) = self.parts.audit.marked(mark).await?
        {
            let before = before.entry;
            if (before.act, before.object.as_str()) != (entry.act, name) {
                return Err(once::is_another());
            }
            let made = self.parts.tenants.get(&record.id).await?;
            return made.ok_or_else(|| {
                PredictError::Conflict(format!("tenant `{name}` was deleted since it was made"))
            });
        }
        self.parts.tenants.create(&record, &entry).await?;
        tracing::info!(tenant = %record.id, request_id = %call.request_id, "tenant created");
        Ok(record)
    }

    /// All tenants, by name.
    ///
    /// # Errors
    /// Those of [`Identity`](crate::Identity) and the store.
    pub async fn list_tenants(&self, call: &Call) -> Result<Vec<TenantRecord>, PredictError> {
        self.parts.identity.operator(call).await?;
        Ok(self.parts.tenants.list().await?)
    }

    /// One tenant.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn tenant(&self, call: &Call, name: &str) -> Result<TenantRecord, PredictError> {
        self.parts.identity.operator(call).await?;
        let id = parse(name)?;
        self.parts
            .tenants
            .get(&id)
            .await?
            .ok_or_else(|| unknown(name))
    }

    /// Deletes a tenant with its keys, models and stored content. Its name stays taken.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn delete_tenant(&self, call: &Call, name: &str) -> Result<(), PredictError> {
        let operator = self.parts.identity.operator(call).await?;
        let id = parse(name)?;
        let lock = self.lock_of(&id);
        let _held = lock.lock().await;
        let tenant = Some(id.clone());
        let entry = self.act_on(call, &operator, tenant, Act::TenantDelete, id.as_str());
        self.parts.tenants.delete(&id, entry.at, &entry).await?;
        // From here on the tenant is gone; what follows only clears up, and the sweep at start would do the same.
        self.parts.identity.tenant_gone(&id);
        self.parts.sessions.tenant_gone(&id);
        self.parts.registry.tenant_gone(&id);
        self.forget_answers_of(&id);
        self.clear_up(&id).await;
        tracing::info!(tenant = %id, request_id = %call.request_id, "tenant deleted");
        Ok(())
    }
}

pub(super) fn parse(name: &str) -> Result<TenantId, PredictError> {
    TenantId::parse(name).map_err(|_| unknown(name))
}

pub(super) fn unknown(name: &str) -> PredictError {
    PredictError::NotFound(format!("there is no tenant `{}`", shown(name)))
}
