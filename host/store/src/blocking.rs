//! Work that waits for a disk, off the async threads.

use thiserror::Error;
use tokio::task::spawn_blocking;

use crate::StoreError;

/// The runtime is shutting down: the work was not begun.
#[derive(Debug, Error)]
#[error("the server is stopping")]
pub(crate) struct Stopping;

impl From<Stopping> for StoreError {
    fn from(stopping: Stopping) -> Self {
        Self::Unavailable(stopping.to_string())
    }
}

/// Runs `work` on a thread that may wait. Once begun it runs to its end, also if the caller goes away. A panic in it
/// is passed on.
pub(crate) async fn unblock<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stopping> {
    spawn_blocking(work)
        .await
        .map_err(|ended| match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Stopping,
        })
}
