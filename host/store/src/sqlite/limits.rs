//! Limits in SQLite.

use async_trait::async_trait;
use foretell_types::{KeyId, TenantId};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{SqliteStore, audit, column, tenants};
use crate::port::audit::EntryOf;
use crate::port::limits::{LimitStore, Quotas, TenantLimits};
use crate::{StoreError, refusal};

#[async_trait]
impl LimitStore for SqliteStore {
    async fn of_tenant(&self, tenant: &TenantId) -> Result<TenantLimits, StoreError> {
        let tenant = tenant.clone();
        self.read(move |tx| of_tenant(tx, &tenant)).await
    }

    async fn of_keys(&self, tenant: &TenantId) -> Result<Vec<(KeyId, Quotas)>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |tx| {
            let mut select = tx.prepare_cached(
                "SELECT l.key, l.limits FROM key_limits l JOIN api_keys k ON k.id = l.key
                 WHERE k.tenant = ?1 ORDER BY k.seq",
            )?;
            let rows = select.query_map([tenant.as_str()], |row| {
                Ok((column::parsed(row, "key")?, column::json(row, "limits")?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn set_tenant(
        &self,
        tenant: &TenantId,
        limits: &TenantLimits,
        entry: EntryOf<TenantLimits>,
    ) -> Result<(), StoreError> {
        let (tenant, limits, key) = (tenant.clone(), limits.clone(), self.audit_key.clone());
        self.write(move |tx| {
            tenants::require(tx, &tenant)?;
            let before = of_tenant(tx, &tenant)?;
            tx.prepare_cached(
                "INSERT INTO tenant_limits (tenant, limits) VALUES (?1, ?2)
                 ON CONFLICT (tenant) DO UPDATE SET limits = excluded.limits",
            )?
            .execute(params![tenant.as_str(), json(&limits)?])?;
            audit::append(tx, &key, [&entry(&before)])?;
            Ok(())
        })
        .await
    }

    async fn set_key(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        quotas: &Quotas,
        entry: EntryOf<Quotas>,
    ) -> Result<(), StoreError> {
        let (tenant, id, quotas) = (tenant.clone(), key.clone(), *quotas);
        let key = self.audit_key.clone();
        self.write(move |tx| {
            let is_there = tx
                .prepare_cached("SELECT 1 FROM api_keys WHERE id = ?1 AND tenant = ?2")?
                .exists([id.as_str(), tenant.as_str()])?;
            if !is_there {
                return Err(refusal::no_key(&id));
            }
            let before = tx
                .prepare_cached("SELECT limits FROM key_limits WHERE key = ?1")?
                .query_row([id.as_str()], |row| column::json(row, "limits"))
                .optional()?
                .unwrap_or_default();
            tx.prepare_cached(
                "INSERT INTO key_limits (key, limits) VALUES (?1, ?2)
                 ON CONFLICT (key) DO UPDATE SET limits = excluded.limits",
            )?
            .execute(params![id.as_str(), json(&quotas)?])?;
            audit::append(tx, &key, [&entry(&before)])?;
            Ok(())
        })
        .await
    }
}

fn of_tenant(tx: &Transaction<'_>, tenant: &TenantId) -> Result<TenantLimits, StoreError> {
    let found = tx
        .prepare_cached("SELECT limits FROM tenant_limits WHERE tenant = ?1")?
        .query_row([tenant.as_str()], |row| column::json(row, "limits"))
        .optional()?;
    Ok(found.unwrap_or_default())
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Conflict(format!("these limits have no JSON form: {error}")))
}
