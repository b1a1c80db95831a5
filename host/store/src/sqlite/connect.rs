//! Connections and their settings.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::fault;
use crate::StoreError;
use crate::files::sync_folder;

/// How long a statement waits for a lock. Only a checkpoint or another program can hold one.
const BUSY: Duration = Duration::from_secs(5);

/// Statements that a connection keeps prepared: more than there are.
const PREPARED: usize = 64;

/// Creates the file, readable by its owner alone. SQLite gives its log the same mode.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    let opened = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    let synced = opened.and_then(|_| path.parent().map_or(Ok(()), sync_folder));
    synced.map_err(|error| {
        StoreError::Unavailable(format!(
            "{} cannot be opened for writing: {error}",
            path.display()
        ))
    })
}

/// The connection that writes.
pub(super) fn writer(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open_with_flags(path, flags())?;
    prepare(&mut connection)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(
            "its file system has no shared memory, which the write-ahead log needs; put the data folder on a local disk"
                .to_owned(),
        ));
    }
    // Every commit is on the medium before it is acknowledged.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// The connections that read, and cannot write.
pub(super) fn readers(
    path: &Path,
    pool_size: u32,
) -> Result<r2d2::Pool<SqliteConnectionManager>, StoreError> {
    let manager = SqliteConnectionManager::file(path)
        .with_flags(flags())
        .with_init(|connection| {
            prepare(connection)?;
            connection.pragma_update(None, "query_only", true)
        });
    r2d2::Pool::builder()
        .max_size(pool_size)
        .min_idle(Some(1))
        .connection_timeout(BUSY)
        // A file does not go away as a server does: no test, no retirement.
        .test_on_check_out(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .build(manager)
        .map_err(|error| fault::pool(&error))
}

/// Not `CREATE`: a file that has vanished is a fault, not a fresh start.
const fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    connection.pragma_update(None, "foreign_keys", true)?;
    // A damaged or planted schema runs no functions, and no statement edits the schema behind SQLite's back.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // What is deleted is overwritten: an erased person's key must not lie on in a free page.
    connection.pragma_update(None, "secure_delete", true)?;
    // A fault of a mapped file is a signal that ends the process; a fault of a read is an error.
    connection
        .pragma_update_and_check(None, "mmap_size", 0, |_| Ok(()))
        .or_else(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => Ok(()),
            error => Err(error),
        })
}
