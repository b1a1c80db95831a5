//! Tenants: the customers.

use async_trait::async_trait;
use foretell_types::TenantId;

use super::UnixMs;
use super::audit::Entry;
use crate::StoreError;

/// A customer as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRecord {
    /// The name.
    pub id: TenantId,
    /// When it was created.
    pub created_at: UnixMs,
}

/// The store of tenants.
#[async_trait]
pub trait Tenants: Send + Sync {
    /// Adds a tenant, and records it.
    ///
    /// # Errors
    /// `Conflict` if the name is taken, also by a deleted tenant: names of customers are not used twice.
    async fn create(&self, tenant: &TenantRecord, entry: &Entry) -> Result<(), StoreError>;

    /// Reads one; `None` if there is none or it is deleted.
    async fn get(&self, id: &TenantId) -> Result<Option<TenantRecord>, StoreError>;

    /// Whether there was a tenant of this name that is deleted now.
    async fn was_deleted(&self, id: &TenantId) -> Result<bool, StoreError>;

    /// All that are not deleted, sorted by name.
    async fn list(&self) -> Result<Vec<TenantRecord>, StoreError>;

    /// Deletes a tenant with all its keys, users, models, versions, limits and recordings, and records it, in one
    /// transaction. What it used and spent stays.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    async fn delete(&self, id: &TenantId, now: UnixMs, entry: &Entry) -> Result<(), StoreError>;
}
