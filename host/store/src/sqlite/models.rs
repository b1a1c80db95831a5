//! Models in SQLite.

use async_trait::async_trait;
use foretell_types::run::Isolation;
use foretell_types::{Digest, ModelName, ModelVersion, PluginDigest, TenantId, VersionDigest};
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, ToSql, Transaction, params};

use super::{SqliteStore, audit, column, tenants, traffic};
use crate::port::UnixMs;
use crate::{
    Entry, EntryOf, ModelRecord, Models, NewTraffic, NewVersion, Runtime, StoreError, Traffic,
    TrafficChange, VersionRecord, refusal,
};

#[async_trait]
impl Models for SqliteStore {
    async fn add_version(
        &self,
        tenant: &TenantId,
        version: &NewVersion,
        entry: &Entry,
    ) -> Result<bool, StoreError> {
        let (tenant, version) = (tenant.clone(), version.clone());
        let (entry, key) = (entry.clone(), self.audit_key.clone());
        self.write(move |tx| {
            tenants::require(tx, &tenant)?;
            match state(tx, &tenant, &version.model, &version.version)? {
                State::Free => {
                    insert(tx, &tenant, &version)?;
                    audit::append(tx, &key, [&entry])?;
                    Ok(true)
                }
                State::Held(digest) if digest == version.digest => Ok(false),
                State::Held(_) => Err(refusal::version_taken(&version.model, &version.version)),
                State::Retired => Err(refusal::version_retired(&version.model, &version.version)),
            }
        })
        .await
    }

    async fn get(
        &self,
        tenant: &TenantId,
        model: &ModelName,
    ) -> Result<Option<ModelRecord>, StoreError> {
        let (tenant, model) = (tenant.clone(), model.clone());
        self.read(move |tx| Ok(select(tx, &tenant, Some(&model))?.pop()))
            .await
    }

    async fn list(&self, tenant: &TenantId) -> Result<Vec<ModelRecord>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |tx| select(tx, &tenant, None)).await
    }

    async fn set_traffic(
        &self,
        tenant: &TenantId,
        model: &ModelName,
        change: &NewTraffic,
        entry: EntryOf<Traffic>,
    ) -> Result<Traffic, StoreError> {
        let key = self.audit_key.clone();
        let (tenant, model, change) = (tenant.clone(), model.clone(), change.clone());
        self.write(move |tx| {
            let found = traffic::find(tx, &tenant, &model)?;
            let (before, revision) = found.ok_or_else(|| refusal::no_model(&model))?;
            traffic::expect(&model, &change, revision)?;
            for named in change.traffic.versions() {
                match state(tx, &tenant, &model, named)? {
                    State::Held(_) => {}
                    State::Free | State::Retired => return Err(refusal::no_version(&model, named)),
                }
            }
            if before != change.traffic {
                traffic::write(tx, &tenant, &model, (&before, revision), &change)?;
                audit::append(tx, &key, [&entry(&before)])?;
            }
            Ok(before)
        })
        .await
    }

    async fn traffic_changes(
        &self,
        tenant: &TenantId,
        model: &ModelName,
    ) -> Result<Vec<TrafficChange>, StoreError> {
        let (tenant, model) = (tenant.clone(), model.clone());
        self.read(move |tx| Ok(traffic::changes(tx, &tenant, &model)?))
            .await
    }

    async fn set_unloaded(
        &self,
        tenant: &TenantId,
        model: &ModelName,
        unloaded: bool,
        entry: &Entry,
    ) -> Result<bool, StoreError> {
        let (tenant, model) = (tenant.clone(), model.clone());
        let (entry, key) = (entry.clone(), self.audit_key.clone());
        self.write(move |tx| {
            let name = [tenant.as_str(), model.as_str()];
            let before: bool = tx
                .prepare_cached("SELECT unloaded FROM models WHERE tenant = ?1 AND name = ?2")?
                .query_row(name, |row| row.get(0))
                .optional()?
                .ok_or_else(|| refusal::no_model(&model))?;
            tx.prepare_cached("UPDATE models SET unloaded = ?3 WHERE tenant = ?1 AND name = ?2")?
                .execute(params![tenant.as_str(), model.as_str(), unloaded])?;
            if before != unloaded {
                audit::append(tx, &key, [&entry])?;
            }
            Ok(before)
        })
        .await
    }

    async fn delete_version(
        &self,
        tenant: &TenantId,
        model: &ModelName,
        version: &ModelVersion,
        now: UnixMs,
        entry: &Entry,
    ) -> Result<VersionRecord, StoreError> {
        let (entry, key) = (entry.clone(), self.audit_key.clone());
        let (tenant, model, version) = (tenant.clone(), model.clone(), version.clone());
        self.write(move |tx| {
            let missing = || refusal::no_version(&model, &version);
            let mut held = select(tx, &tenant, Some(&model))?.pop().ok_or_else(missing)?;
            let at = held.versions.iter().position(|held| held.version == version).ok_or_else(missing)?;
            if held.versions.len() > 1 && held.traffic.versions().any(|held| *held == version) {
                return Err(refusal::version_in_use(&model, &version));
            }
            let deleted = held.versions.remove(at);
            let name = params![tenant.as_str(), model.as_str(), version.as_str()];
            tx.prepare_cached("DELETE FROM versions WHERE tenant = ?1 AND model = ?2 AND version = ?3")?
                .execute(name)?;
            tx.prepare_cached(
                "UPDATE version_names SET retired_at = ?4 WHERE tenant = ?1 AND model = ?2 AND version = ?3",
            )?
            .execute(params![tenant.as_str(), model.as_str(), version.as_str(), now])?;
            if held.versions.is_empty() {
                tx.prepare_cached("DELETE FROM models WHERE tenant = ?1 AND name = ?2")?
                    .execute([tenant.as_str(), model.as_str()])?;
            }
            audit::append(tx, &key, [&entry])?;
            Ok(deleted)
        })
        .await
    }
}

