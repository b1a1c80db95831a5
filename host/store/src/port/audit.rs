//! The audit log: what was done, by whom, in one chain.
//!
//! Rows are added and never changed. Each carries a keyed hash over itself and the row before, so whoever edits the
//! database without the key cannot hide it. Acts of people are recorded in the transaction that does them: there is no
//! act without its row, and no row without its act.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use foretell_types::{RequestId, TenantId};

use super::UnixMs;
use crate::{StoreError, TreeHead, Verifier};

/// What is done. Closed: every value has its name for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Act {
    /// A tenant was made.
    TenantCreate,
    /// A tenant was deleted with all that it had.
    TenantDelete,
    /// A key was made.
    KeyCreate,
    /// A key was revoked.
    KeyRevoke,
    /// A key was given an earlier end, because it has a successor.
    KeyExpire,
    /// A user was made.
    UserCreate,
    /// It was changed what a user does, or whether it may log in.
    UserSet,
    /// A user was given another password, or its own was hashed at another cost.
    UserPassword,
    /// A user was deleted.
    UserDelete,
    /// A user logged in.
    SessionBegin,
    /// A user logged out, or was logged out.
    SessionEnd,
    /// A version was accepted.
    VersionCreate,
    /// A version was deleted.
    VersionDelete,
    /// It was changed where a model's calls go.
    TrafficSet,
    /// A model was taken out of service.
    ModelUnload,
    /// A model was put back into service.
    ModelLoad,
    /// Cached answers were let go.
    CachePurge,
    /// Limits, quotas or prices were changed.
    LimitsSet,
    /// Credits were given, or taken back.
    CreditsGrant,
    /// A tenant has spent most of its budget of a month.
    BudgetWarn,
    /// It was changed whether predictions are recorded, or how long recordings are kept.
    RecordingSet,
    /// Recordings were deleted that were older than their tenant wants.
    RecordingSweep,
    /// What was recorded of a person was handed out.
    SubjectExport,
    /// What was recorded of a person was erased.
    SubjectErase,
    /// A prediction.
    Predict,
    /// Something was asked for and refused.
    Refuse,
    /// Records that were not kept, because there were too many at once.
    Lost,
}

impl Act {
    /// Every act.
    pub const ALL: [Self; 27] = [
        Self::TenantCreate,
        Self::TenantDelete,
        Self::KeyCreate,
        Self::KeyRevoke,
        Self::KeyExpire,
        Self::UserCreate,
        Self::UserSet,
        Self::UserPassword,
        Self::UserDelete,
        Self::SessionBegin,
        Self::SessionEnd,
        Self::VersionCreate,
        Self::VersionDelete,
        Self::TrafficSet,
        Self::ModelUnload,
        Self::ModelLoad,
        Self::CachePurge,
        Self::LimitsSet,
        Self::CreditsGrant,
        Self::BudgetWarn,
        Self::RecordingSet,
        Self::RecordingSweep,
        Self::SubjectExport,
        Self::SubjectErase,
        Self::Predict,
        Self::Refuse,
        Self::Lost,
    ];

    /// The name in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantCreate => "tenant.create",
            Self::TenantDelete => "tenant.delete",
            Self::KeyCreate => "key.create",
            Self::KeyRevoke => "key.revoke",
            Self::KeyExpire => "key.expire",
            Self::UserCreate => "user.create",
            Self::UserSet => "user.set",
            Self::UserPassword => "user.password",
            Self::UserDelete => "user.delete",
            Self::SessionBegin => "session.begin",
            Self::SessionEnd => "session.end",
            Self::VersionCreate => "version.create",
            Self::VersionDelete => "version.delete",
            Self::TrafficSet => "traffic.set",
            Self::ModelUnload => "model.unload",
            Self::ModelLoad => "model.load",
            Self::CachePurge => "cache.purge",
            Self::LimitsSet => "limits.set",
            Self::CreditsGrant => "credits.grant",
            Self::BudgetWarn => "budget.warn",
            Self::RecordingSet => "recording.set",
            Self::RecordingSweep => "recording.sweep",
            Self::SubjectExport => "subject.export",
            Self::SubjectErase => "subject.erase",
            Self::Predict => "predict",
            Self::Refuse => "refuse",
            Self::Lost => "lost",
        }
    }

    /// The act of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.as_str() == name)
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was done. The log's time never goes back: an earlier one becomes that of the row before.
    pub at: UnixMs,
    /// Whose things; none = the host's.
    pub tenant: Option<TenantId>,
    /// Who did it, such as `key_…`, or `server`; empty = nobody who is known.
    pub actor: Arc<str>,
    /// What was done.
    pub act: Act,
    /// What with, such as `lead-score/2` or a key's id; may be empty.
    pub object: String,
    /// How it ended: `ok`, or the code of the error.
    pub outcome: Arc<str>,
    /// The request that asked for it; none = none did.
    pub request_id: Option<RequestId>,
    /// A keyed hash of the address that it came from; none = from nowhere outside.
    pub origin: Option<Arc<str>>,
    /// What else is to be known, as one JSON object; never a secret, never an input.
    pub detail: String,
    /// What the call marks itself with, so that it is done once however often it is sent: a keyed hash of who asks and of
    /// the mark that it brought. Two rows never have the same.
    pub once: Option<Mark>,
}

