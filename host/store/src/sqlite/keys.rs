//! Keys in SQLite.

use std::collections::BTreeSet;

use async_trait::async_trait;
use foretell_types::{KeyId, ModelName, NameError, Scope, TenantId};
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};

use super::{SqliteStore, audit, column, tenants};
use crate::port::UnixMs;
use crate::{Entry, EntryOf, KeyEnd, KeyHash, KeyRecord, Keys, NewKey, StoreError, refusal};

#[async_trait]
impl Keys for SqliteStore {
    async fn create(&self, key: &NewKey, entry: &Entry) -> Result<(), StoreError> {
        let NewKey { record, hash } = key.clone();
        let (entry, audit_key) = (entry.clone(), self.audit_key.clone());
        self.write(move |tx| {
            if let Some(tenant) = &record.tenant {
                tenants::require(tx, tenant)?;
            }
            let id = record.id.as_str();
            if tx.prepare_cached("SELECT 1 FROM api_keys WHERE id = ?1 OR hash = ?2")?.exists(params![id, hash])? {
                return Err(refusal::key_taken(&record.id));
            }
            tx.prepare_cached(
                "INSERT INTO api_keys (id, tenant, hash, label, scopes, models, created_at, expires_at, revoked_at, last_used_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                id,
                record.tenant.as_ref().map(TenantId::as_str),
                hash,
                record.label,
                record.scopes.to_string(),
                record.models.as_ref().map(names),
                record.created_at,
                record.expires_at,
                record.revoked_at,
                record.last_used_at,
            ])?;
            audit::append(tx, &audit_key, [&entry])?;
            Ok(())
        })
        .await
    }

    async fn find(&self, hash: &KeyHash) -> Result<Option<KeyRecord>, StoreError> {
        let hash = *hash;
        self.read(move |tx| {
            let mut select = tx.prepare_cached("SELECT * FROM api_keys WHERE hash = ?1")?;
            Ok(select.query_row([hash], record).optional()?)
        })
        .await
    }

    async fn list(&self, tenant: Option<&TenantId>) -> Result<Vec<KeyRecord>, StoreError> {
        let tenant = tenant.cloned();
        self.read(move |tx| {
            // `IS` and not `=`: null is the operators'.
            let mut select =
                tx.prepare_cached("SELECT * FROM api_keys WHERE tenant IS ?1 ORDER BY seq")?;
            let records = select.query_map([tenant.as_ref().map(TenantId::as_str)], record)?;
            Ok(records.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn end(
        &self,
        tenant: Option<&TenantId>,
        id: &KeyId,
        end: KeyEnd,
        entry: EntryOf<KeyRecord>,
    ) -> Result<KeyRecord, StoreError> {
        let (tenant, id, key) = (tenant.cloned(), id.clone(), self.audit_key.clone());
        self.write(move |tx| {
            let mut held = tx
                .prepare_cached("SELECT * FROM api_keys WHERE id = ?1 AND tenant IS ?2")?
                .query_row(
                    params![id.as_str(), tenant.as_ref().map(TenantId::as_str)],
                    record,
                )
                .optional()?
                .ok_or_else(|| refusal::no_key(&id))?;
            let entry = entry(&held);
            end.apply(&mut held);
            tx.prepare_cached(
                "UPDATE api_keys SET expires_at = ?2, revoked_at = ?3 WHERE id = ?1",
            )?
            .execute(params![id.as_str(), held.expires_at, held.revoked_at])?;
            audit::append(tx, &key, [&entry])?;
            Ok(held)
        })
        .await
    }

    async fn used(&self, uses: Vec<(KeyId, UnixMs)>) -> Result<(), StoreError> {
        self.write(move |tx| {
            let mut update = tx.prepare_cached(
                "UPDATE api_keys SET last_used_at = ?2
                 WHERE id = ?1 AND ifnull(last_used_at < ?2, true)",
            )?;
            for (id, at) in &uses {
                update.execute(params![id.as_str(), at])?;
            }
            Ok(())
        })
        .await
    }
}

fn names(models: &BTreeSet<ModelName>) -> String {
    let names: Vec<_> = models.iter().map(ModelName::as_str).collect();
    serde_json::json!(names).to_string()
}

fn models(row: &Row<'_>) -> rusqlite::Result<Option<BTreeSet<ModelName>>> {
    let Some(names) = column::json_or_null::<Vec<String>>(row, "models")? else {
        return Ok(None);
    };
    let models: Result<_, _> = names.iter().map(|name| ModelName::parse(name)).collect();
    let unreadable = |error: NameError| column::unreadable(row, "models", Type::Text, error.into());
    models.map(Some).map_err(unreadable)
}

fn record(row: &Row<'_>) -> rusqlite::Result<KeyRecord> {
    Ok(KeyRecord {
        id: column::parsed(row, "id")?,
        tenant: column::parsed_or_null(row, "tenant")?,
        label: row.get("label")?,
        scopes: column::listed(row, "scopes", "scope", Scope::parse)?,
        models: models(row)?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        revoked_at: row.get("revoked_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}
