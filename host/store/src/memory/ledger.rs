//! Usage and credits in memory.

use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use foretell_types::TenantId;

use super::MemoryStore;
use crate::port::audit::Entry;
use crate::port::ledger::{
    Account, Day, Ledger, MicroCredits, Spent, UsageCursor, UsageQuery, UsageRow, Used, day_of,
};
use crate::{StoreError, refusal};

#[async_trait]
impl Ledger for MemoryStore {
    async fn settle(&self, spent: Arc<Vec<Spent>>) -> Result<u64, StoreError> {
        let mut state = self.state();
        for one in spent.iter() {
            let Spent {
                mut entry,
                model,
                version,
                used,
            } = one.clone();
            if let Some(tenant) = entry.tenant.clone()
                && used != Used::default()
            {
                let day = day_of(entry.at.max(state.head().at));
                let actor = entry.actor.to_string();
                let name = (tenant.clone(), day, actor, model, version);
                state.usage.entry(name).or_default().add(&used);
                state.accounts.entry(tenant).or_default().spent += used.credits;
            }
            if state.is_done(&entry) {
                entry.once = None;
            }
            state.record(&self.audit_key, entry);
        }
        Ok(state.head().seq)
    }

    async fn usage(
        &self,
        query: &UsageQuery,
        after: Option<&UsageCursor>,
        limit: u32,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let state = self.state();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = state
            .usage
            .range::<UsageCursor, _>((from, Bound::Unbounded));
        let wanted = rows.filter(|((tenant, day, actor, model, _), _)| {
            query.tenant.as_ref().is_none_or(|wanted| wanted == tenant)
                && query.since.is_none_or(|since| *day >= since)
                && query.until.is_none_or(|until| *day < until)
                && query.actor.as_ref().is_none_or(|wanted| wanted == actor)
                && query.model.as_ref().is_none_or(|wanted| wanted == model)
        });
        let rows = wanted.take(limit as usize).map(|(name, used)| {
            let (tenant, day, actor, model, version) = name.clone();
            UsageRow {
                tenant,
                day,
                actor,
                model,
                version,
                used: *used,
            }
        });
        Ok(rows.collect())
    }

    async fn used(
        &self,
        tenant: &TenantId,
        actor: Option<&str>,
        since: Day,
    ) -> Result<Used, StoreError> {
        let state = self.state();
        let mut sum = Used::default();
        for ((of, day, by, _, _), used) in &state.usage {
            if of == tenant && *day >= since && actor.is_none_or(|actor| actor == by) {
                sum.add(used);
            }
        }
        Ok(sum)
    }

    async fn account(&self, tenant: &TenantId) -> Result<Account, StoreError> {
        let state = self.state();
        Ok(state.accounts.get(tenant).copied().unwrap_or_default())
    }

    async fn grant(
        &self,
        tenant: &TenantId,
        credits: MicroCredits,
        entry: &Entry,
    ) -> Result<Account, StoreError> {
        let mut state = self.state();
        state.require(tenant)?;
        state.must_be_new(entry)?;
        let account = state.accounts.entry(tenant.clone()).or_default();
        let granted = account.granted.checked_add(credits);
        account.granted = granted.ok_or_else(refusal::too_many_credits)?;
        let account = *account;
        state.record(&self.audit_key, entry.clone());
        Ok(account)
    }
}
