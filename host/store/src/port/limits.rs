//! What tenants and keys may use, and what it costs them: set by the operator, beside the defaults of the
//! configuration.

use std::collections::BTreeMap;

use async_trait::async_trait;
use foretell_types::{KeyId, ModelName, TenantId};
use serde::{Deserialize, Serialize};

use super::audit::EntryOf;
use super::ledger::MicroCredits;
use crate::StoreError;

/// What a tenant, or one of its keys, may use. What is absent is what the host's configuration says; for a key, it is
/// not limited beyond its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Requests in a window of the configured length; 0 = none at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_window: Option<u64>,
    /// Predictions under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
    /// Predictions (rows) in a day of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predictions_per_day: Option<u64>,
    /// Predictions in a calendar month of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predictions_per_month: Option<u64>,
    /// Milliseconds in the sandbox in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_ms_per_day: Option<u64>,
    /// Milliseconds in the sandbox in a month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_ms_per_month: Option<u64>,
    /// Millionths of credits in a month: the budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits_per_month: Option<MicroCredits>,
}

impl Quotas {
    /// These, and where one is absent, that of another.
    pub fn or(&self, other: &Self) -> Self {
        Self {
            requests_per_window: self.requests_per_window.or(other.requests_per_window),
            concurrent: self.concurrent.or(other.concurrent),
            predictions_per_day: self.predictions_per_day.or(other.predictions_per_day),
            predictions_per_month: self.predictions_per_month.or(other.predictions_per_month),
            compute_ms_per_day: self.compute_ms_per_day.or(other.compute_ms_per_day),
            compute_ms_per_month: self.compute_ms_per_month.or(other.compute_ms_per_month),
            credits_per_month: self.credits_per_month.or(other.credits_per_month),
        }
    }
}

/// What a prediction costs, in millionths of credits. What is absent is what the host's configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Price {
    /// For each prediction (row).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction: Option<MicroCredits>,
    /// For each millisecond in the sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_ms: Option<MicroCredits>,
}

/// All that was set for a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantLimits {
    /// What it may use.
    pub quotas: Quotas,
    /// Stored bytes of plugins and artifacts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
    /// Models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<u32>,
    /// Uploads in a day of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploads_per_day: Option<u32>,
    /// Whether it may only spend credits that it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepaid: Option<bool>,
    /// What its predictions cost.
    pub price: Price,
    /// What those of single models cost.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", with = "by_name")]
    pub models_price: BTreeMap<ModelName, Price>,
    /// Requests of single models in a window.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", with = "by_name")]
    pub models_requests: BTreeMap<ModelName, u64>,
}

mod by_name {
    //! Names as keys of an object.

    use super::{BTreeMap, Deserialize, ModelName, Serialize};
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        of_models: &BTreeMap<ModelName, T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(of_models.iter().map(|(name, value)| (name.as_str(), value)))
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<ModelName, T>, D::Error> {
        let of_models = BTreeMap::<String, T>::deserialize(deserializer)?;
        of_models
            .into_iter()
            .map(|(name, value)| {
                let name = ModelName::parse(&name).map_err(Error::custom)?;
                Ok((name, value))
            })
            .collect()
    }
}

/// The store of limits.
#[async_trait]
pub trait LimitStore: Send + Sync {
    /// What was set for a tenant; nothing was, if it does not exist.
    async fn of_tenant(&self, tenant: &TenantId) -> Result<TenantLimits, StoreError>;

    /// What was set for its keys.
    async fn of_keys(&self, tenant: &TenantId) -> Result<Vec<(KeyId, Quotas)>, StoreError>;

    /// Sets all of a tenant's limits.
    ///
    /// # Errors
    /// `NotFound` if it does not exist.
    async fn set_tenant(
        &self,
        tenant: &TenantId,
        limits: &TenantLimits,
        entry: EntryOf<TenantLimits>,
    ) -> Result<(), StoreError>;

    /// Sets the limits of a key.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such key.
    async fn set_key(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        quotas: &Quotas,
        entry: EntryOf<Quotas>,
    ) -> Result<(), StoreError>;
}