/// What a version's name is.
enum State {
    /// Nobody's yet.
    Free,
    /// A version's, with this digest.
    Held(VersionDigest),
    /// A deleted version's, for ever.
    Retired,
}

fn state(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    model: &ModelName,
    version: &ModelVersion,
) -> Result<State, StoreError> {
    let digest: Option<Option<[u8; 32]>> = tx
        .prepare_cached(
            "SELECT v.digest FROM version_names n LEFT JOIN versions v USING (tenant, model, version)
             WHERE n.tenant = ?1 AND n.model = ?2 AND n.version = ?3",
        )?
        .query_row([tenant.as_str(), model.as_str(), version.as_str()], |row| row.get(0))
        .optional()?;
    Ok(match digest {
        None => State::Free,
        Some(None) => State::Retired,
        Some(Some(digest)) => State::Held(VersionDigest(Digest::from_bytes(digest))),
    })
}

fn insert(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    version: &VersionRecord,
) -> Result<(), StoreError> {
    let name: [&dyn ToSql; 3] = [
        &tenant.as_str(),
        &version.model.as_str(),
        &version.version.as_str(),
    ];
    tx.prepare_cached(
        "INSERT INTO models (tenant, name, active) VALUES (?1, ?2, ?3) ON CONFLICT (tenant, name) DO NOTHING",
    )?
    .execute(&name[..])?;
    tx.prepare_cached("INSERT INTO version_names (tenant, model, version) VALUES (?1, ?2, ?3)")?
        .execute(&name[..])?;
    let signature = serde_json::to_string(&version.signature).map_err(|error| {
        StoreError::Conflict(format!("the signature has no JSON form: {error}"))
    })?;
    let bytes = i64::try_from(version.bytes).map_err(|_| {
        StoreError::Conflict(format!("a version of {} bytes is too large", version.bytes))
    })?;
    tx.prepare_cached(
        "INSERT INTO versions (tenant, model, version, digest, plugin, artifact, settings, isolation, deadline_ms,
             memory_mib, max_rows, cache, signature, bytes, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?
    .execute(params![
        tenant.as_str(),
        version.model.as_str(),
        version.version.as_str(),
        version.digest.0.as_bytes(),
        version.plugin.0.as_bytes(),
        version.artifact.as_ref().map(Digest::as_bytes),
        version.settings,
        version.runtime.isolation.as_str(),
        version.runtime.deadline_ms,
        version.runtime.memory_mib,
        version.runtime.max_rows,
        version.runtime.cache,
        signature,
        bytes,
        version.created_at,
    ])?;
    Ok(())
}

/// The tenant's models, or the one of that name, sorted; each with its versions in order.
fn select(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    model: Option<&ModelName>,
) -> Result<Vec<ModelRecord>, StoreError> {
    const ALL: &str = concat!(
        "SELECT m.unloaded, ",
        traffic::columns!(),
        ", v.* FROM models m ",
        traffic::joins!(),
        " JOIN versions v ON v.tenant = m.tenant AND v.model = m.name WHERE m.tenant = ?1 ORDER BY m.name, v.seq"
    );
    const ONE: &str = concat!(
        "SELECT m.unloaded, ",
        traffic::columns!(),
        ", v.* FROM models m ",
        traffic::joins!(),
        " JOIN versions v ON v.tenant = m.tenant AND v.model = m.name WHERE m.tenant = ?1 AND m.name = ?2 ORDER BY v.seq"
    );
    let mut statement = tx.prepare_cached(if model.is_some() { ONE } else { ALL })?;
    let mut rows = match model {
        Some(model) => statement.query([tenant.as_str(), model.as_str()])?,
        None => statement.query([tenant.as_str()])?,
    };
    let mut models: Vec<ModelRecord> = Vec::new();
    while let Some(row) = rows.next()? {
        let version = version(row)?;
        match models.last_mut() {
            Some(model) if model.name == version.model => model.versions.push(version),
            _ => models.push(ModelRecord {
                name: version.model.clone(),
                traffic: traffic::current(row)?,
                revision: traffic::revision(row)?,
                unloaded: row.get("unloaded")?,
                versions: vec![version],
            }),
        }
    }
    Ok(models)
}

fn version(row: &Row<'_>) -> rusqlite::Result<VersionRecord> {
    let artifact: Option<[u8; 32]> = row.get("artifact")?;
    Ok(VersionRecord {
        model: column::parsed(row, "model")?,
        version: column::parsed(row, "version")?,
        digest: VersionDigest(column::digest(row, "digest")?),
        plugin: PluginDigest(column::digest(row, "plugin")?),
        artifact: artifact.map(Digest::from_bytes),
        settings: row.get("settings")?,
        runtime: Runtime {
            isolation: isolation(row)?,
            deadline_ms: row.get("deadline_ms")?,
            memory_mib: row.get("memory_mib")?,
            max_rows: row.get("max_rows")?,
            cache: row.get("cache")?,
        },
        signature: column::json(row, "signature")?,
        bytes: column::count(row, "bytes")?,
        created_at: row.get("created_at")?,
    })
}

fn isolation(row: &Row<'_>) -> rusqlite::Result<Isolation> {
    let text: String = row.get("isolation")?;
    [Isolation::Fresh, Isolation::Reuse]
        .into_iter()
        .find(|known| known.as_str() == text)
        .ok_or_else(|| {
            column::unreadable(
                row,
                "isolation",
                Type::Text,
                format!("`{text}` is no isolation").into(),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;
    use crate::{TenantRecord, Tenants};

    #[tokio::test]
    async fn when_a_name_was_retired_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(&folder.path().join("x.db"), 1, crate::suite::audit_key()).unwrap();
        for tenant in [1, 2].map(suite::tenant) {
            store
                .create(
                    &TenantRecord {
                        id: tenant.clone(),
                        created_at: 1,
                    },
                    &crate::suite::recorded(),
                )
                .await
                .unwrap();
            store
                .add_version(&tenant, &suite::version(1, 1, 1), &crate::suite::recorded())
                .await
                .unwrap();
        }
        store
            .delete_version(
                &suite::tenant(1),
                &suite::model(1),
                &suite::version_name(1),
                7,
                &crate::suite::recorded(),
            )
            .await
            .unwrap();
        let kept: Vec<(String, Option<i64>)> = store
            .read(|tx| {
                let mut select =
                    tx.prepare("SELECT tenant, retired_at FROM version_names ORDER BY tenant")?;
                let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
            .unwrap();
        assert_eq!(
            kept,
            [
                ("tenant-1".to_owned(), Some(7)),
                ("tenant-2".to_owned(), None)
            ]
        );
    }
}
