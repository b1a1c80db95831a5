//! The promises of [`Recordings`](crate::Recordings) and [`Retention`](crate::Retention).

use std::sync::Arc;

use foretell_types::{Digest, RequestId, VersionDigest};

use super::fixtures::{
    NOW, create_tenants, model, newest, recorded, recorded_of, telling, tenant, version_name,
};
use super::{at_once, refused};
use crate::{
    Held, PageSize, Pseudonym, Recording, RecordingPolicy, RecordingRow, Stores, SubjectKey,
    WrappedKey,
};

const ALL: PageSize = PageSize {
    rows: 1_000,
    bytes: u64::MAX,
};

/// Checks [`Recordings`](crate::Recordings).
pub async fn recordings(stores: &Stores) {
    create_tenants(stores, 3).await;
    a_person_has_one_key(stores).await;
    a_recording_comes_back_as_it_was_made(stores).await;
    the_newest_recording_of_a_request_is_its_tenants_alone(stores).await;
    a_page_ends_at_its_rows_and_its_bytes(stores).await;
    who_is_erased_is_gone_with_the_key(stores).await;
    recordings_go_with_their_tenant(stores).await;
    of_many_keys_at_once_one_is_everybodys(stores).await;
}

/// Checks [`Retention`](crate::Retention).
pub async fn retention(stores: &Stores) {
    create_tenants(stores, 2).await;
    a_policy_is_what_was_set_last(stores).await;
    a_sweep_takes_what_was_counted_and_the_oldest_first(stores).await;
    a_policy_goes_with_its_tenant(stores).await;
}

fn subject(n: u8) -> Pseudonym {
    Pseudonym(Digest::from_bytes([n; 32]))
}

fn request(n: u8) -> RequestId {
    RequestId::parse(&format!("request-{n}")).unwrap()
}

fn wrapped(n: u8) -> WrappedKey {
    vec![n, 0, 0xFF, n].into()
}

fn subject_key(tenant_n: u8, subject_n: u8, key: u8) -> SubjectKey {
    SubjectKey {
        tenant: tenant(tenant_n),
        subject: subject(subject_n),
        wrapped: wrapped(key),
        created_at: NOW,
    }
}

/// Of a tenant and person, by request `n`.
fn recording(tenant_n: u8, subject_n: u8, n: u8, key: WrappedKey) -> Recording {
    Recording {
        tenant: tenant(tenant_n),
        subject: subject(subject_n),
        request_id: request(n),
        at: NOW + i64::from(n),
        model: model(1),
        version: version_name(2),
        digest: VersionDigest(Digest::from_bytes([n; 32])),
        key,
        sealed: vec![n; 10],
    }
}

/// The key of a person, which is made where there is none.
async fn key_of(stores: &Stores, tenant_n: u8, subject_n: u8) -> WrappedKey {
    let wanted = Arc::new(vec![subject_key(tenant_n, subject_n, subject_n)]);
    let mut keys = stores.recordings.keys(wanted).await.unwrap();
    keys.remove(0).unwrap()
}

async fn insert(stores: &Stores, recordings: Vec<Recording>) -> u64 {
    let inserted = stores.recordings.insert(Arc::new(recordings)).await;
    inserted.unwrap()
}

async fn all(stores: &Stores, tenant_n: u8, subject_n: u8) -> Vec<RecordingRow> {
    let page = stores
        .recordings
        .page(&tenant(tenant_n), &subject(subject_n), 0, ALL)
        .await;
    page.unwrap()
}

async fn a_person_has_one_key(stores: &Stores) {
    let wanted = vec![
        subject_key(1, 1, 11),
        subject_key(2, 1, 21),
        subject_key(9, 1, 91),
        // Asked for twice at once: the first counts.
        subject_key(1, 1, 12),
    ];
    let expected = [
        Some(wrapped(11)),
        Some(wrapped(21)),
        None,
        Some(wrapped(11)),
    ];
    let keys = stores.recordings.keys(Arc::new(wanted)).await.unwrap();
    assert_eq!(keys, expected);
    let later = vec![subject_key(2, 1, 22), subject_key(1, 1, 13)];
    let keys = stores.recordings.keys(Arc::new(later)).await.unwrap();
    assert_eq!(keys, [Some(wrapped(21)), Some(wrapped(11))]);
    let none = stores.recordings.keys(Arc::default()).await.unwrap();
    assert!(none.is_empty());
}

