//! Recordings of predictions in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use foretell_types::{RequestId, TenantId, VersionDigest};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::audit;
use super::column::number;
use super::{SqliteStore, column, tenants};
use crate::StoreError;
use crate::port::UnixMs;
use crate::port::audit::EntryOf;
use crate::port::recordings::{
    Held, PageSize, Pseudonym, Recording, RecordingPolicy, RecordingRow, Recordings, Retention,
    SubjectKey, WrappedKey,
};

#[async_trait]
impl Recordings for SqliteStore {
    async fn keys(
        &self,
        wanted: Arc<Vec<SubjectKey>>,
    ) -> Result<Vec<Option<WrappedKey>>, StoreError> {
        self.write(move |tx| {
            let mut select = tx.prepare_cached(
                "SELECT wrapped FROM subject_keys WHERE tenant = ?1 AND subject = ?2",
            )?;
            let mut insert = tx.prepare_cached(
                "INSERT INTO subject_keys (tenant, subject, wrapped, created_at)
                 SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM tenants WHERE id = ?1)",
            )?;
            let mut keys = Vec::with_capacity(wanted.len());
            for new in wanted.iter() {
                let (tenant, subject) = (new.tenant.as_str(), new.subject.0.as_bytes());
                let held: Option<Vec<u8>> = select
                    .query_row(params![tenant, subject], |row| row.get("wrapped"))
                    .optional()?;
                keys.push(match held {
                    Some(held) => Some(held.into()),
                    None => {
                        let key = &*new.wrapped;
                        let added =
                            insert.execute(params![tenant, subject, key, new.created_at])?;
                        (added > 0).then(|| Arc::clone(&new.wrapped))
                    }
                });
            }
            Ok(keys)
        })
        .await
    }

    async fn insert(&self, recordings: Arc<Vec<Recording>>) -> Result<u64, StoreError> {
        self.write(move |tx| {
            let mut insert = tx.prepare_cached(
                "INSERT INTO recordings (tenant, subject, request_id, at, model, version, digest, sealed)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
                 WHERE EXISTS (SELECT 1 FROM subject_keys WHERE tenant = ?1 AND subject = ?2 AND wrapped = ?9)",
            )?;
            let mut added = 0;
            for one in recordings.iter() {
                added += insert.execute(params![
                    one.tenant.as_str(),
                    one.subject.0.as_bytes(),
                    one.request_id.as_str(),
                    one.at,
                    one.model.as_str(),
                    one.version.as_str(),
                    one.digest.0.as_bytes(),
                    one.sealed,
                    &*one.key,
                ])?;
            }
            Ok(added as u64)
        })
        .await
    }

    async fn find(
        &self,
        tenant: &TenantId,
        request_id: &RequestId,
    ) -> Result<Option<RecordingRow>, StoreError> {
        let (tenant, request_id) = (tenant.clone(), request_id.clone());
        self.read(move |tx| {
            let mut select = tx.prepare_cached(
                "SELECT r.*, k.wrapped FROM recordings r JOIN subject_keys k ON k.tenant = r.tenant AND k.subject = r.subject
                 WHERE r.tenant = ?1 AND r.request_id = ?2 ORDER BY r.seq DESC LIMIT 1",
            )?;
            let found = select.query_row([tenant.as_str(), request_id.as_str()], recording);
            Ok(found.optional()?)
        })
        .await
    }

    async fn page(
        &self,
        tenant: &TenantId,
        subject: &Pseudonym,
        after: u64,
        most: PageSize,
    ) -> Result<Vec<RecordingRow>, StoreError> {
        let (tenant, subject) = (tenant.clone(), *subject);
        self.read(move |tx| {
            let mut select = tx.prepare_cached(
                "SELECT r.*, k.wrapped FROM recordings r JOIN subject_keys k ON k.tenant = r.tenant AND k.subject = r.subject
                 WHERE r.tenant = ?1 AND r.subject = ?2 AND r.seq > ?3 ORDER BY r.seq LIMIT ?4",
            )?;
            let subject = subject.0.as_bytes();
            let mut rows =
                select.query(params![tenant.as_str(), subject, number(after), most.rows])?;
            let (mut page, mut bytes) = (Vec::new(), 0);
            while bytes < most.bytes.max(1)
                && let Some(row) = rows.next()?
            {
                let row = recording(row)?;
                bytes += row.recording.sealed.len() as u64;
                page.push(row);
            }
            Ok(page)
        })
        .await
    }

    async fn erase(
        &self,
        tenant: &TenantId,
        subject: &Pseudonym,
        entry: EntryOf<u64>,
    ) -> Result<u64, StoreError> {
        let (tenant, subject, key) = (tenant.clone(), *subject, self.audit_key.clone());
        self.write(move |tx| {
            tenants::require(tx, &tenant)?;
            let (tenant, subject) = (tenant.as_str(), subject.0.as_bytes());
            let erased = tx
                .prepare_cached(
                    "SELECT count(*) AS count FROM recordings WHERE tenant = ?1 AND subject = ?2",
                )?
                .query_row(params![tenant, subject], |row| column::count(row, "count"))?;
            // What it seals goes with it, by its foreign key.
            tx.prepare_cached("DELETE FROM subject_keys WHERE tenant = ?1 AND subject = ?2")?
                .execute(params![tenant, subject])?;
            audit::append(tx, &key, [&entry(&erased)])?;
            Ok(erased)
        })
        .await
    }
}

