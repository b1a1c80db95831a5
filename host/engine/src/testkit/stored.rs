//! A store of one version: all that an engine in a bench reads.

use std::path::Path;

use async_trait::async_trait;
use foretell_types::TenantId;
use foretell_types::blob::{BlobError, BlobId, BlobKind, Blobs};

/// What was sealed of a version, under whatever name it is asked for. What is put is forgotten.
#[derive(Debug, Default)]
pub struct Stored {
    /// Its snapshot.
    pub snapshot: Vec<u8>,
    /// Its code.
    pub code: Vec<u8>,
}

#[async_trait]
impl Blobs for Stored {
    async fn put(&self, _: &BlobId, _: Vec<u8>) -> Result<(), BlobError> {
        Ok(())
    }

    async fn put_file(&self, _: &BlobId, _: &Path) -> Result<(), BlobError> {
        Ok(())
    }

    async fn get(&self, id: &BlobId) -> Result<Option<Vec<u8>>, BlobError> {
        Ok(match id.kind {
            BlobKind::Snapshot => Some(self.snapshot.clone()),
            BlobKind::Code => Some(self.code.clone()),
            BlobKind::Plugin | BlobKind::Artifact => None,
        })
    }

    async fn remove(&self, _: &BlobId) -> Result<(), BlobError> {
        Ok(())
    }

    async fn list(&self, _: &TenantId) -> Result<Vec<BlobId>, BlobError> {
        Ok(Vec::new())
    }
}
