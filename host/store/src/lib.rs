//! Where Foretell keeps what must survive: ports (one trait per noun) and the backends behind them.
//!
//! The only crate that names a database. It refuses to know HTTP, the engine, and what a request is for. The hazard it
//! exists to contain is losing what was acknowledged: a write that returned `Ok` is there after `kill -9`.
//!
//! Tenant isolation is in the types: every call on a tenant's things takes that tenant's [`TenantId`], and there is no
//! call without one.
//!
//! [`TenantId`]: foretell_types::TenantId

pub mod checkpoint;
pub mod error;
pub mod files;
pub mod memory;
pub mod port;
pub mod resolve;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "suite")]
pub mod suite;

mod blocking;
mod chain;
mod merkle;
mod note;
mod refusal;
mod sweep;
mod walk;

pub use chain::AuditKey;
pub use checkpoint::TreeHead;
pub use error::StoreError;
pub use merkle::{Hash, Tree};
pub use note::{NoteError, Signer, Verifier};
pub use port::audit::{
    Act, Audit, AuditQuery, AuditRecord, Broken, Entry, EntryOf, Fault, Known, Mark, Page, Verdict,
    Whose,
};
pub use port::checkpoints::{Checkpoint, Checkpoints};
pub use port::housekeeping::Housekeeping;
pub use port::keys::{KeyEnd, KeyHash, KeyRecord, Keys, NewKey};
pub use port::ledger::{
    Account, Day, Ledger, MicroCredits, Spent, UsageCursor, UsageQuery, UsageRow, Used, day_of,
};
pub use port::limits::{LimitStore, Price, Quotas, TenantLimits};
pub use port::models::{ModelRecord, Models, NewVersion, Runtime, VersionRecord};
pub use port::probe::Probe;
pub use port::recordings::{
    Held, PageSize, Pseudonym, Recording, RecordingPolicy, RecordingRow, Recordings, Retention,
    SubjectKey, WrappedKey,
};
pub use port::tenants::{TenantRecord, Tenants};
pub use port::traffic::{Canary, Guard, HeaderRule, NewTraffic, Traffic, TrafficChange};
pub use port::users::{
    Door, Ending, NewSession, PasswordHash, SessionHash, SessionRecord, SessionStore, StoredUser,
    UserChange, UserRecord, Users,
};
pub use resolve::{Stores, open};
pub use sweep::{Swept, sweep};
