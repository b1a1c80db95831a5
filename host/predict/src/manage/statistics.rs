//! What was asked of a tenant's versions.

use foretell_types::{ModelName, ModelVersion};

use super::Manager;
use super::models::READ;
use crate::statistics::Counts;
use crate::{Call, ModelRef, PredictError};

/// The counts of one version since the server started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionCounts {
    /// Its model.
    pub model: ModelName,
    /// Its name.
    pub version: ModelVersion,
    /// What it was asked.
    pub counts: Counts,
}

impl Manager {
    /// The counts of all the tenant's versions, of those of one model, or of one version.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such model or version.
    pub async fn statistics(
        &self,
        call: &Call,
        wanted: Option<&ModelRef>,
    ) -> Result<Vec<VersionCounts>, PredictError> {
        let caller = self.parts.identity.caller(call, READ).await?;
        let records = match wanted {
            None => self.list_models(call).await?,
            Some(wanted) => {
                let model = wanted.model.as_str();
                let mut record = self.model(call, model).await?;
                if let Some(version) = &wanted.version {
                    let only = self.version(call, model, version.as_str()).await?;
                    record.versions = vec![only.record];
                }
                vec![record]
            }
        };
        let versions = records.iter().flat_map(|record| &record.versions);
        Ok(versions
            .map(|record| VersionCounts {
                model: record.model.clone(),
                version: record.version.clone(),
                counts: caller.tenant.counts(&record.model, &record.version),
            })
            .collect())
    }
}
