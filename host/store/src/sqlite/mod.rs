//! SQLite in a file: one writer, many readers, every commit on the medium before it is acknowledged.
//!
//! SQLite allows one writer at a time. So there is one, and calls queue for it without holding a thread; each is one
//! `BEGIN IMMEDIATE` transaction with a sync of its own. Writes here are acts of people (uploads, keys), and predictions
//! by the thousand. Readers see the last commit and never wait for the writer (write-ahead log).

mod audit;
mod checkpoints;
mod column;
mod connect;
mod fault;
mod keys;
mod ledger;
mod limits;
mod migrate;
mod models;
mod probe;
mod recordings;
mod sessions;
mod tenants;
mod traffic;
mod users;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::Semaphore;

use crate::blocking::{Stopping, unblock};
use crate::{AuditKey, StoreError};

/// Tenants, keys and models in one database file.
#[derive(Debug)]
pub struct SqliteStore {
    /// As many permits as there are connections: who waits, waits here and not on a thread.
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    connections: Arc<Connections>,
    /// What the rows of the audit log are sealed with.
    audit_key: AuditKey,
}

#[derive(Debug)]
struct Connections {
    path: PathBuf,
    /// Absent after a fault, until the next write connects anew.
    writer: Mutex<Option<Connection>>,
    readers: r2d2::Pool<SqliteConnectionManager>,
}

impl SqliteStore {
    /// Opens the file, creating it where it is missing, checks it and brings it to this program's schema. Waits for
    /// the disk. `pool_size` is how many reads may run at once, 1 and more.
    ///
    /// # Errors
    /// `Unsupported` if the file is another program's or a newer one's; `Corrupt` if it is damaged; `Unavailable` if it
    /// cannot be made, read or written.
    pub fn open(path: &Path, pool_size: u32, audit_key: AuditKey) -> Result<Self, StoreError> {
        // Absolute, because SQLite would read a name that begins with `file:` as a URL.
        let path = std::path::absolute(path)
            .map_err(|error| StoreError::Unavailable(format!("{}: {error}", path.display())))?;
        let named = |error| fault::in_file(error, &path);
        connect::create(&path)?;
        let mut writer = connect::writer(&path).map_err(named)?;
        migrate::check(&writer).map_err(named)?;
        migrate::migrate(&mut writer).map_err(named)?;
        let pool_size = pool_size.max(1);
        let readers = connect::readers(&path, pool_size).map_err(named)?;
        Ok(Self {
            reads: Arc::new(Semaphore::new(pool_size as usize)),
            writes: Arc::new(Semaphore::new(1)),
            connections: Arc::new(Connections {
                path,
                writer: Mutex::new(Some(writer)),
                readers,
            }),
            audit_key,
        })
    }

    /// Runs `work` on one snapshot of the database.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.reads)
            .acquire_owned()
            .await
            .map_err(|_| Stopping)?;
        let connections = Arc::clone(&self.connections);
        unblock(move || {
            let _permit = permit;
            let mut connection = connections
                .readers
                .get()
                .map_err(|error| fault::pool(&error))?;
            work(&connection.transaction()?)
        })
        .await?
    }

    /// Runs `work` in one transaction: on the medium if this returns `Ok`, undone otherwise.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.writes)
            .acquire_owned()
            .await
            .map_err(|_| Stopping)?;
        let connections = Arc::clone(&self.connections);
        unblock(move || {
            let _permit = permit;
            connections.write(work)
        })
        .await?
    }
}

impl Connections {
    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // Taken out, so that a panic in `work` leaves no connection with half a transaction.
        let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => connect::writer(&self.path)?,
        };
        let done = transact(&mut connection, work);
        // After a fault of the disk nobody knows what the connection believes to be written; a sync that failed once
        // "succeeds" when it is tried again. A new connection reads what is there.
        if !matches!(
            done,
            Err(StoreError::Unavailable(_) | StoreError::Corrupt(_))
        ) {
            *slot = Some(connection);
        }
        done
    }
}