async fn a_recording_comes_back_as_it_was_made(stores: &Stores) {
    let key = key_of(stores, 1, 2).await;
    let mut made: Vec<_> = (1..=3)
        .map(|n| recording(1, 2, n, Arc::clone(&key)))
        .collect();
    made[1].sealed = (0..=u8::MAX).cycle().take(100_000).collect();
    made[2].sealed = vec![];
    assert_eq!(insert(stores, made.clone()).await, 3);
    let found = all(stores, 1, 2).await;
    let numbers: Vec<_> = found.iter().map(|row| row.seq).collect();
    assert!(numbers.is_sorted() && numbers[0] > 0, "{numbers:?}");
    let found: Vec<_> = found.into_iter().map(|row| row.recording).collect();
    assert_eq!(found, made);
    // Nobody's key, and somebody else's.
    for key in [wrapped(99), key_of(stores, 2, 2).await] {
        let other = recording(1, 3, 4, key);
        assert_eq!(insert(stores, vec![other]).await, 0);
    }
    assert_eq!(all(stores, 1, 3).await, []);
    assert_eq!(all(stores, 2, 2).await, []);
    assert_eq!(insert(stores, vec![]).await, 0);
}

async fn the_newest_recording_of_a_request_is_its_tenants_alone(stores: &Stores) {
    let recordings = &stores.recordings;
    let find = |n: u8| {
        let (tenant, request) = (tenant(n), request(20));
        async move { recordings.find(&tenant, &request).await.unwrap() }
    };
    assert_eq!(find(1).await, None);
    let (mine, theirs) = (key_of(stores, 1, 4).await, key_of(stores, 2, 4).await);
    let mut later = recording(1, 4, 20, Arc::clone(&mine));
    // Newer by its place, and not by its time: clocks go back.
    later.at -= 1_000;
    let first = recording(1, 4, 20, mine);
    let other = recording(2, 4, 20, theirs);
    assert_eq!(
        insert(stores, vec![first, later.clone(), other.clone()]).await,
        3
    );
    assert_eq!(find(1).await.map(|row| row.recording), Some(later));
    assert_eq!(find(2).await.map(|row| row.recording), Some(other));
    assert_eq!(find(3).await, None);
}

async fn a_page_ends_at_its_rows_and_its_bytes(stores: &Stores) {
    let key = key_of(stores, 1, 5).await;
    let made = (30..40).map(|n| recording(1, 5, n, Arc::clone(&key)));
    insert(stores, made.collect()).await;
    let whole = all(stores, 1, 5).await;
    assert_eq!(whole.len(), 10);
    // Ten bytes each: another one begins as long as there are fewer.
    for (rows, bytes, length) in [(3, 1_000, 3), (100, 30, 3), (100, 31, 4), (100, 0, 1)] {
        let most = PageSize { rows, bytes };
        let mut read = Vec::new();
        loop {
            let after = read.last().map_or(0, |row: &RecordingRow| row.seq);
            let page = stores
                .recordings
                .page(&tenant(1), &subject(5), after, most)
                .await
                .unwrap();
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= length, "{most:?}");
            read.extend(page);
        }
        assert_eq!(read, whole, "{most:?}");
    }
}

async fn who_is_erased_is_gone_with_the_key(stores: &Stores) {
    let recordings = &stores.recordings;
    let (key, other) = (key_of(stores, 1, 6).await, key_of(stores, 1, 7).await);
    let made = [50, 51].map(|n| recording(1, 6, n, Arc::clone(&key)));
    insert(stores, made.to_vec()).await;
    insert(stores, vec![recording(1, 7, 52, other)]).await;
    refused!(
        recordings
            .erase(&tenant(9), &subject(6), recorded_of())
            .await,
        NotFound
    );
    // Another tenant's person of the same pseudonym is another person.
    for (who, erased) in [(2, 0), (1, 2), (1, 0)] {
        let gone = recordings.erase(&tenant(who), &subject(6), telling()).await;
        assert_eq!(gone.unwrap(), erased);
        assert_eq!(newest(stores).await.detail, erased.to_string());
    }
    assert_eq!(all(stores, 1, 6).await, []);
    assert_eq!(
        recordings.find(&tenant(1), &request(50)).await.unwrap(),
        None
    );
    // What was sealed under the key and comes late is not kept, neither before there is a new key nor afterwards.
    assert_eq!(insert(stores, made.to_vec()).await, 0);
    let wanted = Arc::new(vec![subject_key(1, 6, 66)]);
    let keys = recordings.keys(wanted).await.unwrap();
    assert_eq!(keys, [Some(wrapped(66))]);
    assert_eq!(insert(stores, made.to_vec()).await, 0);
    assert_eq!(
        insert(stores, vec![recording(1, 6, 53, wrapped(66))]).await,
        1
    );
    assert_eq!(all(stores, 1, 7).await.len(), 1);
}

