//! What a tenant may keep, and bring in a day.

use foretell_store::{Act, AuditQuery, NewVersion, Page, Whose, day_of};

use super::{MAX_AUDIT_ROWS, Manager};
use crate::account::calendar::begin_of;
use crate::tenant::Tenant;
use crate::{PredictError, Storage};

impl Manager {
    async fn storage_of(&self, tenant: &Tenant) -> Result<Storage, PredictError> {
        let books = &self.parts.books;
        let terms = books.terms(&tenant.id, &tenant.account).await?;
        Ok(books.storage(&terms))
    }

    /// Counts an upload that is to be compiled.
    ///
    /// # Errors
    /// `QuotaExhausted`.
    pub(super) async fn count_upload(&self, tenant: &Tenant) -> Result<(), PredictError> {
        let Some(limit) = self.storage_of(tenant).await?.uploads_per_day else {
            return Ok(());
        };
        let accepted = self.accepted_today(tenant, limit).await?;
        let books = &self.parts.books;
        books.count_upload(&tenant.account, limit, accepted)
    }

    /// Versions that were accepted today, as the log has them, counted up to a limit: what is known after a restart.
    async fn accepted_today(&self, tenant: &Tenant, limit: u64) -> Result<u64, PredictError> {
        let query = AuditQuery {
            whose: Whose::Tenant(tenant.id.clone()),
            act: Some(Act::VersionCreate),
            since: Some(begin_of(day_of(self.parts.identity.now()))),
            ..AuditQuery::default()
        };
        let (mut count, mut page) = (0, Page::After(0));
        while count < limit {
            let rows = self.parts.audit.page(&query, page, MAX_AUDIT_ROWS).await?;
            count += rows.len() as u64;
            match rows.last() {
                Some(last) if rows.len() == MAX_AUDIT_ROWS as usize => {
                    page = Page::After(last.seq);
                }
                _ => break,
            }
        }
        Ok(count)
    }

    /// Whether there is room for a version. To be asked with the tenant's lock held, where it is to be exact.
    ///
    /// # Errors
    /// `StorageFull`.
    pub(super) async fn has_room(
        &self,
        tenant: &Tenant,
        version: &NewVersion,
    ) -> Result<(), PredictError> {
        let storage = self.storage_of(tenant).await?;
        if storage.bytes.is_none() && storage.models.is_none() {
            return Ok(());
        }
        let models = self.parts.models.list(&tenant.id).await?;
        let is_new = models.iter().all(|model| model.name != version.model);
        if let Some(limit) = storage.models
            && is_new
            && models.len() as u64 >= limit
        {
            return Err(full(limit, "models"));
        }
        let stored = models.iter().flat_map(|model| &model.versions);
        let stored: u64 = stored.map(|version| version.bytes).sum();
        match storage.bytes {
            Some(limit) if stored.saturating_add(version.bytes) > limit => {
                Err(full(limit, "bytes of plugins and artifacts"))
            }
            _ => Ok(()),
        }
    }
}

const fn full(limit: u64, what: &'static str) -> PredictError {
    PredictError::StorageFull { limit, what }
}
