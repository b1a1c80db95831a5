//! What tenants and keys may use, what it costs them, and what they have used.

use std::sync::Arc;

use foretell_store::{
    Account, Act, EntryOf, MicroCredits, Quotas, TenantLimits, UsageCursor, UsageQuery, UsageRow,
    Used, day_of,
};
use foretell_types::{KeyId, Scope, TenantId};
use serde_json::json;

use super::Manager;
use super::acts::Detailed;
use super::keys::{parse_id, unknown};
use super::tenants::{parse, unknown as unknown_tenant};
use crate::account::Credits;
use crate::account::calendar::month_start;
use crate::stage::once;
use crate::{Call, PredictError};

/// Rows of one page of usage, at most.
pub const MAX_USAGE_ROWS: u32 = 10_000;

const USAGE: &[Scope] = &[Scope::Usage];
const KEYS: &[Scope] = &[Scope::Keys];
/// Credits that are given at once, at most: a thousand million.
const MAX_GRANT: MicroCredits = 1_000_000_000 * 1_000_000;
const MAX_REASON_BYTES: usize = 256;

/// A tenant's limits, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whose.
    pub tenant: TenantId,
    /// What was set for it; the host's configuration says the rest.
    pub limits: TenantLimits,
    /// What holds for it: both.
    pub in_force: TenantLimits,
    /// What was set for its keys.
    pub keys: Vec<(KeyId, Quotas)>,
    /// What it used today, in UTC.
    pub today: Used,
    /// What it used this month.
    pub month: Used,
    /// Its credits.
    pub account: Account,
}

impl Manager {
    /// Where the caller's tenant stands.
    ///
    /// # Errors
    /// Those of [`Identity`](crate::Identity) and the store.
    pub async fn standing(&self, call: &Call) -> Result<Standing, PredictError> {
        let caller = self.parts.identity.caller(call, USAGE).await?;
        self.standing_of(&caller.tenant.id).await
    }

