//! Users in SQLite.

use async_trait::async_trait;
use foretell_types::{Role, TenantId, UserId, UserName};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{SqliteStore, audit, column, tenants};
use crate::port::users::{PasswordHash, StoredUser, UserChange, UserRecord, Users};
use crate::{Entry, EntryOf, StoreError, refusal};

#[async_trait]
impl Users for SqliteStore {
    async fn create(&self, user: &StoredUser, entry: &Entry) -> Result<(), StoreError> {
        let (user, entry, key) = (user.clone(), entry.clone(), self.audit_key.clone());
        self.write(move |tx| {
            let StoredUser { record, password } = &user;
            if let Some(tenant) = &record.tenant {
                tenants::require(tx, tenant)?;
            }
            let (id, name) = (record.id.as_str(), record.name.as_str());
            let is_taken = tx
                .prepare_cached("SELECT 1 FROM users WHERE id = ?1 OR name = ?2")?
                .exists([id, name])?;
            if is_taken {
                return Err(refusal::user_taken(&record.name));
            }
            tx.prepare_cached(
                "INSERT INTO users (id, name, tenant, roles, password, created_at, password_at, disabled_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                id,
                name,
                record.tenant.as_ref().map(TenantId::as_str),
                names(&record.roles),
                password.reveal(),
                record.created_at,
                record.password_at,
                record.disabled_at,
            ])?;
            audit::append(tx, &key, [&entry])?;
            Ok(())
        })
        .await
    }

    async fn find(&self, name: &UserName) -> Result<Option<StoredUser>, StoreError> {
        let name = name.clone();
        self.read(move |tx| {
            let mut select = tx.prepare_cached("SELECT * FROM users WHERE name = ?1")?;
            Ok(select.query_row([name.as_str()], stored).optional()?)
        })
        .await
    }

    async fn get(
        &self,
        tenant: Option<&TenantId>,
        id: &UserId,
    ) -> Result<Option<UserRecord>, StoreError> {
        let (tenant, id) = (tenant.cloned(), id.clone());
        self.read(move |tx| {
            let found = of_id(tx, tenant.as_ref(), &id)?;
            Ok(found.map(|user| user.record))
        })
        .await
    }

    async fn list(&self, tenant: Option<&TenantId>) -> Result<Vec<UserRecord>, StoreError> {
        let tenant = tenant.cloned();
        self.read(move |tx| {
            // `IS` and not `=`: null is the operators'.
            let mut select =
                tx.prepare_cached("SELECT * FROM users WHERE tenant IS ?1 ORDER BY seq")?;
            let records = select.query_map([tenant.as_ref().map(TenantId::as_str)], record)?;
            Ok(records.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn change(
        &self,
        tenant: Option<&TenantId>,
        id: &UserId,
        change: &UserChange,
        entry: EntryOf<UserRecord>,
    ) -> Result<UserRecord, StoreError> {
        let (tenant, id, change) = (tenant.cloned(), id.clone(), change.clone());
        let key = self.audit_key.clone();
        self.write(move |tx| {
            let mut held =
                of_id(tx, tenant.as_ref(), &id)?.ok_or_else(|| refusal::no_user(&id))?;
            let entry = entry(&held.record);
            held.change(&change)?;
            let StoredUser { record, password } = held;
            tx.prepare_cached(
                "UPDATE users SET roles = ?2, password = ?3, password_at = ?4, disabled_at = ?5 WHERE id = ?1",
            )?
            .execute(params![
                id.as_str(),
                names(&record.roles),
                password.reveal(),
                record.password_at,
                record.disabled_at,
            ])?;
            if change.ends_sessions() {
                tx.prepare_cached("DELETE FROM sessions WHERE user = ?1")?
                    .execute([id.as_str()])?;
            }
            audit::append(tx, &key, [&entry])?;
            Ok(record)
        })
        .await
    }

    async fn delete(
        &self,
        tenant: Option<&TenantId>,
        id: &UserId,
        entry: EntryOf<UserRecord>,
    ) -> Result<UserRecord, StoreError> {
        let (tenant, id, key) = (tenant.cloned(), id.clone(), self.audit_key.clone());
        self.write(move |tx| {
            let held = of_id(tx, tenant.as_ref(), &id)?.ok_or_else(|| refusal::no_user(&id))?;
            // Its sessions go with it, by their foreign key.
            tx.prepare_cached("DELETE FROM users WHERE id = ?1")?
                .execute([id.as_str()])?;
            audit::append(tx, &key, [&entry(&held.record)])?;
            Ok(held.record)
        })
        .await
    }
}

fn of_id(
    tx: &Transaction<'_>,
    tenant: Option<&TenantId>,
    id: &UserId,
) -> Result<Option<StoredUser>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT * FROM users WHERE id = ?1 AND tenant IS ?2")?
        .query_row(params![id.as_str(), tenant.map(TenantId::as_str)], stored)
        .optional()?)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredUser> {
    Ok(StoredUser {
        record: record(row)?,
        password: PasswordHash::new(row.get("password")?),
    })
}

/// What is shown of the user of a row, which may be a session's row as well.
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<UserRecord> {
    Ok(UserRecord {
        id: column::parsed(row, "id")?,
        name: column::parsed(row, "name")?,
        tenant: column::parsed_or_null(row, "tenant")?,
        roles: column::listed(row, "roles", "role", Role::parse)?,
        created_at: row.get("created_at")?,
        password_at: row.get("password_at")?,
        disabled_at: row.get("disabled_at")?,
    })
}

fn names(roles: &[Role]) -> String {
    let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    names.join(",")
}