fn transact<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TenantRecord, Tenants};
    use foretell_types::TenantId;

    fn tenant(name: &str) -> TenantRecord {
        TenantRecord {
            id: TenantId::parse(name).unwrap(),
            created_at: 1,
        }
    }

    async fn pragma(store: &SqliteStore, name: &'static str) -> (i64, i64) {
        let value =
            |tx: &Transaction<'_>, name| Ok(tx.pragma_query_value(None, name, |row| row.get(0))?);
        (
            store.write(move |tx| value(tx, name)).await.unwrap(),
            store.read(move |tx| value(tx, name)).await.unwrap(),
        )
    }

    async fn most_pages(store: &SqliteStore) -> i64 {
        let value = |tx: &Transaction<'_>| {
            Ok(tx.pragma_query_value(None, "max_page_count", |row| row.get(0))?)
        };
        store.write(value).await.unwrap()
    }

    #[tokio::test]
    async fn every_connection_has_its_settings() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(&folder.path().join("x.db"), 2, crate::suite::audit_key()).unwrap();
        let cases = [
            ("synchronous", (2, 2)),
            ("foreign_keys", (1, 1)),
            ("trusted_schema", (0, 0)),
            ("busy_timeout", (5000, 5000)),
            ("query_only", (0, 1)),
            ("cell_size_check", (1, 1)),
            ("secure_delete", (1, 1)),
        ];
        for (name, expected) in cases {
            assert_eq!(pragma(&store, name).await, expected, "{name}");
        }
        let mode: String = store
            .read(|tx| Ok(tx.pragma_query_value(None, "journal_mode", |row| row.get(0))?))
            .await
            .unwrap();
        assert_eq!(mode, "wal");
    }

    #[tokio::test]
    async fn a_full_disk_is_said_and_nothing_is_half_written() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(&folder.path().join("x.db"), 1, crate::suite::audit_key()).unwrap();
        let default = most_pages(&store).await;
        // A limit of this one connection: it goes with it.
        store
            .write(|tx| {
                let pages: i64 = tx.pragma_query_value(None, "page_count", |row| row.get(0))?;
                tx.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
                Ok(())
            })
            .await
            .unwrap();
        let refused = store
            .write(|tx| {
                tx.execute("INSERT INTO tenant_names (name) VALUES ('before')", [])?;
                tx.execute(
                    "INSERT INTO tenant_names (name) VALUES (hex(zeroblob(100000)))",
                    [],
                )?;
                Ok(())
            })
            .await;
        match refused {
            Err(StoreError::Unavailable(message)) => {
                assert!(message.contains("disk is full"), "{message}")
            }
            other => panic!("expected Unavailable, found {other:?}"),
        }
        assert_eq!(
            most_pages(&store).await,
            default,
            "the faulty connection is not used again"
        );
        // The first insertion went with the second.
        store
            .create(&tenant("before"), &crate::suite::recorded())
            .await
            .unwrap();
        assert_eq!(store.list().await.unwrap(), [tenant("before")]);
    }

    #[tokio::test]
    async fn a_panic_in_a_write_undoes_it_and_the_next_one_works() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(
            SqliteStore::open(&folder.path().join("x.db"), 1, crate::suite::audit_key()).unwrap(),
        );
        let panicking = Arc::clone(&store);
        let panicked = tokio::spawn(async move {
            let work = |tx: &Transaction<'_>| -> Result<(), StoreError> {
                tx.execute("INSERT INTO tenant_names (name) VALUES ('half')", [])?;
                panic!("in the middle of a write");
            };
            panicking.write(work).await
        });
        assert!(panicked.await.unwrap_err().is_panic());
        store
            .create(&tenant("half"), &crate::suite::recorded())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(&folder.path().join("x.db"), 1, crate::suite::audit_key()).unwrap();
        let refused = store
            .read(|tx| {
                tx.execute("INSERT INTO tenant_names (name) VALUES ('x')", [])?;
                Ok(())
            })
            .await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn the_database_itself_refuses_what_the_ports_promise_never_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(&folder.path().join("x.db"), 1, crate::suite::audit_key()).unwrap();
        store
            .create(&tenant("a"), &crate::suite::recorded())
            .await
            .unwrap();
        store
            .create(&tenant("gone"), &crate::suite::recorded())
            .await
            .unwrap();
        store
            .delete(&tenant("gone").id, 2, &crate::suite::recorded())
            .await
            .unwrap();
        let cases = [
            (
                "a name without its entry",
                "INSERT INTO tenants VALUES ('b', 1)",
            ),
            (
                "a name twice",
                "INSERT INTO tenant_names VALUES ('gone', NULL)",
            ),
            (
                "a key of nobody",
                "INSERT INTO api_keys VALUES (1, 'k', 'gone', zeroblob(32), '', '', 1, NULL, NULL)",
            ),
            (
                "a model of nobody",
                "INSERT INTO models VALUES ('gone', 'm', NULL)",
            ),
            (
                "traffic to nowhere",
                "INSERT INTO models VALUES ('a', 'm', '1')",
            ),
        ];
        for (what, sql) in cases {
            let refused = store.write(move |tx| Ok(tx.execute(sql, [])?)).await;
            assert!(
                matches!(refused, Err(StoreError::Corrupt(_))),
                "{what}: {refused:?}"
            );
        }
    }
}
