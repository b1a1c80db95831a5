//! Blobs in memory.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use foretell_types::TenantId;
use foretell_types::blob::{BlobError, BlobId, Blobs};

use crate::blocking::unblock;
use crate::files::fault;
use crate::{Housekeeping, StoreError};

/// The in-memory twin of [`FileBlobs`](crate::files::FileBlobs).
#[derive(Debug, Default)]
pub struct MemoryBlobs {
    blobs: Mutex<HashMap<BlobId, Vec<u8>>>,
}

impl MemoryBlobs {
    fn blobs(&self) -> MutexGuard<'_, HashMap<BlobId, Vec<u8>>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put(&self, id: &BlobId, bytes: Vec<u8>) -> Result<(), BlobError> {
        self.blobs().insert(id.clone(), bytes);
        Ok(())
    }

    async fn put_file(&self, id: &BlobId, file: &Path) -> Result<(), BlobError> {
        let file = file.to_owned();
        let read = unblock(move || std::fs::read(file))
            .await
            .map_err(std::io::Error::other);
        let bytes = read
            .and_then(|read| read)
            .map_err(|source| fault(id, source))?;
        self.put(id, bytes).await
    }

    async fn get(&self, id: &BlobId) -> Result<Option<Vec<u8>>, BlobError> {
        Ok(self.blobs().get(id).cloned())
    }

    async fn remove(&self, id: &BlobId) -> Result<(), BlobError> {
        self.blobs().remove(id);
        Ok(())
    }

    async fn list(&self, tenant: &TenantId) -> Result<Vec<BlobId>, BlobError> {
        Ok(self
            .blobs()
            .keys()
            .filter(|id| id.tenant == *tenant)
            .cloned()
            .collect())
    }
}

#[async_trait]
impl Housekeeping for MemoryBlobs {
    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        let tenants: BTreeSet<_> = self.blobs().keys().map(|id| id.tenant.clone()).collect();
        Ok(tenants.into_iter().collect())
    }

    async fn remove_tenant(&self, tenant: &TenantId) -> Result<(), StoreError> {
        self.blobs().retain(|id, _| id.tenant != *tenant);
        Ok(())
    }
}
