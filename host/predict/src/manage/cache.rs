//! The prediction cache: purged, by its owner or because what it answers for is gone.

use foretell_store::Act;
use foretell_types::{TenantId, VersionDigest};

use super::Manager;
use super::models::WRITE;
use crate::{Call, PredictError};

impl Manager {
    /// Lets go of all answers that are kept for the tenant; returns how many there were. A prediction that is under way
    /// is not kept either.
    ///
    /// # Errors
    /// Those of [`Identity`](crate::Identity).
    pub async fn purge_cache(&self, call: &Call) -> Result<usize, PredictError> {
        let caller = self.parts.identity.caller(call, WRITE).await?;
        caller.must_be_for_all()?;
        self.record(self.act(call, &caller, Act::CachePurge, ""))
            .await?;
        let removed = self.forget_answers_of(&caller.tenant.id);
        tracing::info!(tenant = %caller.tenant.id, removed, request_id = %call.request_id, "cache purged");
        Ok(removed)
    }

    /// The same for the versions of one model. Answers are named by version: another model of the tenant that has the same
    /// one loses its answers too.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no model of that name.
    pub async fn purge_cache_of(&self, call: &Call, model: &str) -> Result<usize, PredictError> {
        let caller = self.parts.identity.caller(call, WRITE).await?;
        let record = self.model_of(&caller, model).await?;
        self.record(self.act(call, &caller, Act::CachePurge, record.name.as_str()))
            .await?;
        let versions: Vec<_> = record
            .versions
            .iter()
            .map(|version| version.digest)
            .collect();
        let removed = self.forget_answers(&caller.tenant.id, &versions);
        tracing::info!(tenant = %caller.tenant.id, model = %record.name, removed, request_id = %call.request_id, "cache purged");
        Ok(removed)
    }

    /// Lets go of the answers of versions.
    pub(super) fn forget_answers(&self, tenant: &TenantId, versions: &[VersionDigest]) -> usize {
        let cache = self.parts.cache.as_ref();
        cache.map_or(0, |cache| cache.purge_versions(tenant, versions))
    }

    /// Lets go of all answers of a tenant.
    pub(super) fn forget_answers_of(&self, tenant: &TenantId) -> usize {
        let cache = self.parts.cache.as_ref();
        cache.map_or(0, |cache| cache.purge_tenant(tenant))
    }
}
