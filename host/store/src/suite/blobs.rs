//! The promises of [`Blobs`](foretell_types::blob::Blobs) and [`Housekeeping`](crate::Housekeeping).

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use foretell_types::Digest;
use foretell_types::blob::{BlobError, BlobId, BlobKind};

use super::fixtures::{create_tenants, recorded, tenant, version};
use crate::{Stores, Swept, sweep};

/// Checks blobs and their housekeeping.
pub async fn blobs(stores: &Stores) {
    a_blob_is_what_was_put(stores).await;
    a_file_becomes_a_blob(stores).await;
    a_removed_blob_is_gone(stores).await;
    equal_names_in_two_tenants_never_meet(stores).await;
    readers_see_whole_blobs_while_they_are_replaced(stores).await;
    a_tenants_folder_is_removed_whole(stores).await;
    a_sweep_takes_what_nothing_refers_to(stores).await;
    a_sweep_of_the_stores_keeps_the_blobs_of_their_versions(stores).await;
}

fn blob(owner: u8, kind: BlobKind, n: u8) -> BlobId {
    BlobId {
        tenant: tenant(owner),
        kind,
        digest: Digest::from_bytes([n; 32]),
    }
}

async fn listed(stores: &Stores, owner: u8) -> HashSet<BlobId> {
    let list = stores.blobs.list(&tenant(owner)).await.unwrap();
    let set: HashSet<_> = list.iter().cloned().collect();
    assert_eq!(set.len(), list.len(), "each once");
    set
}

async fn a_blob_is_what_was_put(stores: &Stores) {
    let blobs = &stores.blobs;
    assert_eq!(listed(stores, 1).await, HashSet::new());
    let mut all = HashSet::new();
    for (n, kind) in (1..).zip(BlobKind::ALL) {
        // The same digest in every kind, and contents of every length around a page.
        let id = blob(1, kind, 1);
        assert_eq!(blobs.get(&id).await.unwrap(), None);
        for content in [
            vec![],
            vec![n],
            vec![n; 4095],
            (0..=u8::MAX).cycle().take(100_000).collect(),
        ] {
            blobs.put(&id, content.clone()).await.unwrap();
            assert_eq!(
                blobs.get(&id).await.unwrap(),
                Some(content),
                "replacing what was there"
            );
        }
        all.insert(id);
    }
    assert_eq!(listed(stores, 1).await, all);
}

async fn a_file_becomes_a_blob(stores: &Stores) {
    let id = blob(1, BlobKind::Plugin, 2);
    let content = b"from a file".repeat(10_000);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&content).unwrap();
    stores.blobs.put(&id, b"before".to_vec()).await.unwrap();
    stores.blobs.put_file(&id, file.path()).await.unwrap();
    assert_eq!(
        stores.blobs.get(&id).await.unwrap().as_ref(),
        Some(&content)
    );

    let nothing = tempfile::tempdir().unwrap().path().join("gone");
    let refused = stores.blobs.put_file(&id, &nothing).await;
    assert!(
        matches!(&refused, Err(BlobError::Io { id: named, .. }) if *named == id),
        "{refused:?}"
    );
    assert_eq!(
        stores.blobs.get(&id).await.unwrap(),
        Some(content),
        "a refusal changes nothing"
    );
}

async fn a_removed_blob_is_gone(stores: &Stores) {
    let id = blob(1, BlobKind::Plugin, 2);
    stores.blobs.remove(&id).await.unwrap();
    assert_eq!(stores.blobs.get(&id).await.unwrap(), None);
    assert!(!listed(stores, 1).await.contains(&id));
    stores.blobs.remove(&id).await.unwrap();
    stores
        .blobs
        .remove(&blob(9, BlobKind::Code, 2))
        .await
        .unwrap();
}

async fn equal_names_in_two_tenants_never_meet(stores: &Stores) {
    let (mine, theirs) = (blob(1, BlobKind::Code, 3), blob(2, BlobKind::Code, 3));
    stores.blobs.put(&mine, b"mine".to_vec()).await.unwrap();
    assert_eq!(stores.blobs.get(&theirs).await.unwrap(), None);
    assert_eq!(listed(stores, 2).await, HashSet::new());
    stores.blobs.put(&theirs, b"theirs".to_vec()).await.unwrap();
    stores.blobs.remove(&mine).await.unwrap();
    assert_eq!(
        stores.blobs.get(&theirs).await.unwrap(),
        Some(b"theirs".to_vec())
    );
}

