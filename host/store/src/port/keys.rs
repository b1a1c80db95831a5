//! API keys: what a caller shows. The store sees keyed hashes, never a key.

use std::collections::BTreeSet;

use async_trait::async_trait;
use foretell_types::{KeyId, ModelName, Scopes, TenantId};

use super::UnixMs;
use super::audit::{Entry, EntryOf};
use crate::StoreError;

/// HMAC-SHA256 of a key under the server's pepper.
pub type KeyHash = [u8; 32];

/// A key as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its public name.
    pub id: KeyId,
    /// Whose it is; none = an operator's.
    pub tenant: Option<TenantId>,
    /// A name for people.
    pub label: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Models that it is for; none = all of its tenant's, those to come among them.
    pub models: Option<BTreeSet<ModelName>>,
    /// When it was created.
    pub created_at: UnixMs,
    /// From when on it opens nothing; none = never.
    pub expires_at: Option<UnixMs>,
    /// When it was revoked.
    pub revoked_at: Option<UnixMs>,
    /// When it was last shown, to the minute; none = never.
    pub last_used_at: Option<UnixMs>,
}

/// A key to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Everything that is shown later.
    pub record: KeyRecord,
    /// What it is found by.
    pub hash: KeyHash,
}

/// The store of keys.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Adds a key, and records it.
    ///
    /// # Errors
    /// `Conflict` if id or hash is taken, `NotFound` if its tenant does not exist.
    async fn create(&self, key: &NewKey, entry: &Entry) -> Result<(), StoreError>;

    /// Finds a key by its hash, also a revoked or expired one; `None` if there is none. Keys of deleted tenants are
    /// gone.
    async fn find(&self, hash: &KeyHash) -> Result<Option<KeyRecord>, StoreError>;

    /// The keys of one tenant, or of the operators (`None`), in the order in which they were added. A tenant that does not
    /// exist has none.
    async fn list(&self, tenant: Option<&TenantId>) -> Result<Vec<KeyRecord>, StoreError>;

    /// Sets when a key stops to open anything: `revoked_at` now, or an earlier `expires_at` for a rotation. A key that
    /// is revoked stays as it was. It is recorded with what the key was before.
    ///
    /// # Errors
    /// `NotFound` if this tenant (or the operators) has no such key.
    async fn end(
        &self,
        tenant: Option<&TenantId>,
        id: &KeyId,
        end: KeyEnd,
        entry: EntryOf<KeyRecord>,
    ) -> Result<KeyRecord, StoreError>;

    /// Keeps when keys were last shown, where that is later than what is known. Keys that are not there are passed over. Not
    /// recorded: it changes nothing that a key can do.
    async fn used(&self, uses: Vec<(KeyId, UnixMs)>) -> Result<(), StoreError>;
}

/// How a key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEnd {
    /// At once.
    Revoked(UnixMs),
    /// At the given time, unless it expires before.
    Expires(UnixMs),
}

impl KeyEnd {
    /// Writes the end into a record, by the rules of [`Keys::end`].
    pub fn apply(self, record: &mut KeyRecord) {
        if record.revoked_at.is_some() {
            return;
        }
        match self {
            Self::Revoked(at) => record.revoked_at = Some(at),
            Self::Expires(at) => {
                record.expires_at = Some(record.expires_at.map_or(at, |before| before.min(at)));
            }
        }
    }
}
