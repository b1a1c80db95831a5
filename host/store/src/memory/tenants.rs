//! Tenants in memory.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use foretell_types::TenantId;

use super::{MemoryStore, State, Tenant};
use crate::port::UnixMs;
use crate::{Entry, StoreError, TenantRecord, Tenants, refusal};

#[async_trait]
impl Tenants for MemoryStore {
    async fn create(&self, tenant: &TenantRecord, entry: &Entry) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.retired_tenants.contains(&tenant.id) {
            return Err(refusal::tenant_retired(&tenant.id));
        }
        if state.tenants.contains_key(&tenant.id) {
            return Err(refusal::tenant_taken(&tenant.id));
        }
        state.must_be_new(entry)?;
        let new = Tenant {
            created_at: tenant.created_at,
            models: BTreeMap::new(),
            changes: HashMap::new(),
            retired_versions: HashSet::new(),
        };
        state.tenants.insert(tenant.id.clone(), new);
        state.record(&self.audit_key, entry.clone());
        Ok(())
    }

    async fn get(&self, id: &TenantId) -> Result<Option<TenantRecord>, StoreError> {
        Ok(self
            .state()
            .tenants
            .get(id)
            .map(|tenant| record(id, tenant)))
    }

    async fn was_deleted(&self, id: &TenantId) -> Result<bool, StoreError> {
        Ok(self.state().retired_tenants.contains(id))
    }

    async fn list(&self) -> Result<Vec<TenantRecord>, StoreError> {
        Ok(self
            .state()
            .tenants
            .iter()
            .map(|(id, tenant)| record(id, tenant))
            .collect())
    }

    async fn delete(&self, id: &TenantId, _now: UnixMs, entry: &Entry) -> Result<(), StoreError> {
        let mut state = self.state();
        state
            .tenants
            .remove(id)
            .ok_or_else(|| refusal::no_tenant(id))?;
        let State {
            keys, key_limits, ..
        } = &mut *state;
        keys.retain(|key| {
            let stays = key.record.tenant.as_ref() != Some(id);
            if !stays {
                key_limits.remove(&key.record.id);
            }
            stays
        });
        state.users_gone(id);
        state.tenant_limits.remove(id);
        state.recorded.forget(id);
        state.retired_tenants.insert(id.clone());
        state.record(&self.audit_key, entry.clone());
        Ok(())
    }
}

fn record(id: &TenantId, tenant: &Tenant) -> TenantRecord {
    TenantRecord {
        id: id.clone(),
        created_at: tenant.created_at,
    }
}

impl State {
    /// # Errors
    /// `NotFound` for a tenant that does not exist.
    pub(super) fn require(&self, tenant: &TenantId) -> Result<(), StoreError> {
        if self.tenants.contains_key(tenant) {
            return Ok(());
        }
        Err(refusal::no_tenant(tenant))
    }
}