#[async_trait]
impl Retention for SqliteStore {
    async fn policy(&self, tenant: &TenantId) -> Result<RecordingPolicy, StoreError> {
        let tenant = tenant.clone();
        self.read(move |tx| policy_of(tx, &tenant)).await
    }

    async fn set_policy(
        &self,
        tenant: &TenantId,
        policy: RecordingPolicy,
        entry: EntryOf<RecordingPolicy>,
    ) -> Result<(), StoreError> {
        let (tenant, key) = (tenant.clone(), self.audit_key.clone());
        self.write(move |tx| {
            tenants::require(tx, &tenant)?;
            let before = policy_of(tx, &tenant)?;
            tx.prepare_cached(
                "INSERT INTO recording_policies (tenant, enabled, days) VALUES (?1, ?2, ?3)
                 ON CONFLICT (tenant) DO UPDATE SET enabled = excluded.enabled, days = excluded.days",
            )?
            .execute(params![tenant.as_str(), policy.enabled, policy.days])?;
            audit::append(tx, &key, [&entry(&before)])?;
            Ok(())
        })
        .await
    }

    async fn policies(&self) -> Result<Vec<(TenantId, RecordingPolicy)>, StoreError> {
        self.read(|tx| {
            let mut select = tx.prepare_cached(
                "SELECT tenant, enabled, days FROM recording_policies ORDER BY tenant",
            )?;
            let rows =
                select.query_map([], |row| Ok((column::parsed(row, "tenant")?, policy(row)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn held(&self, tenant: &TenantId, before: UnixMs) -> Result<Held, StoreError> {
        let tenant = tenant.clone();
        self.read(move |tx| {
            let mut select = tx.prepare_cached(
                "SELECT count(*) AS recordings, min(at) AS oldest, count(*) FILTER (WHERE at < ?2) AS older
                 FROM recordings WHERE tenant = ?1",
            )?;
            let held = select.query_row(params![tenant.as_str(), before], |row| {
                Ok(Held {
                    recordings: column::count(row, "recordings")?,
                    oldest: row.get("oldest")?,
                    older: column::count(row, "older")?,
                })
            });
            Ok(held?)
        })
        .await
    }

    async fn sweep(
        &self,
        tenant: &TenantId,
        before: UnixMs,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let tenant = tenant.clone();
        self.write(move |tx| {
            let swept = tx
                .prepare_cached(
                    "DELETE FROM recordings WHERE seq IN
                         (SELECT seq FROM recordings WHERE tenant = ?1 AND at < ?2 ORDER BY at LIMIT ?3)",
                )?
                .execute(params![tenant.as_str(), before, limit])?;
            Ok(swept as u64)
        })
        .await
    }
}

fn policy_of(tx: &Transaction<'_>, tenant: &TenantId) -> Result<RecordingPolicy, StoreError> {
    let found = tx
        .prepare_cached("SELECT enabled, days FROM recording_policies WHERE tenant = ?1")?
        .query_row([tenant.as_str()], policy)
        .optional()?;
    Ok(found.unwrap_or_default())
}

fn policy(row: &Row<'_>) -> rusqlite::Result<RecordingPolicy> {
    Ok(RecordingPolicy {
        enabled: row.get("enabled")?,
        days: row.get("days")?,
    })
}

fn recording(row: &Row<'_>) -> rusqlite::Result<RecordingRow> {
    Ok(RecordingRow {
        seq: column::count(row, "seq")?,
        recording: Recording {
            tenant: column::parsed(row, "tenant")?,
            subject: Pseudonym(column::digest(row, "subject")?),
            request_id: column::parsed(row, "request_id")?,
            at: row.get("at")?,
            model: column::parsed(row, "model")?,
            version: column::parsed(row, "version")?,
            digest: VersionDigest(column::digest(row, "digest")?),
            key: row.get::<_, Vec<u8>>("wrapped")?.into(),
            sealed: row.get("sealed")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use foretell_types::{Digest, ModelName, ModelVersion};

    use super::*;
    use crate::suite::{audit_key, recorded, recorded_of, tenant};
    use crate::{TenantRecord, Tenants};

    #[tokio::test]
    async fn what_was_erased_lies_in_no_file_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let open = || SqliteStore::open(&folder.path().join("x.db"), 1, audit_key()).unwrap();
        let lies_there = |needle: &[u8]| {
            let files = fs::read_dir(folder.path()).unwrap();
            files.into_iter().any(|file| {
                let bytes = fs::read(file.unwrap().path()).unwrap();
                bytes.windows(needle.len()).any(|window| window == needle)
            })
        };
        let store = open();
        let record = TenantRecord {
            id: tenant(1),
            created_at: 1,
        };
        store.create(&record, &recorded()).await.unwrap();
        let subject = Pseudonym(Digest::from_bytes([9; 32]));
        let wrapped: WrappedKey = b"the wrapped key of a person".as_slice().into();
        let new = SubjectKey {
            tenant: tenant(1),
            subject,
            wrapped: Arc::clone(&wrapped),
            created_at: 1,
        };
        store.keys(Arc::new(vec![new])).await.unwrap();
        // Some in their row, some in pages of their own.
        let recordings = (0..200).map(|n| Recording {
            tenant: tenant(1),
            subject,
            request_id: RequestId::parse("one").unwrap(),
            at: n,
            model: ModelName::parse("m").unwrap(),
            version: ModelVersion::parse("1").unwrap(),
            digest: VersionDigest(Digest::from_bytes([1; 32])),
            key: Arc::clone(&wrapped),
            sealed: b"sealed by that key".repeat(1 + n as usize * 5),
        });
        let added = store.insert(Arc::new(recordings.collect())).await;
        assert_eq!(added.unwrap(), 200);
        drop(store);
        assert!(lies_there(&wrapped) && lies_there(b"sealed by that key"));

        let store = open();
        let erased = store.erase(&tenant(1), &subject, recorded_of()).await;
        assert_eq!(erased.unwrap(), 200);
        // Its end empties the write-ahead log.
        drop(store);
        assert!(!lies_there(&wrapped) && !lies_there(b"sealed by that key"));
    }
}
