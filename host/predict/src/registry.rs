//! Tenants and their models as the hot path sees them: read from the store once, kept until something changes them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use foretell_store::port::UnixMs;
use foretell_store::port::models::Runtime;
use foretell_store::{Act, EntryOf, ModelRecord, Models, NewTraffic, StoreError, Traffic};
use foretell_types::{ModelName, ModelVersion, Signature, TenantId, VersionDigest};
use serde_json::json;

use crate::manage::acts::{self, Detailed};
use crate::release::{OnGuard, Release, Trial};
use crate::stage::suspend::Breaker;
use crate::statistics::Statistics;
use crate::tenant::Tenant;

/// A version that can answer.
#[derive(Debug)]
pub struct Target {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its model.
    pub model: ModelName,
    /// Its name.
    pub version: ModelVersion,
    /// What it is.
    pub digest: VersionDigest,
    /// What it accepts and returns.
    pub signature: Signature,
    /// What the host does with it.
    pub runtime: Runtime,
    /// How often it failed lately.
    pub(crate) breaker: Breaker,
    /// The same of copies of calls that it is given as a shadow.
    pub(crate) breaker_of_copies: Breaker,
    /// Whether its owner has unloaded its model.
    pub(crate) unloaded: bool,
    /// What it was asked.
    pub statistics: Arc<Statistics>,
}

impl Target {
    /// How many rows a prediction may be run with: as many as the version takes at once, if its author promises that no row
    /// looks at another, each input and output has rows, and no other axis of an output is free: its length could be another
    /// one in other company.
    pub(crate) fn joins(&self) -> Option<u32> {
        let Signature {
            inputs, outputs, ..
        } = &self.signature;
        let may = self.signature.promises.independent_rows
            && inputs.iter().all(|input| input.shape.first() == Some(&-1))
            && outputs
                .iter()
                .all(|output| match output.shape.split_first() {
                    Some((-1, row)) => row.iter().all(|axis| *axis >= 0),
                    _ => false,
                });
        may.then_some(self.runtime.max_rows)
    }
}

impl fmt::Display for Target {
    /// For logs: which version of whose model.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} version {}", self.tenant, self.model, self.version)
    }
}

/// A model with its versions, as of one moment.
#[derive(Debug)]
pub(crate) struct ModelState {
    pub(crate) active: Option<Arc<Target>>,
    pub(crate) release: Option<Release>,
    pub(crate) shadow: Option<Arc<Target>>,
    pub(crate) versions: HashMap<ModelVersion, Arc<Target>>,
}

impl ModelState {
    /// `is_latest`: nothing was changed since it was read.
    fn new(tenant: &Tenant, record: ModelRecord, is_latest: bool) -> Self {
        let unloaded = record.unloaded;
        let versions: HashMap<_, _> = record
            .versions
            .into_iter()
            .map(|version| {
                let target = Target {
                    statistics: tenant.statistics(&version.model, &version.version),
                    tenant: tenant.id.clone(),
                    model: version.model,
                    version: version.version.clone(),
                    digest: version.digest,
                    signature: version.signature,
                    runtime: version.runtime,
                    breaker: Breaker::default(),
                    breaker_of_copies: Breaker::default(),
                    unloaded,
                };
                (version.version, Arc::new(target))
            })
            .collect();
        let Traffic {
            active,
            canary,
            shadow,
        } = record.traffic;
        let known = |version: &ModelVersion| versions.get(version).cloned();
        let release = canary.and_then(|rules| {
            Some(Release {
                target: known(&rules.version)?,
                trial: if is_latest {
                    tenant.trial(&record.name, OnGuard::of(&rules))
                } else {
                    tenant.trial_as_read(&record.name, OnGuard::of(&rules))
                },
                rules,
            })
        });
        if is_latest && release.is_none() {
            tenant.end_trial(&record.name);
        }
        Self {
            active: active.as_ref().and_then(known),
            shadow: shadow.as_ref().and_then(known),
            release,
            versions,
        }
    }
}

/// Models by tenant and name. Absent models are not kept: names that callers invent cost no memory.
pub struct Registry {
    models: Arc<dyn Models>,
    tenants: DashMap<TenantId, Arc<Tenant>>,
    /// Counts changes, so that a reader who began before one does not keep what it read.
    changes: AtomicU64,
}

impl Registry {
    /// An empty registry over a store.
    pub fn new(models: Arc<dyn Models>) -> Self {
        Self {
            models,
            tenants: DashMap::new(),
            changes: AtomicU64::new(0),
        }
    }

    /// What is kept of a tenant.
    pub(crate) fn tenant(&self, id: &TenantId) -> Arc<Tenant> {
        if let Some(tenant) = self.tenants.get(id) {
            return Arc::clone(&tenant);
        }
        let entry = self.tenants.entry(id.clone());
        Arc::clone(&entry.or_insert_with(|| Arc::new(Tenant::new(id.clone()))))
    }