async fn readers_see_whole_blobs_while_they_are_replaced(stores: &Stores) {
    const SIZE: usize = 300_000;
    let id = blob(1, BlobKind::Snapshot, 4);
    stores.blobs.put(&id, vec![0; SIZE]).await.unwrap();
    let (blobs, written) = (Arc::clone(&stores.blobs), id.clone());
    let writer = tokio::spawn(async move {
        for n in 1..=50 {
            blobs.put(&written, vec![n; SIZE]).await.unwrap();
        }
    });
    let mut latest = 0;
    while !writer.is_finished() {
        let found = stores.blobs.get(&id).await.unwrap().unwrap();
        assert_eq!(found.len(), SIZE, "whole");
        assert!(found.iter().all(|byte| *byte == found[0]), "one content");
        assert!(found[0] >= latest, "never back to an older one");
        latest = found[0];
    }
    writer.await.unwrap();
    assert_eq!(stores.blobs.get(&id).await.unwrap(), Some(vec![50; SIZE]));
}

async fn a_tenants_folder_is_removed_whole(stores: &Stores) {
    let kept = listed(stores, 1).await;
    assert_eq!(
        stores.housekeeping.tenants().await.unwrap(),
        [tenant(1), tenant(2)]
    );
    stores.housekeeping.remove_tenant(&tenant(2)).await.unwrap();
    assert_eq!(listed(stores, 2).await, HashSet::new());
    assert_eq!(stores.housekeeping.tenants().await.unwrap(), [tenant(1)]);
    assert_eq!(listed(stores, 1).await, kept);
    stores.housekeeping.remove_tenant(&tenant(2)).await.unwrap();
}

async fn a_sweep_takes_what_nothing_refers_to(stores: &Stores) {
    let held = listed(stores, 1).await;
    let orphans = [
        blob(1, BlobKind::Plugin, 77),
        blob(3, BlobKind::Plugin, 77),
        blob(3, BlobKind::Code, 77),
    ];
    for orphan in &orphans {
        stores.blobs.put(orphan, b"orphan".to_vec()).await.unwrap();
    }
    let swept = sweep(&*stores.blobs, &*stores.housekeeping, &held)
        .await
        .unwrap();
    assert_eq!(
        swept,
        Swept {
            kept: held.len(),
            removed: 3
        }
    );
    assert_eq!(listed(stores, 1).await, held);
    assert_eq!(
        stores.housekeeping.tenants().await.unwrap(),
        [tenant(1)],
        "an empty folder goes as well"
    );
}

async fn a_sweep_of_the_stores_keeps_the_blobs_of_their_versions(stores: &Stores) {
    create_tenants(stores, 2).await;
    let mut referenced = HashSet::new();
    for (owner, content) in [(1, 20), (1, 21), (2, 21)] {
        let version = version(1, content, content);
        let mut ids = vec![
            (BlobKind::Plugin, version.plugin.0),
            (BlobKind::Snapshot, version.digest.0),
            (BlobKind::Code, version.digest.0),
        ];
        ids.extend(
            version
                .artifact
                .map(|artifact| (BlobKind::Artifact, artifact)),
        );
        for (kind, digest) in ids {
            let id = BlobId {
                tenant: tenant(owner),
                kind,
                digest,
            };
            stores.blobs.put(&id, vec![content]).await.unwrap();
            referenced.insert(id);
        }
        stores
            .models
            .add_version(&tenant(owner), &version, &recorded())
            .await
            .unwrap();
    }
    let foreign = blob(9, BlobKind::Plugin, 1);
    stores.blobs.put(&foreign, vec![1]).await.unwrap();
    let refused = stores.sweep_blobs().await.unwrap_err().to_string();
    assert!(refused.contains("never had"), "{refused}");
    assert!(
        stores.blobs.get(&foreign).await.unwrap().is_some(),
        "what is another database's stays"
    );
    stores.blobs.remove(&foreign).await.unwrap();
    stores.housekeeping.remove_tenant(&tenant(9)).await.unwrap();
    // Of the right digest, but another tenant's or another kind's.
    let (one, two) = (version(1, 20, 20), version(1, 21, 21));
    let strays = [
        BlobId {
            tenant: tenant(2),
            kind: BlobKind::Plugin,
            digest: one.plugin.0,
        },
        BlobId {
            tenant: tenant(1),
            kind: BlobKind::Artifact,
            digest: two.plugin.0,
        },
    ];
    for stray in &strays {
        stores.blobs.put(stray, vec![]).await.unwrap();
    }
    let swept = stores.sweep_blobs().await.unwrap();
    assert_eq!(swept.kept, referenced.len());
    let mut left = listed(stores, 1).await;
    left.extend(listed(stores, 2).await);
    assert_eq!(left, referenced);
    let again = stores.sweep_blobs().await.unwrap();
    assert_eq!(
        again,
        Swept {
            kept: referenced.len(),
            removed: 0
        }
    );
}
