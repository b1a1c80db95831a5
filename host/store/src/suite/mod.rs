//! What every backend has to pass: one function per port, each to be given stores of its own that are empty.
//!
//! Every function panics at the first promise that is not kept. What only a crash or a damaged disk can show is not
//! here, because each backend breaks in its own way.

#![expect(
    clippy::unwrap_used,
    reason = "a suite is a test: an error where none belongs is its failure"
)]

mod audit;
mod blobs;
mod checkpoints;
mod fixtures;
mod keys;
mod ledger;
mod limits;
mod models;
mod probe;
mod recordings;
mod sessions;
mod tenants;
mod traffic;
mod users;

pub use audit::audit;
pub use blobs::blobs;
pub use checkpoints::checkpoints;
pub use fixtures::{audit_key, model, recorded, recorded_of, tenant, version, version_name};
pub use keys::keys;
pub use ledger::ledger;
pub use limits::limits;
pub use models::{change_to, models};
pub use probe::probe;
pub use recordings::{recordings, retention};
pub use sessions::sessions;
pub use tenants::tenants;
pub use traffic::{canary, traffic};
pub use users::users;

use crate::StoreError;

/// Whether a call was refused with one variant.
macro_rules! refused {
    ($result:expr, $variant:ident) => {{
        let result = $result;
        assert!(
            matches!(result, Err(crate::StoreError::$variant(_))),
            concat!("expected ", stringify!($variant), ", found {:?}"),
            result
        );
    }};
}
use refused;

/// Runs `calls` at the same time and gathers their answers.
async fn at_once<T: Send + 'static>(
    calls: impl IntoIterator<Item = impl Future<Output = Result<T, StoreError>> + Send + 'static>,
) -> Vec<Result<T, StoreError>> {
    let tasks: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}