    /// The model's state; `None` if the tenant has no such model.
    pub(crate) async fn model(
        &self,
        tenant: &Tenant,
        model: &ModelName,
    ) -> Result<Option<Arc<ModelState>>, StoreError> {
        if let Some(state) = tenant.models.get(model) {
            return Ok(Some(Arc::clone(&state)));
        }
        let before = self.changes.load(Ordering::Acquire);
        let Some(record) = self.models.get(&tenant.id, model).await? else {
            return Ok(None);
        };
        // A change counts itself before it removes, and both happen under the entry's lock: what was read before the
        // change is either not inserted here, or removed right after.
        let entry = tenant.models.entry(model.clone());
        let is_latest = self.changes.load(Ordering::Acquire) == before;
        let state = Arc::new(ModelState::new(tenant, record, is_latest));
        if is_latest {
            entry.insert(Arc::clone(&state));
        }
        Ok(Some(state))
    }

    /// Forgets a model after it was changed in the store.
    pub(crate) fn changed(&self, tenant: &TenantId, model: &ModelName) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        if let Some(tenant) = self.tenants.get(tenant) {
            tenant.models.remove(model);
        }
    }

    /// Takes a model's canary out of its traffic, if it is still this one, whatever else was changed meanwhile.
    ///
    /// # Errors
    /// `Unavailable` if the store is away, and `Conflict` if somebody was faster: it may be tried again.
    pub(crate) async fn withdraw(
        &self,
        tenant: &TenantId,
        model: &ModelName,
        trial: &Trial,
        reason: &str,
        at: UnixMs,
    ) -> Result<(), StoreError> {
        let Some(record) = self.models.get(tenant, model).await? else {
            return Ok(());
        };
        let found = record.traffic.canary.as_ref().map(OnGuard::of);
        // Looked at after the record was read: what is changed from here on is another revision.
        if trial.is_over() || found.as_ref() != Some(&trial.of) {
            return Ok(());
        }
        let change = NewTraffic {
            traffic: Traffic {
                canary: None,
                ..record.traffic
            },
            expected: Some(record.revision),
            at,
            by: None,
            reason: reason.to_owned(),
        };
        let act = Act::TrafficSet;
        let entry = acts::by_server(at, Some(tenant.clone()), act, model.as_str().to_owned());
        let (after, why) = (acts::traffic(&change.traffic), change.reason.clone());
        let entry: EntryOf<Traffic> = Arc::new(move |before| {
            let before = acts::traffic(before);
            let detail = json!({"before": before, "after": after, "reason": why});
            entry.clone().with(&detail)
        });
        match self.models.set_traffic(tenant, model, &change, entry).await {
            Ok(_) | Err(StoreError::NotFound(_)) => {
                self.end_trial(tenant, model);
                self.changed(tenant, model);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The next canary of the model begins anew, also where it is the same version.
    pub(crate) fn end_trial(&self, tenant: &TenantId, model: &ModelName) {
        if let Some(tenant) = self.tenants.get(tenant) {
            tenant.end_trial(model);
        }
    }

    /// Forgets a version after it was deleted.
    pub(crate) fn version_gone(
        &self,
        tenant: &TenantId,
        model: &ModelName,
        version: &ModelVersion,
    ) {
        self.changed(tenant, model);
        if let Some(tenant) = self.tenants.get(tenant) {
            tenant.forget_statistics(model, version);
        }
    }

    /// Forgets a tenant after it was deleted, and its keys were forgotten: nothing leads to it any more.
    pub(crate) fn tenant_gone(&self, tenant: &TenantId) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.tenants.remove(tenant);
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use foretell_types::Digest;
    use foretell_types::run::Isolation;
    use foretell_types::signature::{Input, Promises};

    use super::*;

    /// Version 1 of a tenant's model `m`, deterministic, under a digest that repeats this byte.
    pub(crate) fn target(tenant: &str, digest: u8, inputs: Vec<Input>) -> Target {
        Target {
            tenant: TenantId::parse(tenant).unwrap(),
            model: ModelName::parse("m").unwrap(),
            version: ModelVersion::parse("1").unwrap(),
            digest: VersionDigest(Digest::from_bytes([digest; 32])),
            signature: Signature {
                doc: String::new(),
                inputs,
                outputs: vec![],
                examples: vec![],
                promises: Promises {
                    deterministic: true,
                    independent_rows: false,
                },
            },
            runtime: Runtime {
                isolation: Isolation::Fresh,
                deadline_ms: 1,
                memory_mib: 1,
                max_rows: 1,
                cache: true,
            },
            breaker: Breaker::default(),
            breaker_of_copies: Breaker::default(),
            unloaded: false,
            statistics: Arc::default(),
        }
    }
}
