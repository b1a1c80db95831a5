//! Every backend passes the suite.

#![expect(
    clippy::unwrap_used,
    reason = "an error where none belongs fails the test"
)]

use foretell_store::{Stores, memory, open, suite};

fn sqlite() -> (tempfile::TempDir, Stores) {
    let folder = tempfile::tempdir().unwrap();
    let stores = open("sqlite:", folder.path(), 4, suite::audit_key()).unwrap();
    (folder, stores)
}

macro_rules! every_backend_passes {
    ($($port:ident)*) => {
        mod memory_passes {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $port() {
                super::suite::$port(&super::memory::stores()).await;
            })*
        }
        mod sqlite_passes {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $port() {
                let (_folder, stores) = super::sqlite();
                super::suite::$port(&stores).await;
            })*
        }
    };
}

every_backend_passes!(tenants keys users sessions models traffic audit checkpoints ledger limits recordings retention blobs probe);

#[tokio::test]
async fn what_was_stored_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let (one, added) = (suite::tenant(1), suite::version(1, 1, 1));
    let before = {
        let stores = open("sqlite:", folder.path(), 1, suite::audit_key()).unwrap();
        let record = foretell_store::TenantRecord {
            id: one.clone(),
            created_at: 1,
        };
        stores
            .tenants
            .create(&record, &suite::recorded())
            .await
            .unwrap();
        stores
            .models
            .add_version(&one, &added, &suite::recorded())
            .await
            .unwrap();
        stores.models.list(&one).await.unwrap()
    };
    let stores = open("sqlite:", folder.path(), 1, suite::audit_key()).unwrap();
    assert_eq!(stores.models.list(&one).await.unwrap(), before);
    assert_eq!(before[0].versions, [added]);
    stores.probe.ping().await.unwrap();
}

#[tokio::test]
async fn a_call_whose_caller_goes_away_is_done_all_the_same() {
    let (_folder, stores) = sqlite();
    let record = foretell_store::TenantRecord {
        id: suite::tenant(1),
        created_at: 1,
    };
    {
        let entry = suite::recorded();
        let mut call = std::pin::pin!(stores.tenants.create(&record, &entry));
        // Polled once: the work is begun, and then nobody waits for it.
        std::future::poll_fn(|context| {
            let _ = call.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
    }
    // A write queues behind it.
    stores.probe.ping().await.unwrap();
    assert_eq!(stores.tenants.get(&record.id).await.unwrap(), Some(record));
}
