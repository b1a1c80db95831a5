//! Checkpoints in SQLite.

use async_trait::async_trait;
use rusqlite::{Row, Transaction, params};

use super::column::number;
use super::{SqliteStore, column};
use crate::port::audit::{Page, RowHash};
use crate::walk::Stored;
use crate::{Checkpoint, Checkpoints, StoreError, refusal};

#[async_trait]
impl Checkpoints for SqliteStore {
    async fn hashes(&self, after: u64, limit: u32) -> Result<Vec<RowHash>, StoreError> {
        self.read(move |tx| {
            let mut select = tx.prepare_cached(
                "SELECT seq, hash FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            )?;
            let mut rows = select.query(params![number(after), limit])?;
            let mut hashes = Vec::new();
            let mut expected = after;
            while let Some(row) = rows.next()? {
                expected += 1;
                let seq: i64 = row.get("seq")?;
                if seq == number(expected) {
                    hashes.push(row.get("hash")?);
                } else if hashes.is_empty() {
                    return Err(refusal::row_missing(expected));
                } else {
                    break;
                }
            }
            Ok(hashes)
        })
        .await
    }

    async fn add(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let checkpoint = checkpoint.clone();
        self.write(move |tx| {
            let Checkpoint {
                size,
                at,
                edge,
                note,
            } = checkpoint;
            let is_there = tx
                .prepare_cached("SELECT 1 FROM checkpoints WHERE size = ?1")?
                .exists([number(size)])?;
            if is_there {
                return Err(refusal::checkpoint_taken(size));
            }
            tx.prepare_cached(
                "INSERT INTO checkpoints (size, at, edge, note) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![number(size), at, edge, note])?;
            Ok(())
        })
        .await
    }

    async fn page(&self, page: Page, limit: u32) -> Result<Vec<Checkpoint>, StoreError> {
        self.read(move |tx| {
            let (sql, bound) = match page {
                Page::After(after) => (
                    "SELECT * FROM checkpoints WHERE size > ?1 ORDER BY size LIMIT ?2",
                    after,
                ),
                Page::Before(before) => (
                    "SELECT * FROM checkpoints WHERE size < ?1 ORDER BY size DESC LIMIT ?2",
                    before.unwrap_or(u64::MAX),
                ),
            };
            let mut select = tx.prepare_cached(sql)?;
            let found = select.query_map(params![number(bound), limit], checkpoint)?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }
}

/// Those of more rows than `after`, and not more than `last`, as they are compared.
pub(super) fn between(
    tx: &Transaction<'_>,
    after: u64,
    last: u64,
) -> Result<Vec<Stored>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT size, note FROM checkpoints WHERE size > ?1 AND size <= ?2 ORDER BY size",
    )?;
    let found = select.query_map(params![number(after), number(last)], stored)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The one of most rows, if they are more than `after`.
pub(super) fn last_beyond(tx: &Transaction<'_>, after: u64) -> Result<Option<Stored>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT size, note FROM checkpoints WHERE size > ?1 ORDER BY size DESC LIMIT 1",
    )?;
    let mut found = select.query_map([number(after)], stored)?;
    Ok(found.next().transpose()?)
}

fn checkpoint(row: &Row<'_>) -> rusqlite::Result<Checkpoint> {
    Ok(Checkpoint {
        size: column::count(row, "size")?,
        at: row.get("at")?,
        edge: row.get("edge")?,
        note: row.get("note")?,
    })
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        size: column::count(row, "size")?,
        note: row.get("note")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{audit_key, recorded};
    use crate::{Audit, Broken, Fault, Known, Signer, Tree, TreeHead};

    fn signer() -> Signer {
        Signer::new(&[1; 32], |_| "log.example/1".to_owned())
    }

    /// A log of 30 rows in a file, with a checkpoint at each ten.
    async fn log() -> (tempfile::TempDir, SqliteStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("x.db"), 1, audit_key()).unwrap();
        store.append(vec![recorded(); 30]).await.unwrap();
        let mut tree = Tree::default();
        for hash in store.hashes(0, 100).await.unwrap() {
            tree.push(&hash);
            if tree.size().is_multiple_of(10) {
                let checkpoint = Checkpoint {
                    size: tree.size(),
                    at: 1,
                    edge: tree.edge(),
                    note: TreeHead::of(&tree).sign(&signer()),
                };
                store.add(&checkpoint).await.unwrap();
            }
        }
        (folder, store)
    }

    async fn run(store: &SqliteStore, sql: &'static str) -> Result<(), StoreError> {
        store.write(move |tx| Ok(tx.execute_batch(sql)?)).await
    }

    async fn broken(store: &SqliteStore) -> Option<Broken> {
        let known = Known {
            signer: Some(signer().verifier().clone()),
            ..Known::default()
        };
        store.verify(known).await.unwrap().broken
    }

    #[tokio::test]
    async fn the_database_itself_refuses_to_change_checkpoints() {
        let (_folder, store) = log().await;
        for sql in [
            "UPDATE checkpoints SET note = 'x' WHERE size = 10",
            "DELETE FROM checkpoints WHERE size = 30",
        ] {
            let refused = run(&store, sql).await;
            assert!(
                matches!(&refused, Err(StoreError::Corrupt(m)) if m.contains("append-only")),
                "{sql}: {refused:?}"
            );
        }
        assert_eq!(broken(&store).await, None);
    }

    #[tokio::test]
    async fn what_somebody_does_to_the_file_is_found() {
        let cases = [
            (
                "UPDATE checkpoints SET note = replace(note, '20', '21') WHERE size = 20",
                (11, Fault::CheckpointAltered { size: 20 }),
            ),
            (
                "UPDATE checkpoints SET size = 25 WHERE size = 20",
                (11, Fault::CheckpointAltered { size: 25 }),
            ),
            (
                "DELETE FROM audit WHERE seq > 15",
                (16, Fault::CheckpointCutOff { size: 30 }),
            ),
            (
                "DELETE FROM audit",
                (1, Fault::CheckpointCutOff { size: 30 }),
            ),
            // The chain is looked at first.
            ("DELETE FROM audit WHERE seq = 15", (15, Fault::Missing)),
        ];
        for (sql, (seq, fault)) in cases {
            let (_folder, store) = log().await;
            run(
                &store,
                "DROP TRIGGER audit_is_not_deleted; DROP TRIGGER checkpoints_are_not_changed;",
            )
            .await
            .unwrap();
            run(&store, sql).await.unwrap();
            assert_eq!(broken(&store).await, Some(Broken { seq, fault }), "{sql}");
        }
    }

    #[tokio::test]
    async fn hashes_end_before_a_missing_row() {
        let (_folder, store) = log().await;
        run(
            &store,
            "DROP TRIGGER audit_is_not_deleted; DELETE FROM audit WHERE seq = 15",
        )
        .await
        .unwrap();
        assert_eq!(store.hashes(0, 100).await.unwrap().len(), 14);
        let missing = store.hashes(14, 100).await;
        assert!(
            matches!(&missing, Err(StoreError::Corrupt(m)) if m.contains("row 15")),
            "{missing:?}"
        );
        assert_eq!(store.hashes(15, 100).await.unwrap().len(), 15);
    }
}
