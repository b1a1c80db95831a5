//! Blobs that no version refers to: what a crash between an upload's first byte and its row leaves behind.

use std::collections::HashSet;

use foretell_types::blob::{BlobError, BlobId, Blobs};

use crate::{Housekeeping, StoreError, Stores};

/// What a sweep found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Blobs that are referred to.
    pub kept: usize,
    /// Blobs that were not, and are gone.
    pub removed: usize,
}

/// Removes every blob that is not in `referenced`, of every tenant. Not to be run while uploads are: they put their
/// blobs before the row that refers to them.
///
/// # Errors
/// `Unavailable` if the medium refuses; what was removed until then is gone.
pub async fn sweep(
    blobs: &dyn Blobs,
    housekeeping: &dyn Housekeeping,
    referenced: &HashSet<BlobId>,
) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    for tenant in housekeeping.tenants().await? {
        let held = blobs.list(&tenant).await.map_err(unavailable)?;
        let (kept, orphans): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|id| referenced.contains(id));
        swept.kept += kept.len();
        swept.removed += orphans.len();
        if kept.is_empty() {
            housekeeping.remove_tenant(&tenant).await?;
        } else {
            for orphan in &orphans {
                blobs.remove(orphan).await.map_err(unavailable)?;
            }
        }
    }
    Ok(swept)
}

impl Stores {
    /// Removes every blob that no stored version refers to, those of deleted tenants included. For the start of the
    /// server, before uploads are taken: see [`sweep`].
    ///
    /// # Errors
    /// `Unsupported`, and nothing is removed, if there are blobs of a tenant that this database never had: they belong to
    /// another database. `Unavailable` or `Corrupt`, as the stores answer.
    pub async fn sweep_blobs(&self) -> Result<Swept, StoreError> {
        let tenants = self.tenants.list().await?;
        for owner in self.housekeeping.tenants().await? {
            let known = tenants.iter().any(|tenant| tenant.id == owner)
                || self.tenants.was_deleted(&owner).await?;
            if !known {
                return Err(StoreError::Unsupported(format!(
                    "the data folder holds models of the tenant `{owner}`, which this database never had: it is not the \
                     database that the folder was used with; correct `database.url`, or restore both from one backup"
                )));
            }
        }
        let mut referenced = HashSet::new();
        for tenant in tenants {
            for model in self.models.list(&tenant.id).await? {
                for version in &model.versions {
                    referenced.extend(version.blobs().map(|(kind, digest)| BlobId {
                        tenant: tenant.id.clone(),
                        kind,
                        digest,
                    }));
                }
            }
        }
        sweep(&*self.blobs, &*self.housekeeping, &referenced).await
    }
}

fn unavailable(error: BlobError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
