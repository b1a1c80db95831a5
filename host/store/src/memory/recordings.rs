//! Recordings of predictions in memory.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use foretell_types::{RequestId, TenantId};

use super::{MemoryStore, State};
use crate::StoreError;
use crate::port::UnixMs;
use crate::port::audit::EntryOf;
use crate::port::recordings::{
    Held, PageSize, Pseudonym, Recording, RecordingPolicy, RecordingRow, Recordings, Retention,
    SubjectKey, WrappedKey,
};

/// What is recorded, and for whom.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    policies: BTreeMap<TenantId, RecordingPolicy>,
    keys: HashMap<(TenantId, Pseudonym), WrappedKey>,
    recordings: BTreeMap<u64, Recording>,
    last: u64,
}

impl Recorded {
    /// The tenant is deleted.
    pub(super) fn forget(&mut self, tenant: &TenantId) {
        self.policies.remove(tenant);
        self.keys.retain(|(of, _), _| of != tenant);
        self.recordings.retain(|_, one| one.tenant != *tenant);
    }

    fn key(&self, tenant: &TenantId, subject: &Pseudonym) -> Option<&WrappedKey> {
        self.keys.get(&(tenant.clone(), *subject))
    }

    fn older(&self, tenant: &TenantId, before: UnixMs) -> Vec<(UnixMs, u64)> {
        let of_tenant = self
            .recordings
            .iter()
            .filter(|(_, one)| one.tenant == *tenant);
        let older = of_tenant.filter(|(_, one)| one.at < before);
        older.map(|(seq, one)| (one.at, *seq)).collect()
    }
}

fn row((seq, recording): (&u64, &Recording)) -> RecordingRow {
    RecordingRow {
        seq: *seq,
        recording: recording.clone(),
    }
}

#[async_trait]
impl Recordings for MemoryStore {
    async fn keys(
        &self,
        wanted: Arc<Vec<SubjectKey>>,
    ) -> Result<Vec<Option<WrappedKey>>, StoreError> {
        let mut state = self.state();
        let State {
            tenants, recorded, ..
        } = &mut *state;
        let keys = wanted.iter().map(|new| {
            tenants.contains_key(&new.tenant).then(|| {
                let whose = (new.tenant.clone(), new.subject);
                let held = recorded.keys.entry(whose);
                Arc::clone(held.or_insert_with(|| Arc::clone(&new.wrapped)))
            })
        });
        Ok(keys.collect())
    }

    async fn insert(&self, recordings: Arc<Vec<Recording>>) -> Result<u64, StoreError> {
        let mut state = self.state();
        let recorded = &mut state.recorded;
        let mut added = 0;
        for one in recordings.iter() {
            if recorded.key(&one.tenant, &one.subject) == Some(&one.key) {
                recorded.last += 1;
                recorded.recordings.insert(recorded.last, one.clone());
                added += 1;
            }
        }
        Ok(added)
    }

    async fn find(
        &self,
        tenant: &TenantId,
        request_id: &RequestId,
    ) -> Result<Option<RecordingRow>, StoreError> {
        let state = self.state();
        let mut newest_first = state.recorded.recordings.iter().rev();
        let found =
            newest_first.find(|(_, one)| one.tenant == *tenant && one.request_id == *request_id);
        Ok(found.map(row))
    }

    async fn page(
        &self,
        tenant: &TenantId,
        subject: &Pseudonym,
        after: u64,
        most: PageSize,
    ) -> Result<Vec<RecordingRow>, StoreError> {
        let state = self.state();
        let range = (Bound::Excluded(after), Bound::Unbounded);
        let rows = state.recorded.recordings.range(range);
        let wanted = rows.filter(|(_, one)| one.tenant == *tenant && one.subject == *subject);
        let (mut page, mut bytes) = (Vec::new(), 0);
        for found in wanted.take(most.rows as usize) {
            if bytes >= most.bytes.max(1) {
                break;
            }
            bytes += found.1.sealed.len() as u64;
            page.push(row(found));
        }
        Ok(page)
    }

    async fn erase(
        &self,
        tenant: &TenantId,
        subject: &Pseudonym,
        entry: EntryOf<u64>,
    ) -> Result<u64, StoreError> {
        let mut state = self.state();
        state.require(tenant)?;
        let recorded = &mut state.recorded;
        recorded.keys.remove(&(tenant.clone(), *subject));
        let before = recorded.recordings.len();
        recorded
            .recordings
            .retain(|_, one| one.tenant != *tenant || one.subject != *subject);
        let erased = (before - recorded.recordings.len()) as u64;
        state.record(&self.audit_key, entry(&erased));
        Ok(erased)
    }
}

#[async_trait]
impl Retention for MemoryStore {
    async fn policy(&self, tenant: &TenantId) -> Result<RecordingPolicy, StoreError> {
        let state = self.state();
        let found = state.recorded.policies.get(tenant).copied();
        Ok(found.unwrap_or_default())
    }

    async fn set_policy(
        &self,
        tenant: &TenantId,
        policy: RecordingPolicy,
        entry: EntryOf<RecordingPolicy>,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        state.require(tenant)?;
        let before = state.recorded.policies.insert(tenant.clone(), policy);
        state.record(&self.audit_key, entry(&before.unwrap_or_default()));
        Ok(())
    }

    async fn policies(&self) -> Result<Vec<(TenantId, RecordingPolicy)>, StoreError> {
        let state = self.state();
        let policies = state.recorded.policies.iter();
        Ok(policies
            .map(|(tenant, policy)| (tenant.clone(), *policy))
            .collect())
    }

    async fn held(&self, tenant: &TenantId, before: UnixMs) -> Result<Held, StoreError> {
        let state = self.state();
        let all = state.recorded.recordings.values();
        let times: Vec<_> = all
            .filter(|one| one.tenant == *tenant)
            .map(|one| one.at)
            .collect();
        Ok(Held {
            recordings: times.len() as u64,
            oldest: times.iter().min().copied(),
            older: times.iter().filter(|at| **at < before).count() as u64,
        })
    }

    async fn sweep(
        &self,
        tenant: &TenantId,
        before: UnixMs,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let mut state = self.state();
        let mut older = state.recorded.older(tenant, before);
        older.sort_unstable();
        older.truncate(limit as usize);
        for (_, seq) in &older {
            state.recorded.recordings.remove(seq);
        }
        Ok(older.len() as u64)
    }
}
