//! Models in memory.

use async_trait::async_trait;
use foretell_types::{ModelName, ModelVersion, TenantId};

use super::{MemoryStore, State};
use crate::port::UnixMs;
use crate::port::models::KEPT_CHANGES;
use crate::{
    Entry, EntryOf, ModelRecord, Models, NewTraffic, NewVersion, StoreError, Traffic,
    TrafficChange, VersionRecord, refusal,
};

#[async_trait]
impl Models for MemoryStore {
    async fn add_version(
        &self,
        tenant: &TenantId,
        new: &NewVersion,
        entry: &Entry,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let held = state
            .tenants
            .get_mut(tenant)
            .ok_or_else(|| refusal::no_tenant(tenant))?;
        if held
            .retired_versions
            .contains(&(new.model.clone(), new.version.clone()))
        {
            return Err(refusal::version_retired(&new.model, &new.version));
        }
        let model = held
            .models
            .entry(new.model.clone())
            .or_insert_with(|| ModelRecord {
                name: new.model.clone(),
                traffic: Traffic {
                    active: Some(new.version.clone()),
                    ..Traffic::default()
                },
                revision: 0,
                unloaded: false,
                versions: Vec::new(),
            });
        match model
            .versions
            .iter()
            .find(|version| version.version == new.version)
        {
            None => {
                model.versions.push(new.clone());
                state.record(&self.audit_key, entry.clone());
                Ok(true)
            }
            Some(version) if version.digest == new.digest => Ok(false),
            Some(_) => Err(refusal::version_taken(&new.model, &new.version)),
        }
    }

    async fn get(
        &self,
        tenant: &TenantId,
        model: &ModelName,
    ) -> Result<Option<ModelRecord>, StoreError> {
        let state = self.state();
        Ok(state
            .tenants
            .get(tenant)
            .and_then(|held| held.models.get(model))
            .cloned())
    }

    async fn list(&self, tenant: &TenantId) -> Result<Vec<ModelRecord>, StoreError> {
        let state = self.state();
        Ok(state
            .tenants
            .get(tenant)
            .map_or_else(Vec::new, |held| held.models.values().cloned().collect()))
    }

    async fn set_traffic(
        &self,
        tenant: &TenantId,
        model: &ModelName,
        change: &NewTraffic,
        entry: EntryOf<Traffic>,
    ) -> Result<Traffic, StoreError> {
        let mut state = self.state();
        let missing = || refusal::no_model(model);
        let held = state.tenants.get_mut(tenant).ok_or_else(missing)?;
        let record = held.models.get_mut(model).ok_or_else(missing)?;
        if let Some(expected) = change.expected
            && expected != record.revision
        {
            return Err(refusal::traffic_changed(model, expected, record.revision));
        }
        for named in change.traffic.versions() {
            if !record.versions.iter().any(|held| held.version == *named) {
                return Err(refusal::no_version(model, named));
            }
        }
        if record.traffic == change.traffic {
            return Ok(record.traffic.clone());
        }
        record.revision += 1;
        let before = std::mem::replace(&mut record.traffic, change.traffic.clone());
        let changes = held.changes.entry(model.clone()).or_default();
        changes.push_front(TrafficChange {
            revision: record.revision,
            at: change.at,
            by: change.by.clone(),
            reason: change.reason.clone(),
            before: before.clone(),
            after: change.traffic.clone(),
        });
        changes.truncate(KEPT_CHANGES as usize);
        state.record(&self.audit_key, entry(&before));
        Ok(before)
    }

    async fn traffic_changes(
        &self,
        tenant: &TenantId,
        model: &ModelName,
    ) -> Result<Vec<TrafficChange>, StoreError> {
        let state = self.state();
        let held = state.tenants.get(tenant);
        let changes = held.and_then(|held| held.changes.get(model));
        Ok(changes.into_iter().flatten().cloned().collect())
    }

    async fn set_unloaded(
        &self,
        tenant: &TenantId,
        model: &ModelName,
        unloaded: bool,
        entry: &Entry,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let record = held(&mut state, tenant, model)?;
        let before = std::mem::replace(&mut record.unloaded, unloaded);
        if before != unloaded {
            state.record(&self.audit_key, entry.clone());
        }
        Ok(before)
    }

    async fn delete_version(
        &self,
        tenant: &TenantId,
        model: &ModelName,
        version: &ModelVersion,
        _now: UnixMs,
        entry: &Entry,
    ) -> Result<VersionRecord, StoreError> {
        let mut state = self.state();
        let missing = || refusal::no_version(model, version);
        let held = state.tenants.get_mut(tenant).ok_or_else(missing)?;
        let record = held.models.get_mut(model).ok_or_else(missing)?;
        let at = record
            .versions
            .iter()
            .position(|held| held.version == *version)
            .ok_or_else(missing)?;
        if record.versions.len() > 1 && record.traffic.versions().any(|held| held == version) {
            return Err(refusal::version_in_use(model, version));
        }
        let deleted = record.versions.remove(at);
        if record.versions.is_empty() {
            held.models.remove(model);
            held.changes.remove(model);
        }
        held.retired_versions
            .insert((model.clone(), version.clone()));
        state.record(&self.audit_key, entry.clone());
        Ok(deleted)
    }
}

/// A model that is there.
///
/// # Errors
/// `NotFound` if it is not.
fn held<'a>(
    state: &'a mut State,
    tenant: &TenantId,
    model: &ModelName,
) -> Result<&'a mut ModelRecord, StoreError> {
    let tenant = state.tenants.get_mut(tenant);
    let record = tenant.and_then(|tenant| tenant.models.get_mut(model));
    record.ok_or_else(|| refusal::no_model(model))
}
