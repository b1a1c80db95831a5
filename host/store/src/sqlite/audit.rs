//! The audit log in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use foretell_types::{RequestId, TenantId};
use rusqlite::types::{Type, Value};
use rusqlite::{OptionalExtension, Row, Transaction, params, params_from_iter};

use super::column::{self, number};
use super::{SqliteStore, checkpoints};
use crate::chain::{AuditKey, Head};
use crate::port::UnixMs;
use crate::port::audit::{
    Act, Audit, AuditQuery, AuditRecord, Entry, Known, Mark, Page, Verdict, Whose,
};
use crate::walk::Walk;
use crate::{StoreError, refusal};

/// Rows that are checked at a time.
const AT_ONCE: u32 = 10_000;

#[async_trait]
impl Audit for SqliteStore {
    async fn append(&self, entries: Vec<Entry>) -> Result<u64, StoreError> {
        let key = self.audit_key.clone();
        self.write(move |tx| append(tx, &key, &entries)).await
    }

    async fn marked(&self, mark: &Mark) -> Result<Option<AuditRecord>, StoreError> {
        let mark = *mark;
        self.read(move |tx| marked(tx, &mark)).await
    }

    async fn page(
        &self,
        query: &AuditQuery,
        page: Page,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let query = query.clone();
        self.read(move |tx| select(tx, &query, page, limit)).await
    }

    async fn last(&self) -> Result<u64, StoreError> {
        self.read(|tx| Ok(head(tx)?.seq)).await
    }

    async fn verify(&self, known: Known) -> Result<Verdict, StoreError> {
        let key = self.audit_key.clone();
        // One snapshot: what is added meanwhile belongs to the next look.
        self.read(move |tx| {
            let mut walk = Walk::new(&key, known);
            loop {
                let (after, records) = (walk.seq(), chain_after(tx, walk.seq())?);
                if records.is_empty() {
                    break;
                }
                if walk.wants_stored() {
                    let last = after + records.len() as u64;
                    walk.expect(checkpoints::between(tx, after, last)?);
                }
                for record in &records {
                    if let Err(broken) = walk.pass(record.as_ref()) {
                        return Ok(walk.verdict(Some(broken)));
                    }
                }
            }
            if walk.wants_stored() {
                walk.expect(checkpoints::last_beyond(tx, walk.seq())?);
            }
            Ok(walk.end())
        })
        .await
    }
}

/// Adds rows to the chain.
///
/// # Errors
/// `Conflict` for a mark that is there already.
pub(super) fn append<'a>(
    tx: &Transaction<'_>,
    key: &AuditKey,
    entries: impl IntoIterator<Item = &'a Entry>,
) -> Result<u64, StoreError> {
    add(tx, key, entries, |_| Err(refusal::done_already()))
}

/// The same of what is written whatever happens: a mark that is there already is left out.
pub(super) fn append_all<'a>(
    tx: &Transaction<'_>,
    key: &AuditKey,
    entries: impl IntoIterator<Item = &'a Entry>,
) -> Result<u64, StoreError> {
    add(tx, key, entries, |entry| {
        Ok(Entry {
            once: None,
            ..entry.clone()
        })
    })
}

/// Adds rows; `again` says what becomes of one whose mark is there already.
fn add<'a>(
    tx: &Transaction<'_>,
    key: &AuditKey,
    entries: impl IntoIterator<Item = &'a Entry>,
    again: fn(&Entry) -> Result<Entry, StoreError>,
) -> Result<u64, StoreError> {
    let mut head = head(tx)?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO audit (seq, at, tenant, actor, act, object, outcome, request_id, origin, detail, hash, once)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    for entry in entries {
        let without_mark;
        let entry = match &entry.once {
            Some(mark) if marked(tx, mark)?.is_some() => {
                without_mark = again(entry)?;
                &without_mark
            }
            _ => entry,
        };
        head.follow_with(key, entry);
        insert.execute(params![
            number(head.seq),
            head.at,
            entry.tenant.as_ref().map(TenantId::as_str),
            &*entry.actor,
            entry.act.as_str(),
            entry.object,
            &*entry.outcome,
            entry.request_id.as_ref().map(RequestId::as_str),
            entry.origin.as_deref(),
            entry.detail,
            head.hash,
            entry.once,
        ])?;
    }
    Ok(head.seq)
}

