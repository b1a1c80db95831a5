//! Tenants in SQLite.

use async_trait::async_trait;
use foretell_types::TenantId;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{SqliteStore, audit, column};
use crate::port::UnixMs;
use crate::{Entry, StoreError, TenantRecord, Tenants, refusal};

#[async_trait]
impl Tenants for SqliteStore {
    async fn create(&self, tenant: &TenantRecord, entry: &Entry) -> Result<(), StoreError> {
        let (tenant, entry, key) = (tenant.clone(), entry.clone(), self.audit_key.clone());
        self.write(move |tx| {
            let id = tenant.id.as_str();
            let retired: Option<bool> = tx
                .prepare_cached("SELECT retired_at IS NOT NULL FROM tenant_names WHERE name = ?1")?
                .query_row([id], |row| row.get(0))
                .optional()?;
            match retired {
                Some(true) => return Err(refusal::tenant_retired(&tenant.id)),
                Some(false) => return Err(refusal::tenant_taken(&tenant.id)),
                None => {}
            }
            tx.prepare_cached("INSERT INTO tenant_names (name) VALUES (?1)")?
                .execute([id])?;
            tx.prepare_cached("INSERT INTO tenants (id, created_at) VALUES (?1, ?2)")?
                .execute(params![id, tenant.created_at])?;
            audit::append(tx, &key, [&entry])?;
            Ok(())
        })
        .await
    }

    async fn get(&self, id: &TenantId) -> Result<Option<TenantRecord>, StoreError> {
        let id = id.clone();
        self.read(move |tx| {
            let mut select =
                tx.prepare_cached("SELECT id, created_at FROM tenants WHERE id = ?1")?;
            Ok(select.query_row([id.as_str()], record).optional()?)
        })
        .await
    }

    async fn was_deleted(&self, id: &TenantId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.read(move |tx| {
            let mut select = tx.prepare_cached(
                "SELECT 1 FROM tenant_names WHERE name = ?1 AND retired_at IS NOT NULL",
            )?;
            Ok(select.exists([id.as_str()])?)
        })
        .await
    }

    async fn list(&self) -> Result<Vec<TenantRecord>, StoreError> {
        self.read(|tx| {
            let mut select = tx.prepare_cached("SELECT id, created_at FROM tenants ORDER BY id")?;
            Ok(select.query_map([], record)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn delete(&self, id: &TenantId, now: UnixMs, entry: &Entry) -> Result<(), StoreError> {
        let (id, entry, key) = (id.clone(), entry.clone(), self.audit_key.clone());
        self.write(move |tx| {
            require(tx, &id)?;
            tx.prepare_cached("UPDATE tenant_names SET retired_at = ?2 WHERE name = ?1")?
                .execute(params![id.as_str(), now])?;
            // Keys, users, models, versions and limits go with it, by their foreign keys.
            tx.prepare_cached("DELETE FROM tenants WHERE id = ?1")?
                .execute([id.as_str()])?;
            audit::append(tx, &key, [&entry])?;
            Ok(())
        })
        .await
    }
}

/// Refuses what is for a tenant that does not exist.
pub(super) fn require(tx: &Transaction<'_>, id: &TenantId) -> Result<(), StoreError> {
    if tx
        .prepare_cached("SELECT 1 FROM tenants WHERE id = ?1")?
        .exists([id.as_str()])?
    {
        Ok(())
    } else {
        Err(refusal::no_tenant(id))
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<TenantRecord> {
    Ok(TenantRecord {
        id: column::parsed(row, "id")?,
        created_at: row.get("created_at")?,
    })
}
