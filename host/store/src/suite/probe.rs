//! The promises of [`Probe`](crate::Probe).

use std::sync::Arc;

use super::at_once;
use crate::Stores;

/// Checks [`Probe`](crate::Probe).
pub async fn probe(stores: &Stores) {
    stores.probe.ping().await.unwrap();
    let calls = (0..16).map(|_| {
        let probe = Arc::clone(&stores.probe);
        async move { probe.ping().await }
    });
    assert!(
        at_once(calls).await.iter().all(Result::is_ok),
        "many at once"
    );
}
