//! Usage and credits in SQLite.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use foretell_types::TenantId;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, Transaction, params, params_from_iter};

use super::audit;
use super::column::number;
use super::{SqliteStore, column, tenants};
use crate::port::audit::Entry;
use crate::port::ledger::{
    Account, Day, Ledger, MicroCredits, Spent, UsageCursor, UsageQuery, UsageRow, Used, day_of,
};
use crate::{StoreError, refusal};

#[async_trait]
impl Ledger for SqliteStore {
    async fn settle(&self, spent: Arc<Vec<Spent>>) -> Result<u64, StoreError> {
        let key = self.audit_key.clone();
        self.write(move |tx| {
            let mut latest = audit::head(tx)?.at;
            // One row for each that differs, however many calls there are.
            let mut days: BTreeMap<(&str, Day, &str, &str, &str), Used> = BTreeMap::new();
            for one in spent.iter() {
                // The time of its row in the log, which never goes back.
                latest = latest.max(one.entry.at);
                if let Some(tenant) = &one.entry.tenant
                    && one.used != Used::default()
                {
                    let day = day_of(latest);
                    let name = (
                        tenant.as_str(),
                        day,
                        &*one.entry.actor,
                        &*one.model,
                        &*one.version,
                    );
                    days.entry(name).or_default().add(&one.used);
                }
            }
            let mut spent_of: BTreeMap<&str, MicroCredits> = BTreeMap::new();
            for ((tenant, day, actor, model, version), used) in &days {
                add(tx, (tenant, *day, actor, model, version), used)?;
                *spent_of.entry(tenant).or_default() += used.credits;
            }
            for (tenant, credits) in &spent_of {
                tx.prepare_cached(
                    "INSERT INTO accounts (tenant, granted, spent) VALUES (?1, 0, ?2)
                     ON CONFLICT (tenant) DO UPDATE SET spent = spent + excluded.spent",
                )?
                .execute(params![tenant, credits])?;
            }
            audit::append_all(tx, &key, spent.iter().map(|one| &one.entry))
        })
        .await
    }

    async fn usage(
        &self,
        query: &UsageQuery,
        after: Option<&UsageCursor>,
        limit: u32,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let (query, after) = (query.clone(), after.cloned());
        self.read(move |tx| select(tx, &query, after.as_ref(), limit))
            .await
    }

    async fn used(
        &self,
        tenant: &TenantId,
        actor: Option<&str>,
        since: Day,
    ) -> Result<Used, StoreError> {
        let (tenant, actor) = (tenant.clone(), actor.map(str::to_owned));
        self.read(move |tx| {
            let mut sum = tx.prepare_cached(
                "SELECT coalesce(sum(calls), 0) AS calls, coalesce(sum(predictions), 0) AS predictions,
                     coalesce(sum(cached), 0) AS cached, coalesce(sum(failed), 0) AS failed,
                     coalesce(sum(compute_us), 0) AS compute_us, coalesce(sum(credits), 0) AS credits
                 FROM usage WHERE tenant = ?1 AND day >= ?2 AND (?3 IS NULL OR actor = ?3)",
            )?;
            Ok(sum.query_row(params![tenant.as_str(), since, actor], used)?)
        })
        .await
    }

    async fn account(&self, tenant: &TenantId) -> Result<Account, StoreError> {
        let tenant = tenant.clone();
        self.read(move |tx| account(tx, &tenant)).await
    }

    async fn grant(
        &self,
        tenant: &TenantId,
        credits: MicroCredits,
        entry: &Entry,
    ) -> Result<Account, StoreError> {
        let (tenant, entry, key) = (tenant.clone(), entry.clone(), self.audit_key.clone());
        self.write(move |tx| {
            tenants::require(tx, &tenant)?;
            let before = account(tx, &tenant)?;
            let granted = before
                .granted
                .checked_add(credits)
                .ok_or_else(refusal::too_many_credits)?;
            tx.prepare_cached(
                "INSERT INTO accounts (tenant, granted, spent) VALUES (?1, ?2, 0)
                 ON CONFLICT (tenant) DO UPDATE SET granted = excluded.granted",
            )?
            .execute(params![tenant.as_str(), granted])?;
            audit::append(tx, &key, [&entry])?;
            Ok(Account { granted, ..before })
        })
        .await
    }
}

fn account(tx: &Transaction<'_>, tenant: &TenantId) -> Result<Account, StoreError> {
    let found = tx
        .prepare_cached("SELECT granted, spent FROM accounts WHERE tenant = ?1")?
        .query_row([tenant.as_str()], |row| {
            Ok(Account {
                granted: row.get("granted")?,
                spent: row.get("spent")?,
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

fn add(
    tx: &Transaction<'_>,
    (tenant, day, actor, model, version): (&str, Day, &str, &str, &str),
    used: &Used,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO usage (tenant, day, actor, model, version, calls, predictions, cached, failed, compute_us, credits)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (tenant, day, actor, model, version) DO UPDATE SET
             calls = calls + excluded.calls, predictions = predictions + excluded.predictions,
             cached = cached + excluded.cached, failed = failed + excluded.failed,
             compute_us = compute_us + excluded.compute_us, credits = credits + excluded.credits",
    )?
    .execute(params![
        tenant,
        day,
        actor,
        model,
        version,
        number(used.calls),
        number(used.predictions),
        number(used.cached),
        number(used.failed),
        number(used.compute_us),
        used.credits,
    ])?;
    Ok(())
}

fn select(
    tx: &Transaction<'_>,
    query: &UsageQuery,
    after: Option<&UsageCursor>,
    limit: u32,
) -> Result<Vec<UsageRow>, StoreError> {
    let mut conditions: Vec<&str> = vec!["1"];
    let mut values: Vec<Value> = Vec::new();
    let texts = [
        ("tenant = ?", query.tenant.as_ref().map(TenantId::as_str)),
        ("actor = ?", query.actor.as_deref()),
        ("model = ?", query.model.as_deref()),
    ];
    for (condition, text) in texts {
        if let Some(text) = text {
            conditions.push(condition);
            values.push(text.to_owned().into());
        }
    }
    for (condition, day) in [("day >= ?", query.since), ("day < ?", query.until)] {
        if let Some(day) = day {
            conditions.push(condition);
            values.push(day.into());
        }
    }
    if let Some((tenant, day, actor, model, version)) = after {
        conditions.push("(tenant, day, actor, model, version) > (?, ?, ?, ?, ?)");
        values.extend([
            tenant.as_str().to_owned().into(),
            (*day).into(),
            actor.clone().into(),
            model.clone().into(),
            version.clone().into(),
        ]);
    }
    let sql = format!(
        "SELECT * FROM usage WHERE {} ORDER BY tenant, day, actor, model, version LIMIT {limit}",
        conditions.join(" AND ")
    );
    let mut select = tx.prepare_cached(&sql)?;
    let rows = select.query_map(params_from_iter(values), |row| {
        Ok(UsageRow {
            tenant: column::parsed(row, "tenant")?,
            day: row.get("day")?,
            actor: row.get("actor")?,
            model: row.get("model")?,
            version: row.get("version")?,
            used: used(row)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn used(row: &Row<'_>) -> rusqlite::Result<Used> {
    let count = |name| column::count(row, name);
    Ok(Used {
        calls: count("calls")?,
        predictions: count("predictions")?,
        cached: count("cached")?,
        failed: count("failed")?,
        compute_us: count("compute_us")?,
        credits: row.get("credits")?,
    })
}
