//! From a URL to a backend.

use std::path::Path;
use std::sync::Arc;

use foretell_types::blob::Blobs;

use crate::{
    Audit, AuditKey, Checkpoints, Housekeeping, Keys, Ledger, LimitStore, Models, Probe,
    Recordings, Retention, SessionStore, StoreError, Tenants, Users, memory,
};

/// Every port, of one backend.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is documented as its port")]
pub struct Stores {
    pub tenants: Arc<dyn Tenants>,
    pub keys: Arc<dyn Keys>,
    pub users: Arc<dyn Users>,
    pub sessions: Arc<dyn SessionStore>,
    pub models: Arc<dyn Models>,
    pub audit: Arc<dyn Audit>,
    pub checkpoints: Arc<dyn Checkpoints>,
    pub ledger: Arc<dyn Ledger>,
    pub limits: Arc<dyn LimitStore>,
    pub recordings: Arc<dyn Recordings>,
    pub retention: Arc<dyn Retention>,
    pub blobs: Arc<dyn Blobs>,
    pub housekeeping: Arc<dyn Housekeeping>,
    pub probe: Arc<dyn Probe>,
}

/// Opens the stores that `url` names: `sqlite:` is `DATA_DIR/foretell.db`, `sqlite:///abs/path` a file elsewhere,
/// `memory:` keeps nothing. Blobs lie under `DATA_DIR/blobs` (with `memory:`, in memory). `pool_size` is how many
/// reads may run at once, 1 and more. `audit_key` seals the audit log: always the same for the same data.
///
/// Missing folders and files are made, older data is brought to this program's schema, and the whole database is read
/// once to see that it is sound. That takes a while and waits for the disk, so call it before serving or off the async
/// threads. Afterwards no call of a port blocks the thread that it is awaited on.
///
/// # Errors
/// `Unsupported` for a URL that this program has no backend for, or data of a newer program; `Corrupt` for damaged
/// data; `Unavailable` if files cannot be made, read or written.
pub fn open(
    url: &str,
    data_dir: &Path,
    pool_size: u32,
    audit_key: AuditKey,
) -> Result<Stores, StoreError> {
    // Only the scheme is ever shown: the rest of a URL may hold a password.
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    match scheme {
        "memory" if rest.is_empty() => Ok(memory::stores_with(audit_key)),
        "memory" => Err(unsupported(
            "write `memory:` alone, it takes nothing after the colon",
        )),
        "sqlite" => sqlite(rest, data_dir, pool_size, audit_key),
        "postgres" | "postgresql" => Err(unsupported(
            "postgres:// comes in a later release; use `sqlite:` until then",
        )),
        _ => Err(StoreError::Unsupported(format!(
            "the database URL begins with `{}`, which is no known scheme; use `sqlite:` (a file in the data folder), \
             `sqlite:///absolute/path` or `memory:` (nothing is kept)",
            scheme.chars().take(20).collect::<String>().escape_debug()
        ))),
    }
}

#[cfg(feature = "sqlite")]
fn sqlite(
    rest: &str,
    data_dir: &Path,
    pool_size: u32,
    audit_key: AuditKey,
) -> Result<Stores, StoreError> {
    use crate::files::FileBlobs;
    use crate::sqlite::SqliteStore;

    let file = match rest.strip_prefix("//") {
        None if rest.is_empty() => data_dir.join("foretell.db"),
        Some(path) if path.len() > 1 && path.starts_with('/') && !path.contains(['?', '#']) => {
            path.into()
        }
        _ => {
            return Err(unsupported(
                "write `sqlite:` for a file in the data folder, or `sqlite:///absolute/path` without options",
            ));
        }
    };
    let blobs = Arc::new(FileBlobs::open(&data_dir.join("blobs"))?);
    let store = Arc::new(SqliteStore::open(&file, pool_size, audit_key)?);
    Ok(Stores {
        tenants: Arc::clone(&store) as _,
        keys: Arc::clone(&store) as _,
        users: Arc::clone(&store) as _,
        sessions: Arc::clone(&store) as _,
        models: Arc::clone(&store) as _,
        audit: Arc::clone(&store) as _,
        checkpoints: Arc::clone(&store) as _,
        ledger: Arc::clone(&store) as _,
        limits: Arc::clone(&store) as _,
        recordings: Arc::clone(&store) as _,
        retention: Arc::clone(&store) as _,
        probe: store,
        blobs: Arc::clone(&blobs) as _,
        housekeeping: blobs,
    })
}

#[cfg(not(feature = "sqlite"))]
fn sqlite(
    _rest: &str,
    _data_dir: &Path,
    _pool_size: u32,
    _audit_key: AuditKey,
) -> Result<Stores, StoreError> {
    Err(unsupported(
        "this program was built without SQLite; build it with the feature `sqlite`, or use `memory:`",
    ))
}

fn unsupported(message: &str) -> StoreError {
    StoreError::Unsupported(message.to_owned())
}
