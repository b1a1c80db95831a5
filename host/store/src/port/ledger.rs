//! What predictions cost: usage by day, and the credits of tenants.
//!
//! Every settled call is a row of the audit log and a part of the day's usage, written in one transaction: sums over
//! either are equal at any time.

use std::sync::Arc;

use async_trait::async_trait;
use foretell_types::TenantId;

use super::audit::Entry;
use crate::StoreError;

/// Credits in millionths: sums are exact.
pub type MicroCredits = i64;

/// Days since 1970-01-01 UTC.
pub type Day = i64;

const MS_PER_DAY: i64 = 86_400_000;

/// The day of a moment.
pub const fn day_of(at: super::UnixMs) -> Day {
    at.div_euclid(MS_PER_DAY)
}

/// One call that came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Its row of the audit log; it has a tenant.
    pub entry: Entry,
    /// The model that was asked; empty = none was reached.
    pub model: String,
    /// The version that was asked; empty = none was reached.
    pub version: String,
    /// What it adds to the day.
    pub used: Used,
}

/// Sums of usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Requests.
    pub calls: u64,
    /// Predictions: one for each row that was answered.
    pub predictions: u64,
    /// Requests that were answered from the cache.
    pub cached: u64,
    /// Requests that were run and failed.
    pub failed: u64,
    /// Time in the sandbox, in microseconds.
    pub compute_us: u64,
    /// What it cost.
    pub credits: MicroCredits,
}

impl Used {
    /// Adds another sum.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.predictions += other.predictions;
        self.cached += other.cached;
        self.failed += other.failed;
        self.compute_us += other.compute_us;
        self.credits += other.credits;
    }
}

/// What one key used of one version on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// Whose.
    pub tenant: TenantId,
    /// The day.
    pub day: Day,
    /// The key, or who else asked.
    pub actor: String,
    /// The model.
    pub model: String,
    /// The version.
    pub version: String,
    /// How much.
    pub used: Used,
}

/// Which usage is wanted. Every condition must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageQuery {
    /// Whose; none = everybody's.
    pub tenant: Option<TenantId>,
    /// From this day on.
    pub since: Option<Day>,
    /// Before this day.
    pub until: Option<Day>,
    /// Of this key.
    pub actor: Option<String>,
    /// Of this model.
    pub model: Option<String>,
}

/// Where a page of usage begins: after this row.
pub type UsageCursor = (TenantId, Day, String, String, String);

/// A tenant's credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// All that it was given, minus what was taken back.
    pub granted: MicroCredits,
    /// All that it has spent.
    pub spent: MicroCredits,
}

impl Account {
    /// What is left.
    pub const fn balance(&self) -> MicroCredits {
        self.granted - self.spent
    }
}

/// The store of usage and credits.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Writes calls that have ended: their rows (without the mark of one that is there already), their usage (if there is any), their cost. One transaction. Returns the number of the last
    /// row of the log.
    ///
    /// # Errors
    /// `Unavailable` if they could not be written: then nothing of them is there.
    async fn settle(&self, spent: Arc<Vec<Spent>>) -> Result<u64, StoreError>;

    /// Usage, by tenant, day, key, model and version; at most `limit` rows, those after `after`.
    async fn usage(
        &self,
        query: &UsageQuery,
        after: Option<&UsageCursor>,
        limit: u32,
    ) -> Result<Vec<UsageRow>, StoreError>;

    /// The sum of a tenant's usage, or of one key's, from a day on.
    async fn used(
        &self,
        tenant: &TenantId,
        actor: Option<&str>,
        since: Day,
    ) -> Result<Used, StoreError>;

    /// A tenant's credits; zeros if it was never given any.
    async fn account(&self, tenant: &TenantId) -> Result<Account, StoreError>;

    /// Gives credits, or takes some back, and returns what there is then.
    ///
    /// # Errors
    /// `NotFound` if the tenant does not exist; `Conflict` if the sum is beyond what a number holds.
    async fn grant(
        &self,
        tenant: &TenantId,
        credits: MicroCredits,
        entry: &Entry,
    ) -> Result<Account, StoreError>;
}
