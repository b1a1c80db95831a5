//! Care of the blobs beyond putting and getting: what whole tenants hold.

use async_trait::async_trait;
use foretell_types::TenantId;

use crate::StoreError;

/// What the owner of the blobs may do and the rooms that use them may not.
#[async_trait]
pub trait Housekeeping: Send + Sync {
    /// Every tenant that blobs are kept for, also one that no longer exists, sorted by name.
    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError>;

    /// Removes every blob of a tenant; nothing happens if there is none. Not atomic: after a fault or a crash some may
    /// be left, and the next [`sweep`](crate::sweep()) takes them.
    ///
    /// # Errors
    /// `Unavailable` if the medium refuses.
    async fn remove_tenant(&self, tenant: &TenantId) -> Result<(), StoreError>;
}
