//! Checkpoints of the audit log: what its rows came to at some size, signed, so that it can be shown elsewhere.

use async_trait::async_trait;

use super::UnixMs;
use super::audit::{Page, RowHash};
use crate::StoreError;

/// A checkpoint as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many rows it is over: those of the numbers 1 to this.
    pub size: u64,
    /// When it was made.
    pub at: UnixMs,
    /// The right edge of the tree, from where the next one goes on.
    pub edge: Vec<u8>,
    /// The signed note.
    pub note: String,
}

/// The store of checkpoints. They are added and never changed.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// The hashes of the rows of the audit log after a number, in their order and without gaps: at most `limit` of them,
    /// 1 to 10,000; fewer where the log ends, or a row is missing.
    ///
    /// # Errors
    /// `Corrupt` if already the first of them is missing, while there are later ones.
    async fn hashes(&self, after: u64, limit: u32) -> Result<Vec<RowHash>, StoreError>;

    /// Adds a checkpoint.
    ///
    /// # Errors
    /// `Conflict` if there is one of its size.
    async fn add(&self, checkpoint: &Checkpoint) -> Result<(), StoreError>;

    /// At most `limit` checkpoints, 1 to 1,000, ordered by their size, which is what the page's numbers mean.
    async fn page(&self, page: Page, limit: u32) -> Result<Vec<Checkpoint>, StoreError>;
}
