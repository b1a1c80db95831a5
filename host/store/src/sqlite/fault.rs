//! SQLite's errors in the words of the ports.

use std::path::Path;

use rusqlite::{Error, ErrorCode};

use crate::StoreError;

/// What to do about damage.
const RESTORE: &str =
    "stop the server, keep a copy of the data folder, and restore the folder from a backup";

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        fault(&error)
    }
}

pub(super) fn fault(error: &Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Unavailable(
            "the disk is full; free some space for the data folder".to_owned(),
        ),
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed,
        ) => StoreError::Unavailable(
            "the database is locked by another program; stop that program".to_owned(),
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            StoreError::Unavailable(format!(
                "the database file cannot be opened for writing ({error}); check the owner and mode of the data \
                 folder, and that its disk is not mounted read-only"
            ))
        }
        Some(ErrorCode::SystemIoFailure) => StoreError::Unavailable(format!(
            "a fault of the disk ({error}); look at the system's log"
        )),
        Some(ErrorCode::OutOfMemory) => {
            StoreError::Unavailable("no memory left for the database".to_owned())
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(&error.to_string()),
        // The ports check before they write, so a rule of the schema that is broken is no caller's doing; neither is a
        // column that cannot be read.
        _ => StoreError::Corrupt(format!(
            "{error} (this should not happen: please report it)"
        )),
    }
}

/// Damage, and what to do about it.
pub(super) fn damaged(found: &str) -> StoreError {
    StoreError::Corrupt(format!("{found}; {RESTORE}"))
}

/// No connection to be had.
pub(super) fn pool(error: &r2d2::Error) -> StoreError {
    StoreError::Unavailable(format!("no connection to the database: {error}"))
}

/// The same error, naming the file: for the time of opening, when the reader does not know which.
pub(super) fn in_file(error: StoreError, path: &Path) -> StoreError {
    let name = |message: String| format!("{}: {message}", path.display());
    match error {
        StoreError::Unavailable(message) => StoreError::Unavailable(name(message)),
        StoreError::Corrupt(message) => StoreError::Corrupt(name(message)),
        StoreError::Unsupported(message) => StoreError::Unsupported(name(message)),
        other @ (StoreError::NotFound(_) | StoreError::Conflict(_)) => other,
    }
}
