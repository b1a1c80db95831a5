//! Everything in memory: for tests and a first look. It keeps every promise of the ports but the one about crashes.
//!
//! One lock around one state makes every call atomic; no call holds it across an await.

mod audit;
mod blobs;
mod checkpoints;
mod keys;
mod ledger;
mod limits;
mod models;
mod recordings;
mod sessions;
mod tenants;
mod users;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use foretell_types::{KeyId, ModelName, ModelVersion, TenantId};

pub use blobs::MemoryBlobs;

use crate::port::UnixMs;
use crate::{
    Account, AuditKey, AuditRecord, Checkpoint, ModelRecord, NewKey, NewSession, Probe, Quotas,
    StoreError, StoredUser, Stores, TenantLimits, TrafficChange, UsageCursor, Used,
};

/// New and empty stores, for tests: the audit log is sealed with a key that everybody knows.
pub fn stores() -> Stores {
    stores_with(AuditKey::new(&[0; 32]))
}

/// New and empty stores.
pub fn stores_with(audit_key: AuditKey) -> Stores {
    let store = Arc::new(MemoryStore {
        audit_key,
        state: Mutex::default(),
    });
    let blobs = Arc::new(MemoryBlobs::default());
    Stores {
        tenants: Arc::clone(&store) as _,
        keys: Arc::clone(&store) as _,
        users: Arc::clone(&store) as _,
        sessions: Arc::clone(&store) as _,
        models: Arc::clone(&store) as _,
        audit: Arc::clone(&store) as _,
        checkpoints: Arc::clone(&store) as _,
        ledger: Arc::clone(&store) as _,
        limits: Arc::clone(&store) as _,
        recordings: Arc::clone(&store) as _,
        retention: Arc::clone(&store) as _,
        probe: store,
        blobs: Arc::clone(&blobs) as _,
        housekeeping: blobs,
    }
}

/// Tenants, keys, models, and what was done with them.
#[derive(Debug)]
pub struct MemoryStore {
    audit_key: AuditKey,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tenants: BTreeMap<TenantId, Tenant>,
    retired_tenants: HashSet<TenantId>,
    keys: Vec<NewKey>,
    users: Vec<StoredUser>,
    /// Oldest first.
    sessions: Vec<NewSession>,
    audit: Vec<AuditRecord>,
    checkpoints: BTreeMap<u64, Checkpoint>,
    usage: BTreeMap<UsageCursor, Used>,
    accounts: HashMap<TenantId, Account>,
    tenant_limits: HashMap<TenantId, TenantLimits>,
    key_limits: HashMap<KeyId, Quotas>,
    recorded: recordings::Recorded,
}

#[derive(Debug)]
struct Tenant {
    created_at: UnixMs,
    models: BTreeMap<ModelName, ModelRecord>,
    /// Newest first.
    changes: HashMap<ModelName, VecDeque<TrafficChange>>,
    retired_versions: HashSet<(ModelName, ModelVersion)>,
}

impl MemoryStore {
    /// A panic elsewhere leaves a whole state behind: no call changes anything before its last check.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Probe for MemoryStore {
    async fn ping(&self) -> Result<(), StoreError> {
        drop(self.state());
        Ok(())
    }
}
