//! Whether the store works now: for health checks and `doctor`.

use async_trait::async_trait;

use crate::StoreError;

/// Asks the store for a sign of life.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Writes a number, commits, and reads it back the way that requests do. It costs one write to the medium: let
    /// health checks share an answer for a second rather than ask each time.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`, whatever a request would meet now.
    async fn ping(&self) -> Result<(), StoreError>;
}