async fn recordings_go_with_their_tenant(stores: &Stores) {
    let key = key_of(stores, 3, 1).await;
    let made = recording(3, 1, 60, key);
    assert_eq!(insert(stores, vec![made.clone()]).await, 1);
    stores
        .tenants
        .delete(&tenant(3), NOW, &recorded())
        .await
        .unwrap();
    assert_eq!(all(stores, 3, 1).await, []);
    assert_eq!(insert(stores, vec![made]).await, 0);
    let wanted = Arc::new(vec![subject_key(3, 1, 1)]);
    assert_eq!(stores.recordings.keys(wanted).await.unwrap(), [None]);
    assert!(!all(stores, 1, 2).await.is_empty());
}

async fn of_many_keys_at_once_one_is_everybodys(stores: &Stores) {
    let calls = (100..116).map(|n| {
        let recordings = Arc::clone(&stores.recordings);
        async move {
            let wanted = Arc::new(vec![subject_key(1, 100, n)]);
            recordings.keys(wanted).await
        }
    });
    let answers = at_once(calls).await;
    let keys: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert!(keys.iter().all(|key| *key == keys[0] && key[0].is_some()));
}

async fn a_policy_is_what_was_set_last(stores: &Stores) {
    let retention = &stores.retention;
    let nothing = RecordingPolicy::default();
    assert_eq!((nothing.enabled, nothing.days), (false, 30));
    for nobody in [tenant(1), tenant(9)] {
        assert_eq!(retention.policy(&nobody).await.unwrap(), nothing);
    }
    assert_eq!(retention.policies().await.unwrap(), []);
    let policy = |enabled, days| RecordingPolicy { enabled, days };
    let (first, second) = (policy(true, 3_650), policy(false, 1));
    for (set, was) in [(first, nothing), (second, first)] {
        retention
            .set_policy(&tenant(2), set, telling())
            .await
            .unwrap();
        assert_eq!(retention.policy(&tenant(2)).await.unwrap(), set);
        assert_eq!(newest(stores).await.detail, format!("{was:?}"));
    }
    assert_eq!(retention.policy(&tenant(1)).await.unwrap(), nothing);
    retention
        .set_policy(&tenant(1), first, telling())
        .await
        .unwrap();
    assert_eq!(
        retention.policies().await.unwrap(),
        [(tenant(1), first), (tenant(2), second)]
    );
    refused!(
        retention.set_policy(&tenant(9), first, recorded_of()).await,
        NotFound
    );
}

async fn a_sweep_takes_what_was_counted_and_the_oldest_first(stores: &Stores) {
    let retention = &stores.retention;
    assert_eq!(
        retention.held(&tenant(1), i64::MAX).await.unwrap(),
        Held::default()
    );
    let (key, other) = (key_of(stores, 1, 1).await, key_of(stores, 2, 1).await);
    // Added in an order that their times do not have.
    let made = [7, 3, 9, 1, 5].map(|n| recording(1, 1, n, Arc::clone(&key)));
    insert(stores, made.to_vec()).await;
    insert(stores, vec![recording(2, 1, 1, other)]).await;
    // Not what was made at the moment itself.
    let before = NOW + 7;
    let held = retention.held(&tenant(1), before).await.unwrap();
    let expected = Held {
        recordings: 5,
        oldest: Some(NOW + 1),
        older: 3,
    };
    assert_eq!(held, expected);
    assert_eq!(retention.sweep(&tenant(1), before, 2).await.unwrap(), 2);
    let left: Vec<_> = all(stores, 1, 1)
        .await
        .iter()
        .map(|row| row.recording.at - NOW)
        .collect();
    assert_eq!(left, [7, 9, 5]);
    for swept in [1, 0] {
        let found = retention.sweep(&tenant(1), before, 2).await;
        assert_eq!(found.unwrap(), swept);
    }
    let held = retention.held(&tenant(1), before).await.unwrap();
    assert_eq!((held.recordings, held.older), (2, 0));
    let others = retention.held(&tenant(2), before).await.unwrap();
    assert_eq!((others.recordings, others.older), (1, 1));
    // The key stays.
    assert_eq!(retention.sweep(&tenant(1), i64::MAX, 10).await.unwrap(), 2);
    assert_eq!(insert(stores, vec![recording(1, 1, 11, key)]).await, 1);
}

async fn a_policy_goes_with_its_tenant(stores: &Stores) {
    stores
        .tenants
        .delete(&tenant(1), NOW, &recorded())
        .await
        .unwrap();
    let (retention, nothing) = (&stores.retention, RecordingPolicy::default());
    assert_eq!(retention.policy(&tenant(1)).await.unwrap(), nothing);
    assert_eq!(
        retention.held(&tenant(1), i64::MAX).await.unwrap(),
        Held::default()
    );
    assert_eq!(retention.policies().await.unwrap().len(), 1);
}