fn marked(tx: &Transaction<'_>, mark: &Mark) -> Result<Option<AuditRecord>, StoreError> {
    let mut select = tx.prepare_cached("SELECT * FROM audit WHERE once = ?1")?;
    Ok(select.query_row([mark], record).optional()?)
}

/// The end of the chain.
pub(super) fn head(tx: &Transaction<'_>) -> Result<Head, StoreError> {
    let head = tx
        .prepare_cached("SELECT seq, at, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| {
            Ok(Head {
                seq: column::count(row, "seq")?,
                at: row.get("at")?,
                hash: row.get("hash")?,
            })
        })
        .optional()?;
    Ok(head.unwrap_or(Head::EMPTY))
}

fn select(
    tx: &Transaction<'_>,
    query: &AuditQuery,
    page: Page,
    limit: u32,
) -> Result<Vec<AuditRecord>, StoreError> {
    let mut conditions: Vec<&str> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let mut require = |condition: &'static str, value: Value| {
        conditions.push(condition);
        values.push(value);
    };
    if let Whose::Tenant(tenant) = &query.whose {
        require("tenant = ?", tenant.as_str().to_owned().into());
    }
    match query.act {
        None => {}
        Some(Act::Predict) => require("act = ?", Act::Predict.as_str().to_owned().into()),
        // Said twice, for the index of what is no prediction.
        Some(act) => require(
            "act <> 'predict' AND act = ?",
            act.as_str().to_owned().into(),
        ),
    }
    for (condition, text) in [
        ("actor = ?", query.actor.as_deref()),
        ("outcome = ?", query.outcome.as_deref()),
        ("object = ?", query.object.as_deref()),
        (
            "request_id = ?",
            query.request_id.as_ref().map(RequestId::as_str),
        ),
    ] {
        if let Some(text) = text {
            require(condition, text.to_owned().into());
        }
    }
    // Times never go back along the log, so they are found by number, without an index of their own.
    if let Some(since) = query.since {
        require("seq >= ?", number(first_from(tx, since)?).into());
    }
    if let Some(until) = query.until {
        require("seq < ?", number(first_from(tx, until)?).into());
    }
    let order = match page {
        Page::Before(before) => {
            if let Some(before) = before {
                require("seq < ?", number(before).into());
            }
            "DESC"
        }
        Page::After(after) => {
            require("seq > ?", number(after).into());
            "ASC"
        }
    };
    let conditions = if conditions.is_empty() {
        "1".to_owned()
    } else {
        conditions.join(" AND ")
    };
    let sql = format!("SELECT * FROM audit WHERE {conditions} ORDER BY seq {order} LIMIT {limit}");
    let mut select = tx.prepare_cached(&sql)?;
    let records = select.query_map(params_from_iter(values), record)?;
    Ok(records.collect::<Result<_, _>>()?)
}