/// What a call that is to be done once is found by.
pub type Mark = [u8; 32];

/// What is recorded of an act whose state before is known only where it is done.
pub type EntryOf<Before> = Arc<dyn Fn(&Before) -> Entry + Send + Sync>;

/// The keyed hash of a row.
pub type RowHash = [u8; 32];

/// A row of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its number: 1, 2, 3, without gaps.
    pub seq: u64,
    /// What it says.
    pub entry: Entry,
    /// Its link in the chain.
    pub hash: RowHash,
}

/// Whose rows are looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Whose {
    /// Everybody's.
    #[default]
    All,
    /// One tenant's.
    Tenant(TenantId),
}

/// Which rows are wanted. Every condition must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditQuery {
    /// Whose.
    pub whose: Whose,
    /// Of this act.
    pub act: Option<Act>,
    /// By this actor.
    pub actor: Option<String>,
    /// With this outcome.
    pub outcome: Option<String>,
    /// About this object.
    pub object: Option<String>,
    /// Of this request.
    pub request_id: Option<RequestId>,
    /// Not earlier.
    pub since: Option<UnixMs>,
    /// Earlier than this.
    pub until: Option<UnixMs>,
}

/// From where a page goes on, and in which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The newest first, from before this number; none = from the end.
    Before(Option<u64>),
    /// The oldest first, from after this number; 0 = from the beginning.
    After(u64),
}

/// The store of the audit log.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Adds rows, all or none, in this order; returns the number of the last one.
    ///
    /// # Errors
    /// `Unavailable` if they could not be written: then none is there. `Conflict` for a mark that is there already.
    async fn append(&self, entries: Vec<Entry>) -> Result<u64, StoreError>;

    /// The row of a call that marked itself, if it was done.
    async fn marked(&self, mark: &Mark) -> Result<Option<AuditRecord>, StoreError>;

    /// At most `limit` rows, 1 to 10,000.
    async fn page(
        &self,
        query: &AuditQuery,
        page: Page,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError>;

    /// The number of the last row, 0 for none.
    async fn last(&self) -> Result<u64, StoreError>;

    /// Reads the log from the beginning and finds the first row that is not what was written: it was changed, it is
    /// missing, it stands elsewhere, or it was put there by another hand. What was cut off at the end, and what was
    /// written anew by somebody who has the key, is only found by whoever knows what the log was.
    async fn verify(&self, known: Known) -> Result<Verdict, StoreError>;
}

/// What is known of the log beside its rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The number of a row that there was.
    pub last: Option<u64>,
    /// Who signs checkpoints: those that are stored are compared as well; none = they are not.
    pub signer: Option<Verifier>,
    /// What checkpoints from elsewhere say, in any order. Their signatures were looked at.
    pub heads: Vec<TreeHead>,
}

/// What a look at the whole log came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Rows that were read and are good.
    pub good: u64,
    /// The first that is not; none = all are.
    pub broken: Option<Broken>,
    /// At how many sizes a checkpoint was compared, and holds.
    pub checkpoints: u64,
}

/// The first row that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its number.
    pub seq: u64,
    /// What is wrong there.
    pub fault: Fault,
}

/// What may be wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There is no row of this number, and there are later ones.
    Missing,
    /// The row says something else than what was written, or was never written by this host.
    Altered,
    /// The log ends before this row, which was there once.
    CutOff,
    /// The rows are not those that a checkpoint was signed over: some row is another, from this one on.
    CheckpointDiffers {
        /// How many rows the checkpoint is over.
        size: u64,
    },
    /// The log ends before this row, and a checkpoint was signed over more.
    CheckpointCutOff {
        /// How many rows the checkpoint is over.
        size: u64,
    },
    /// A stored checkpoint is not what was signed: nothing vouches for the rows from this one on but the chain.
    CheckpointAltered {
        /// How many rows it says that it is over.
        size: u64,
    },
}

impl Fault {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Altered => "altered",
            Self::CutOff => "cut_off",
            Self::CheckpointDiffers { .. } => "checkpoint_differs",
            Self::CheckpointCutOff { .. } => "checkpoint_cut_off",
            Self::CheckpointAltered { .. } => "checkpoint_altered",
        }
    }

    /// How many rows the checkpoint is over that does not hold; none = it is none of checkpoints.
    pub const fn checkpoint(self) -> Option<u64> {
        match self {
            Self::Missing | Self::Altered | Self::CutOff => None,
            Self::CheckpointDiffers { size }
            | Self::CheckpointCutOff { size }
            | Self::CheckpointAltered { size } => Some(size),
        }
    }
}
