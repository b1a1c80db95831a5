//! Limits in memory.

use async_trait::async_trait;
use foretell_types::{KeyId, TenantId};

use super::MemoryStore;
use crate::port::audit::EntryOf;
use crate::port::limits::{LimitStore, Quotas, TenantLimits};
use crate::{StoreError, refusal};

#[async_trait]
impl LimitStore for MemoryStore {
    async fn of_tenant(&self, tenant: &TenantId) -> Result<TenantLimits, StoreError> {
        let state = self.state();
        let found = state.tenant_limits.get(tenant).cloned();
        Ok(found.unwrap_or_default())
    }

    async fn of_keys(&self, tenant: &TenantId) -> Result<Vec<(KeyId, Quotas)>, StoreError> {
        let state = self.state();
        let keys = state.keys.iter().map(|key| &key.record);
        let own = keys.filter(|key| key.tenant.as_ref() == Some(tenant));
        let limited = own.filter_map(|key| Some((key.id.clone(), *state.key_limits.get(&key.id)?)));
        Ok(limited.collect())
    }

    async fn set_tenant(
        &self,
        tenant: &TenantId,
        limits: &TenantLimits,
        entry: EntryOf<TenantLimits>,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        state.require(tenant)?;
        let before = state.tenant_limits.insert(tenant.clone(), limits.clone());
        state.record(&self.audit_key, entry(&before.unwrap_or_default()));
        Ok(())
    }

    async fn set_key(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        quotas: &Quotas,
        entry: EntryOf<Quotas>,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        let mut keys = state.keys.iter().map(|key| &key.record);
        if !keys.any(|held| held.id == *key && held.tenant.as_ref() == Some(tenant)) {
            return Err(refusal::no_key(key));
        }
        let before = state.key_limits.insert(key.clone(), *quotas);
        state.record(&self.audit_key, entry(&before.unwrap_or_default()));
        Ok(())
    }
}