/// The number of the first row at or after a moment; one past the last if there is none.
fn first_from(tx: &Transaction<'_>, moment: UnixMs) -> Result<u64, StoreError> {
    let mut at =
        tx.prepare_cached("SELECT seq, at FROM audit WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
    let (mut low, mut high) = (1, head(tx)?.seq + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let found: i64 = at.query_row([number(middle)], |row| row.get("at"))?;
        if found < moment {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// The next rows of the chain; nothing stands for one that cannot even be read.
fn chain_after(tx: &Transaction<'_>, after: u64) -> Result<Vec<Option<AuditRecord>>, StoreError> {
    let mut select =
        tx.prepare_cached("SELECT * FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = select.query(params![number(after), AT_ONCE])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(record(row).ok());
    }
    Ok(records)
}

fn record(row: &Row<'_>) -> rusqlite::Result<AuditRecord> {
    let act: String = row.get("act")?;
    let act = Act::parse(&act).ok_or_else(|| {
        let unknown = format!("no act is called `{act}`");
        column::unreadable(row, "act", Type::Text, unknown.into())
    })?;
    Ok(AuditRecord {
        seq: column::count(row, "seq")?,
        entry: Entry {
            at: row.get("at")?,
            tenant: column::parsed_or_null(row, "tenant")?,
            actor: row.get::<_, String>("actor")?.into(),
            act,
            object: row.get("object")?,
            outcome: row.get::<_, String>("outcome")?.into(),
            request_id: column::parsed_or_null(row, "request_id")?,
            origin: row.get::<_, Option<String>>("origin")?.map(Arc::from),
            detail: row.get("detail")?,
            once: row.get("once")?,
        },
        hash: row.get("hash")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{audit_key, recorded};
    use crate::{Broken, Fault};

    /// A log of 30 rows in a file, of which row `n` is about `n`.
    async fn log() -> (tempfile::TempDir, SqliteStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("x.db"), 1, audit_key()).unwrap();
        let entries = (1..=30).map(|n| Entry {
            object: n.to_string(),
            ..recorded()
        });
        store.append(entries.collect()).await.unwrap();
        (folder, store)
    }

    async fn run(store: &SqliteStore, sql: &'static str) -> Result<(), StoreError> {
        store.write(move |tx| Ok(tx.execute_batch(sql)?)).await
    }

    async fn look(store: &SqliteStore) -> Verdict {
        let known = Known {
            last: Some(30),
            ..Known::default()
        };
        store.verify(known).await.unwrap()
    }

    const OPEN: &str = "DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted;";

    #[tokio::test]
    async fn the_database_itself_refuses_to_change_the_log() {
        let (_folder, store) = log().await;
        for sql in [
            "UPDATE audit SET actor = 'x' WHERE seq = 3",
            "UPDATE audit SET seq = 99 WHERE seq = 3",
            "DELETE FROM audit WHERE seq = 30",
            "DELETE FROM audit",
        ] {
            let refused = run(&store, sql).await;
            assert!(
                matches!(&refused, Err(StoreError::Corrupt(m)) if m.contains("append-only")),
                "{sql}: {refused:?}"
            );
        }
        assert_eq!(look(&store).await.broken, None);
    }

    #[tokio::test]
    async fn what_somebody_does_to_the_file_is_found() {
        use Fault::{Altered, CutOff, Missing};
        let cases = [
            ("UPDATE audit SET object = '12x' WHERE seq = 12", 12, Altered),
            ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 12", 12, Altered),
            ("UPDATE audit SET tenant = 'NOT A TENANT' WHERE seq = 12", 12, Altered),
            ("UPDATE audit SET act = 'no.such' WHERE seq = 12", 12, Altered),
            ("UPDATE audit SET once = zeroblob(32) WHERE seq = 12", 12, Altered),
            ("UPDATE audit SET once = zeroblob(31) WHERE seq = 12", 12, Altered),
            ("DELETE FROM audit WHERE seq = 12", 12, Missing),
            ("DELETE FROM audit WHERE seq = 1", 1, Missing),
            ("DELETE FROM audit WHERE seq > 28", 29, CutOff),
            // Rows that change their places, with their hashes and without.
            (
                "UPDATE audit SET seq = 99 WHERE seq = 12; UPDATE audit SET seq = 12 WHERE seq = 13;
                 UPDATE audit SET seq = 13 WHERE seq = 99",
                12,
                Altered,
            ),
            ("UPDATE audit SET object = CAST(25 - seq AS TEXT) WHERE seq IN (12, 13)", 12, Altered),
            // A row that this host never wrote.
            (
                "INSERT INTO audit SELECT 31, at, tenant, actor, act, object, outcome, request_id, origin, detail, hash, NULL
                 FROM audit WHERE seq = 30",
                31,
                Altered,
            ),
        ];
        for (sql, seq, fault) in cases {
            let (_folder, store) = log().await;
            run(&store, OPEN).await.unwrap();
            run(&store, sql).await.unwrap();
            let verdict = look(&store).await;
            assert_eq!(verdict.broken, Some(Broken { seq, fault }), "{sql}");
            assert_eq!(verdict.good, seq - 1, "{sql}");
        }
    }
}