    /// The same of a tenant, for an operator.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn tenant_standing(&self, call: &Call, name: &str) -> Result<Standing, PredictError> {
        self.parts.identity.operator(call).await?;
        let tenant = self.existing(name).await?;
        self.standing_of(&tenant).await
    }

    async fn standing_of(&self, tenant: &TenantId) -> Result<Standing, PredictError> {
        self.parts.evidence.flush().await?;
        let today = day_of(self.parts.identity.now());
        let (limits, ledger) = (&self.parts.limit_store, &self.parts.ledger);
        let set = limits.of_tenant(tenant).await?;
        Ok(Standing {
            tenant: tenant.clone(),
            in_force: self.parts.books.in_force(&set),
            limits: set,
            keys: limits.of_keys(tenant).await?,
            today: ledger.used(tenant, None, today).await?,
            month: ledger.used(tenant, None, month_start(today)).await?,
            account: ledger.account(tenant).await?,
        })
    }

    /// Sets all of a tenant's limits, quotas and prices; they hold from the next request on.
    ///
    /// # Errors
    /// `NotFound` if there is no such tenant; `Invalid` for a price or a budget below zero.
    pub async fn set_limits(
        &self,
        call: &Call,
        name: &str,
        limits: TenantLimits,
    ) -> Result<Standing, PredictError> {
        let operator = self.parts.identity.operator(call).await?;
        let tenant = parse(name)?;
        sound(&limits)?;
        let entry = self.act_on(
            call,
            &operator,
            Some(tenant.clone()),
            Act::LimitsSet,
            tenant.as_str(),
        );
        let after = json!(limits);
        let entry: EntryOf<TenantLimits> = Arc::new(move |before| {
            let detail = json!({"before": before, "after": after});
            entry.clone().with(&detail)
        });
        let set = self.parts.limit_store.set_tenant(&tenant, &limits, entry);
        set.await.map_err(|error| no_tenant(error, name))?;
        self.parts.registry.tenant(&tenant).account.changed();
        tracing::info!(%tenant, request_id = %call.request_id, "limits set");
        self.standing_of(&tenant).await
    }

    /// Sets the quotas of one of the caller's keys.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such key; `Invalid` for a budget below zero.
    pub async fn set_key_limits(
        &self,
        call: &Call,
        id: &str,
        quotas: Quotas,
    ) -> Result<Quotas, PredictError> {
        let caller = self.parts.identity.caller(call, KEYS).await?;
        let id = parse_id(id)?;
        sound_quotas(&quotas)?;
        let entry = self.act(call, &caller, Act::LimitsSet, id.as_str());
        let entry: EntryOf<Quotas> = Arc::new(move |before| {
            let detail = json!({"before": before, "after": quotas});
            entry.clone().with(&detail)
        });
        let store = &self.parts.limit_store;
        store
            .set_key(&caller.tenant.id, &id, &quotas, entry)
            .await?;
        caller.tenant.account.changed();
        tracing::info!(tenant = %caller.tenant.id, key = %id, request_id = %call.request_id, "limits of a key set");
        Ok(quotas)
    }

    /// The quotas of one of the caller's keys.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such key.
    pub async fn key_limits(&self, call: &Call, id: &str) -> Result<Quotas, PredictError> {
        let caller = self.parts.identity.caller(call, KEYS).await?;
        let (id, tenant) = (parse_id(id)?, &caller.tenant.id);
        let keys = self.parts.keys.list(Some(tenant)).await?;
        if keys.iter().all(|key| key.id != id) {
            return Err(unknown(&id));
        }
        let set = self.parts.limit_store.of_keys(tenant).await?;
        let found = set.into_iter().find(|(key, _)| *key == id);
        Ok(found.map(|(_, quotas)| quotas).unwrap_or_default())
    }

    /// Gives a tenant credits, or takes some back; what it has may fall below zero by that.
    ///
    /// # Errors
    /// `NotFound` if there is no such tenant; `Invalid` for none at all, for more than a thousand million, or for a reason of
    /// more than a line.
    pub async fn grant_credits(
        &self,
        call: &Call,
        name: &str,
        credits: MicroCredits,
        reason: &str,
    ) -> Result<Account, PredictError> {
        let operator = self.parts.identity.operator(call).await?;
        let tenant = parse(name)?;
        if credits == 0 || credits.unsigned_abs() > MAX_GRANT.unsigned_abs() {
            return Err(PredictError::Invalid(
                "`credits` is a number other than 0, of at most a thousand million".to_owned(),
            ));
        }
        if reason.len() > MAX_REASON_BYTES || reason.chars().any(char::is_control) {
            return Err(PredictError::Invalid(format!(
                "`reason` is one line of at most {MAX_REASON_BYTES} bytes"
            )));
        }
        let mut entry = self
            .act_on(
                call,
                &operator,
                Some(tenant.clone()),
                Act::CreditsGrant,
                tenant.as_str(),
            )
            .with(&json!({"micro_credits": credits, "reason": reason}));
        entry.once = self.mark(call, &operator, None)?;
        if let Some(mark) = &entry.once
            && let Some(before) = self.parts.audit.marked(mark).await?
        {
            let before = before.entry;
            let is_same = (before.act, &before.object, &before.detail)
                == (entry.act, &entry.object, &entry.detail);
            return if is_same {
                Ok(self.parts.ledger.account(&tenant).await?)
            } else {
                Err(once::is_another())
            };
        }
        let granted = self.parts.ledger.grant(&tenant, credits, &entry).await;
        let account = granted.map_err(|error| no_tenant(error, name))?;
        self.parts.registry.tenant(&tenant).account.changed();
        tracing::info!(%tenant, credits = %Credits(credits), request_id = %call.request_id, "credits given");
        Ok(account)
    }

    /// Usage by day, key, model and version: a tenant's own, or, for an operator without prefix, everybody's.
    /// `query.tenant` is decided here.
    ///
    /// # Errors
    /// `Invalid` for a limit that is not 1 to [`MAX_USAGE_ROWS`].
    pub async fn usage(
        &self,
        call: &Call,
        mut query: UsageQuery,
        after: Option<&UsageCursor>,
        limit: u32,
    ) -> Result<Vec<UsageRow>, PredictError> {
        let (_, tenant) = self.parts.identity.viewer(call, USAGE).await?;
        if !(1..=MAX_USAGE_ROWS).contains(&limit) {
            return Err(PredictError::Invalid(format!(
                "`limit` is 1 to {MAX_USAGE_ROWS}"
            )));
        }
        query.tenant = tenant.map(|tenant| tenant.id.clone());
        self.parts.evidence.flush().await?;
        let (ledger, after) = (Arc::clone(&self.parts.ledger), after.cloned());
        let read = async move { ledger.usage(&query, after.as_ref(), limit).await };
        Ok(self.scan(read).await??)
    }

    async fn existing(&self, name: &str) -> Result<TenantId, PredictError> {
        let tenant = parse(name)?;
        match self.parts.tenants.get(&tenant).await? {
            Some(record) => Ok(record.id),
            None => Err(unknown_tenant(name)),
        }
    }
}

/// In the words in which a missing tenant is told everywhere.
fn no_tenant(error: foretell_store::StoreError, name: &str) -> PredictError {
    match error {
        foretell_store::StoreError::NotFound(_) => unknown_tenant(name),
        other => other.into(),
    }
}

fn sound(limits: &TenantLimits) -> Result<(), PredictError> {
    sound_quotas(&limits.quotas)?;
    let prices = limits.models_price.values().chain([&limits.price]);
    for price in prices {
        for part in [price.prediction, price.compute_ms].into_iter().flatten() {
            if !(0..=MAX_GRANT).contains(&part) {
                return Err(PredictError::Invalid(
                    "a price is 0 to a thousand million credits".to_owned(),
                ));
            }
        }
    }
    Ok(())
}

fn sound_quotas(quotas: &Quotas) -> Result<(), PredictError> {
    if quotas.credits_per_month.is_some_and(|credits| credits < 0) {
        return Err(PredictError::Invalid(
            "`credits_per_month` is 0 or more".to_owned(),
        ));
    }
    Ok(())
}
