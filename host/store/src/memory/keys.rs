//! Keys in memory.

use async_trait::async_trait;
use foretell_types::{KeyId, TenantId};

use super::MemoryStore;
use crate::port::UnixMs;
use crate::{Entry, EntryOf, KeyEnd, KeyHash, KeyRecord, Keys, NewKey, StoreError, refusal};

#[async_trait]
impl Keys for MemoryStore {
    async fn create(&self, key: &NewKey, entry: &Entry) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(tenant) = &key.record.tenant {
            state.require(tenant)?;
        }
        if state
            .keys
            .iter()
            .any(|held| held.record.id == key.record.id || held.hash == key.hash)
        {
            return Err(refusal::key_taken(&key.record.id));
        }
        state.must_be_new(entry)?;
        state.keys.push(key.clone());
        state.record(&self.audit_key, entry.clone());
        Ok(())
    }

    async fn find(&self, hash: &KeyHash) -> Result<Option<KeyRecord>, StoreError> {
        let state = self.state();
        Ok(state
            .keys
            .iter()
            .find(|key| key.hash == *hash)
            .map(|key| key.record.clone()))
    }

    async fn list(&self, tenant: Option<&TenantId>) -> Result<Vec<KeyRecord>, StoreError> {
        let state = self.state();
        let records = state.keys.iter().map(|key| &key.record);
        Ok(records
            .filter(|record| record.tenant.as_ref() == tenant)
            .cloned()
            .collect())
    }

    async fn end(
        &self,
        tenant: Option<&TenantId>,
        id: &KeyId,
        end: KeyEnd,
        entry: EntryOf<KeyRecord>,
    ) -> Result<KeyRecord, StoreError> {
        let mut state = self.state();
        let mut records = state.keys.iter_mut().map(|key| &mut key.record);
        let record = records
            .find(|record| record.id == *id && record.tenant.as_ref() == tenant)
            .ok_or_else(|| refusal::no_key(id))?;
        let before = record.clone();
        end.apply(record);
        let after = record.clone();
        state.record(&self.audit_key, entry(&before));
        Ok(after)
    }

    async fn used(&self, uses: Vec<(KeyId, UnixMs)>) -> Result<(), StoreError> {
        let mut state = self.state();
        for (id, at) in uses {
            let mut records = state.keys.iter_mut().map(|key| &mut key.record);
            if let Some(record) = records.find(|record| record.id == id) {
                record.last_used_at = record.last_used_at.max(Some(at));
            }
        }
        Ok(())
    }
}
