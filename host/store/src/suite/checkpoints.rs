//! The promises of [`Checkpoints`](crate::Checkpoints), and of a look at the log that knows some.

use std::sync::Arc;

use super::fixtures::{NOW, recorded};
use super::{at_once, refused};
use crate::{
    AuditQuery, Broken, Checkpoint, Entry, Fault, Known, Page, Signer, Stores, Tree, TreeHead,
    Verdict,
};

const ROWS: u64 = 25;

/// Checks [`Checkpoints`](crate::Checkpoints).
pub async fn checkpoints(stores: &Stores) {
    an_empty_log_has_none(stores).await;
    let heads = hashes_are_those_of_the_rows_in_pages(stores).await;
    checkpoints_come_back_as_they_were_in_both_directions(stores, &heads).await;
    of_one_size_there_is_one(stores).await;
    a_look_at_the_log_compares_those_that_are_stored(stores).await;
    a_look_at_the_log_compares_those_that_are_shown(stores, &heads).await;
    one_that_another_hand_has_stored_is_found(stores).await;
}

fn signer() -> Signer {
    Signer::new(&[1; 32], |_| "log.example/1".to_owned())
}

async fn page(stores: &Stores, page: Page, limit: u32) -> Vec<u64> {
    let found = stores.checkpoints.page(page, limit).await.unwrap();
    found.iter().map(|checkpoint| checkpoint.size).collect()
}

async fn an_empty_log_has_none(stores: &Stores) {
    assert!(stores.checkpoints.hashes(0, 10).await.unwrap().is_empty());
    for direction in [Page::After(0), Page::Before(None)] {
        assert!(page(stores, direction, 10).await.is_empty());
    }
}

/// What the tree was at each size from 0 on.
async fn hashes_are_those_of_the_rows_in_pages(stores: &Stores) -> Vec<(TreeHead, Vec<u8>)> {
    let entries = (0..ROWS).map(|n| Entry {
        object: n.to_string(),
        ..recorded()
    });
    stores.audit.append(entries.collect()).await.unwrap();
    let query = AuditQuery::default();
    let rows = stores
        .audit
        .page(&query, Page::After(0), 100)
        .await
        .unwrap();
    let expected: Vec<_> = rows.iter().map(|row| row.hash).collect();
    let port = &stores.checkpoints;
    let mut found = Vec::new();
    loop {
        let page = port.hashes(found.len() as u64, 10).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 10);
        found.extend(page);
    }
    assert_eq!(found, expected);
    assert_eq!(port.hashes(7, 2).await.unwrap(), expected[7..9]);
    for beyond in [ROWS, ROWS + 1, u64::MAX - 1] {
        assert!(port.hashes(beyond, 10).await.unwrap().is_empty());
    }
    let mut tree = Tree::default();
    let mut heads = vec![(TreeHead::of(&tree), tree.edge())];
    for hash in &found {
        tree.push(hash);
        heads.push((TreeHead::of(&tree), tree.edge()));
    }
    heads
}

async fn checkpoints_come_back_as_they_were_in_both_directions(
    stores: &Stores,
    heads: &[(TreeHead, Vec<u8>)],
) {
    let added: Vec<_> = [1, 7, 8, 20]
        .map(|size: u64| {
            let (head, edge) = &heads[size as usize];
            Checkpoint {
                size,
                at: NOW + size as i64,
                edge: edge.clone(),
                note: head.sign(&signer()),
            }
        })
        .into();
    for checkpoint in &added {
        stores.checkpoints.add(checkpoint).await.unwrap();
    }
    let all = stores.checkpoints.page(Page::After(0), 100).await.unwrap();
    assert_eq!(all, added);
    for (at, limit, expected) in [
        (Page::After(0), 2, &[1, 7][..]),
        (Page::After(7), 9, &[8, 20]),
        (Page::After(20), 9, &[]),
        (Page::Before(None), 3, &[20, 8, 7]),
        (Page::Before(Some(8)), 9, &[7, 1]),
        (Page::Before(Some(1)), 9, &[]),
    ] {
        assert_eq!(page(stores, at, limit).await, expected, "{at:?}");
    }
}

async fn of_one_size_there_is_one(stores: &Stores) {
    let before = stores.checkpoints.page(Page::After(0), 100).await.unwrap();
    let other = Checkpoint {
        note: "other".into(),
        ..before[1].clone()
    };
    let calls = (0..4).map(|_| {
        let (port, other) = (Arc::clone(&stores.checkpoints), other.clone());
        async move { port.add(&other).await }
    });
    for answer in at_once(calls).await {
        refused!(answer, Conflict);
    }
    let after = stores.checkpoints.page(Page::After(0), 100).await.unwrap();
    assert_eq!(after, before);
}

async fn look(stores: &Stores, heads: Vec<TreeHead>) -> Verdict {
    let known = Known {
        last: None,
        signer: Some(signer().verifier().clone()),
        heads,
    };
    stores.audit.verify(known).await.unwrap()
}

async fn a_look_at_the_log_compares_those_that_are_stored(stores: &Stores) {
    let verdict = look(stores, vec![]).await;
    assert_eq!((verdict.good, verdict.broken), (ROWS, None));
    assert_eq!(verdict.checkpoints, 4);
    // Who knows no key does not look at them.
    let verdict = stores.audit.verify(Known::default()).await.unwrap();
    assert_eq!((verdict.good, verdict.checkpoints), (ROWS, 0));
}

async fn a_look_at_the_log_compares_those_that_are_shown(
    stores: &Stores,
    heads: &[(TreeHead, Vec<u8>)],
) {
    let shown = [24, 7, 25].map(|size: usize| heads[size].0);
    let verdict = look(stores, shown.to_vec()).await;
    assert_eq!((verdict.broken, verdict.checkpoints), (None, 6));
    let (size, other) = (9, [9; 32]);
    let forked = TreeHead { size, root: other };
    let verdict = look(stores, vec![shown[0], forked, shown[1]]).await;
    let (seq, fault) = (8, Fault::CheckpointDiffers { size });
    assert_eq!(verdict.broken, Some(Broken { seq, fault }));
    assert_eq!(verdict.good, 7);
    let (size, seq) = (ROWS + 3, ROWS + 1);
    let longer = TreeHead { size, root: other };
    let verdict = look(stores, vec![longer, shown[0]]).await;
    let fault = Fault::CheckpointCutOff { size };
    assert_eq!(verdict.broken, Some(Broken { seq, fault }));
}

async fn one_that_another_hand_has_stored_is_found(stores: &Stores) {
    let before = stores.checkpoints.page(Page::After(0), 100).await.unwrap();
    let forged = Checkpoint {
        size: 15,
        ..before[1].clone()
    };
    stores.checkpoints.add(&forged).await.unwrap();
    let verdict = look(stores, vec![]).await;
    let (seq, fault) = (9, Fault::CheckpointAltered { size: 15 });
    assert_eq!(verdict.broken, Some(Broken { seq, fault }));
}
