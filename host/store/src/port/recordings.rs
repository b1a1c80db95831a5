//! Recordings of predictions: what was asked and what was answered, for tenants that want it kept.
//!
//! What lies here is sealed by whoever hands it over, and read by nobody without the host's own secret: each recording
//! under a key of the person whom it is about, and that key under the host's. Whoever deletes the key has deleted what
//! it seals. The names of persons are not here at all: a keyed hash stands for each.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use foretell_types::{Digest, ModelName, ModelVersion, RequestId, TenantId, VersionDigest};
use serde::{Deserialize, Serialize};

use super::UnixMs;
use super::audit::EntryOf;
use crate::StoreError;

/// Whether a tenant's predictions are recorded, and for how long recordings are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordingPolicy {
    /// Whether predictions are recorded from now on; what was recorded before stays for as long as it may. Default: no.
    pub enabled: bool,
    /// Days that a recording is kept, 1 to 3,650. Default 30.
    pub days: u32,
}

impl Default for RecordingPolicy {
    fn default() -> Self {
        Self {
            enabled: false,
            days: 30,
        }
    }
}

/// What stands for the person whom a prediction is about: a keyed hash of how its tenant names it, another one for each
/// tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym(pub Digest);

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key as it is kept: sealed itself.
pub type WrappedKey = Arc<[u8]>;

/// The key that a person's recordings are sealed under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectKey {
    /// Whose.
    pub tenant: TenantId,
    /// The person.
    pub subject: Pseudonym,
    /// The key.
    pub wrapped: WrappedKey,
    /// When it was made.
    pub created_at: UnixMs,
}

/// A prediction that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// Whose.
    pub tenant: TenantId,
    /// Whom it is about.
    pub subject: Pseudonym,
    /// The request that asked for it. Callers may choose it, so it may stand more than once.
    pub request_id: RequestId,
    /// When it was answered.
    pub at: UnixMs,
    /// The model that answered.
    pub model: ModelName,
    /// The version that answered.
    pub version: ModelVersion,
    /// What that version is.
    pub digest: VersionDigest,
    /// The key that it is sealed under.
    pub key: WrappedKey,
    /// Inputs and outputs.
    pub sealed: Vec<u8>,
}

/// A recording, and its place among all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingRow {
    /// Later ones have larger numbers.
    pub seq: u64,
    /// The recording.
    pub recording: Recording,
}

/// How much a page of recordings holds, at most; it holds one at least, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize {
    /// Recordings.
    pub rows: u32,
    /// Sealed bytes after which no other recording begins.
    pub bytes: u64,
}

/// The store of recordings.
#[async_trait]
pub trait Recordings: Send + Sync {
    /// The keys of persons, one for each that is asked for, in the same order: the key that is there, or the one that is
    /// brought, which is there from then on. None where the tenant does not exist. One transaction.
    async fn keys(
        &self,
        wanted: Arc<Vec<SubjectKey>>,
    ) -> Result<Vec<Option<WrappedKey>>, StoreError>;

    /// Adds recordings in their order, in one transaction; returns how many. Those whose key is not there any more are not
    /// added: whom they are about was erased meanwhile.
    async fn insert(&self, recordings: Arc<Vec<Recording>>) -> Result<u64, StoreError>;

    /// The newest recording of a request.
    async fn find(
        &self,
        tenant: &TenantId,
        request_id: &RequestId,
    ) -> Result<Option<RecordingRow>, StoreError>;

    /// The recordings of a person after a number, the oldest first.
    async fn page(
        &self,
        tenant: &TenantId,
        subject: &Pseudonym,
        after: u64,
        most: PageSize,
    ) -> Result<Vec<RecordingRow>, StoreError>;

    /// Deletes a person's key with all recordings, and records it, in one transaction; returns how many recordings there
    /// were, as `entry` is told. That there was nothing is recorded as well.
    ///
    /// # Errors
    /// `NotFound` if the tenant does not exist.
    async fn erase(
        &self,
        tenant: &TenantId,
        subject: &Pseudonym,
        entry: EntryOf<u64>,
    ) -> Result<u64, StoreError>;
}

/// What there is of a tenant's recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// How many.
    pub recordings: u64,
    /// When the oldest was made; none = there is none.
    pub oldest: Option<UnixMs>,
    /// How many are older than the moment that was asked for.
    pub older: u64,
}

/// The store of how long recordings are kept.
#[async_trait]
pub trait Retention: Send + Sync {
    /// A tenant's policy; the default where it never set one, or does not exist.
    async fn policy(&self, tenant: &TenantId) -> Result<RecordingPolicy, StoreError>;

    /// Sets a tenant's policy, and records it, in one transaction.
    ///
    /// # Errors
    /// `NotFound` if it does not exist.
    async fn set_policy(
        &self,
        tenant: &TenantId,
        policy: RecordingPolicy,
        entry: EntryOf<RecordingPolicy>,
    ) -> Result<(), StoreError>;

    /// Every policy that was set, sorted by tenant.
    async fn policies(&self) -> Result<Vec<(TenantId, RecordingPolicy)>, StoreError>;

    /// What there is of a tenant's recordings, and how much of it was made before a moment: what a sweep would take.
    async fn held(&self, tenant: &TenantId, before: UnixMs) -> Result<Held, StoreError>;

    /// Deletes what was made before a moment, the oldest first, at most `limit` recordings at once, in one transaction;
    /// returns how many. Keys stay: whoever comes back has the same.
    async fn sweep(&self, tenant: &TenantId, before: UnixMs, limit: u32)
    -> Result<u64, StoreError>;
}
