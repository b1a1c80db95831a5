//! Everything in memory: for tests and a first look. It keeps every promise of the ports but the one about crashes.
//!
//! One lock around one state makes every call atomic; no call holds it across an await.

mod blobs;
mod keys;
mod models;
mod tenants;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use foretell_types::{ModelName, ModelVersion, TenantId};

pub use blobs::MemoryBlobs;

use crate::port::UnixMs;
use crate::{ModelRecord, NewKey, Probe, StoreError, Stores, TrafficChange};

/// New and empty stores.
pub fn stores() -> Stores {
    let store = Arc::new(MemoryStore::default());
    let blobs = Arc::new(MemoryBlobs::default());
    Stores {
        tenants: Arc::clone(&store) as _,
        keys: Arc::clone(&store) as _,
        models: Arc::clone(&store) as _,
        probe: store,
        blobs: Arc::clone(&blobs) as _,
        housekeeping: blobs,
    }
}

/// Tenants, keys and models.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tenants: BTreeMap<TenantId, Tenant>,
    retired_tenants: HashSet<TenantId>,
    keys: Vec<NewKey>,
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
