//! Large content: where uploads and compiled code lie.
//!
//! Content is addressed inside a tenant. Sharing equal content across tenants would save disk and reveal, by timing,
//! what others hold.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use thiserror::Error;

use crate::{Digest, TenantId};

/// What a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlobKind {
    /// The plugin as uploaded, inflated. Named by its SHA-256.
    Plugin,
    /// The weights as uploaded. Named by its SHA-256.
    Artifact,
    /// The component after `load`, as WebAssembly. Named by its version's digest.
    Snapshot,
    /// Machine code with its MAC, for one engine and CPU. Named by its version's digest.
    Code,
}

impl BlobKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Plugin, Self::Artifact, Self::Snapshot, Self::Code];

    /// The kind's name in paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Artifact => "artifact",
            Self::Snapshot => "snapshot",
            Self::Code => "code",
        }
    }
}

/// The full name of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobId {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is.
    pub kind: BlobKind,
    /// Which one.
    pub digest: Digest,
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.kind.as_str(), self.digest)
    }
}

/// Why a blob could not be stored or read.
#[derive(Debug, Error)]
pub enum BlobError {
    /// The disk is full.
    #[error("no space left for {id}")]
    Full {
        /// What was being written.
        id: BlobId,
    },
    /// Any other fault of the medium.
    #[error("blob {id}: {source}")]
    Io {
        /// What was being read or written.
        id: BlobId,
        /// The fault.
        source: std::io::Error,
    },
}

/// The store of large content.
///
/// A `put` that returned has reached the medium: it is there after a crash. Readers see whole blobs or none.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores `bytes` under `id`, replacing what is there.
    async fn put(&self, id: &BlobId, bytes: Vec<u8>) -> Result<(), BlobError>;

    /// Stores the content of a file under `id`, replacing what is there. The file may be moved away.
    async fn put_file(&self, id: &BlobId, file: &Path) -> Result<(), BlobError>;

    /// Reads a blob whole; `None` if there is none.
    async fn get(&self, id: &BlobId) -> Result<Option<Vec<u8>>, BlobError>;

    /// Removes a blob; nothing happens if there is none.
    async fn remove(&self, id: &BlobId) -> Result<(), BlobError>;

    /// Names every blob of a tenant, in no order. For sweeping what no version refers to.
    async fn list(&self, tenant: &TenantId) -> Result<Vec<BlobId>, BlobError>;
}
