//! The promises of [`Keys`](crate::Keys).

use std::sync::Arc;

use foretell_types::{KeyId, Scope, Scopes, TenantId};

use super::fixtures::{NOW, create_tenants, model, recorded, recorded_of, tenant};
use super::{at_once, refused};
use crate::{KeyEnd, KeyHash, KeyRecord, NewKey, StoreError, Stores};

/// Checks [`Keys`](crate::Keys).
pub async fn keys(stores: &Stores) {
    create_tenants(stores, 2).await;
    a_key_is_found_by_its_hash_alone(stores).await;
    id_and_hash_are_given_once(stores).await;
    every_set_of_scopes_comes_back(stores).await;
    a_key_ends_by_the_rules(stores).await;
    a_key_is_ended_by_its_owner_alone(stores).await;
    a_key_tells_for_which_models_it_is(stores).await;
    a_key_tells_when_it_was_last_shown(stores).await;
    of_many_creations_at_once_one_wins(stores).await;
}

pub(super) fn hash(n: u8) -> KeyHash {
    [n; 32]
}

pub(super) fn key(n: u8, tenant: Option<TenantId>) -> NewKey {
    let record = KeyRecord {
        id: KeyId::parse(&format!("key_{n:016}")).unwrap(),
        tenant,
        label: format!("key {n}, é"),
        scopes: [Scope::Infer, Scope::Models].into_iter().collect(),
        models: None,
        created_at: NOW,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    NewKey {
        record,
        hash: hash(n),
    }
}

async fn a_key_is_found_by_its_hash_alone(stores: &Stores) {
    let keys = &stores.keys;
    assert_eq!(keys.find(&hash(1)).await.unwrap(), None);
    // Added in an order that neither names nor times have.
    let mut added = [
        key(3, Some(tenant(1))),
        key(1, Some(tenant(1))),
        key(2, Some(tenant(2))),
        key(4, None),
    ];
    added[1].record.created_at -= 1;
    added[1].record.expires_at = Some(NOW + 1);
    added[3].record.revoked_at = Some(NOW + 2);
    for new in &added {
        keys.create(new, &recorded()).await.unwrap();
        assert_eq!(
            keys.find(&new.hash).await.unwrap().as_ref(),
            Some(&new.record)
        );
    }
    let [three, one, two, four] = added.map(|new| new.record);
    assert_eq!(
        keys.list(Some(&tenant(1))).await.unwrap(),
        [three, one],
        "in the order of addition"
    );
    assert_eq!(keys.list(Some(&tenant(2))).await.unwrap(), [two]);
    assert_eq!(keys.list(None).await.unwrap(), [four]);
    assert_eq!(keys.list(Some(&tenant(9))).await.unwrap(), []);
}

async fn id_and_hash_are_given_once(stores: &Stores) {
    let keys = &stores.keys;
    let same_id = NewKey {
        hash: hash(50),
        ..key(1, Some(tenant(1)))
    };
    let same_hash = NewKey {
        hash: hash(1),
        ..key(50, Some(tenant(1)))
    };
    // Another tenant's name is taken as well: ids and hashes are the whole host's.
    let elsewhere = key(2, Some(tenant(1)));
    let nobody = key(50, Some(tenant(9)));
    let before = keys.list(Some(&tenant(1))).await.unwrap();
    for taken in [same_id, same_hash, elsewhere] {
        refused!(keys.create(&taken, &recorded()).await, Conflict);
    }
    refused!(keys.create(&nobody, &recorded()).await, NotFound);
    assert_eq!(
        keys.list(Some(&tenant(1))).await.unwrap(),
        before,
        "a refused creation changes nothing"
    );
    assert_eq!(keys.find(&hash(50)).await.unwrap(), None);
}

async fn every_set_of_scopes_comes_back(stores: &Stores) {
    for set in 0..1_u8 << Scope::ALL.len() {
        let scopes: Scopes = Scope::ALL
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| set >> bit & 1 == 1)
            .map(|(_, s)| s)
            .collect();
        let mut new = key(100 + set, None);
        new.record.scopes = scopes;
        stores.keys.create(&new, &recorded()).await.unwrap();
        assert_eq!(
            stores.keys.find(&new.hash).await.unwrap().unwrap().scopes,
            scopes
        );
    }
}

async fn a_key_ends_by_the_rules(stores: &Stores) {
    use KeyEnd::{Expires, Revoked};
    type Ends = (Option<i64>, Option<i64>);
    // Expiry and revocation before, the end, and both after.
    let cases: [(Ends, KeyEnd, Ends); 7] = [
        ((None, None), Revoked(5), (None, Some(5))),
        ((Some(9), None), Revoked(5), (Some(9), Some(5))),
        ((None, None), Expires(5), (Some(5), None)),
        ((Some(9), None), Expires(5), (Some(5), None)),
        ((Some(3), None), Expires(5), (Some(3), None)),
        ((Some(9), Some(4)), Revoked(5), (Some(9), Some(4))),
        ((Some(9), Some(4)), Expires(5), (Some(9), Some(4))),
    ];
    for (n, (before, end, after)) in (20..).zip(cases) {
        let mut new = key(n, Some(tenant(1)));
        (new.record.expires_at, new.record.revoked_at) = before;
        stores.keys.create(&new, &recorded()).await.unwrap();
        let ended = stores
            .keys
            .end(Some(&tenant(1)), &new.record.id, end, recorded_of())
            .await
            .unwrap();
        assert_eq!(
            (ended.expires_at, ended.revoked_at),
            after,
            "{before:?} then {end:?}"
        );
        (new.record.expires_at, new.record.revoked_at) = after;
        assert_eq!(ended, new.record, "nothing else changes");
        assert_eq!(stores.keys.find(&new.hash).await.unwrap(), Some(ended));
    }
}

async fn a_key_is_ended_by_its_owner_alone(stores: &Stores) {
    let keys = &stores.keys;
    let (mine, operators) = (key(30, Some(tenant(1))), key(31, None));
    keys.create(&mine, &recorded()).await.unwrap();
    keys.create(&operators, &recorded()).await.unwrap();
    let (one, two) = (tenant(1), tenant(2));
    let strangers = [(Some(&two), &mine), (None, &mine), (Some(&one), &operators)];
    for (stranger, held) in strangers {
        refused!(
            keys.end(stranger, &held.record.id, KeyEnd::Revoked(1), recorded_of())
                .await,
            NotFound
        );
        assert_eq!(
            keys.find(&held.hash).await.unwrap().as_ref(),
            Some(&held.record)
        );
    }
    refused!(
        keys.end(
            Some(&one),
            &key(99, None).record.id,
            KeyEnd::Revoked(1),
            recorded_of()
        )
        .await,
        NotFound
    );
    keys.end(
        None,
        &operators.record.id,
        KeyEnd::Revoked(1),
        recorded_of(),
    )
    .await
    .unwrap();
    keys.end(
        Some(&one),
        &mine.record.id,
        KeyEnd::Revoked(1),
        recorded_of(),
    )
    .await
    .unwrap();
}

async fn of_many_creations_at_once_one_wins(stores: &Stores) {
    let calls = (0..16).map(|n| {
        let keys = Arc::clone(&stores.keys);
        let new = NewKey {
            hash: hash(200),
            ..key(200 + n, Some(tenant(2)))
        };
        async move { keys.create(&new, &recorded()).await }
    });
    let answers = at_once(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Ok(()) | Err(StoreError::Conflict(_))))
    );
}

async fn a_key_tells_for_which_models_it_is(stores: &Stores) {
    for (n, models) in [(60, vec![]), (61, vec![1]), (62, vec![2, 1])] {
        let mut new = key(n, Some(tenant(1)));
        new.record.models = Some(models.into_iter().map(model).collect());
        stores.keys.create(&new, &recorded()).await.unwrap();
        let found = stores.keys.find(&new.hash).await.unwrap();
        assert_eq!(found, Some(new.record));
    }
}

async fn a_key_tells_when_it_was_last_shown(stores: &Stores) {
    let keys = &stores.keys;
    let (new, other) = (key(63, Some(tenant(1))), key(64, None));
    for key in [&new, &other] {
        keys.create(key, &recorded()).await.unwrap();
    }
    let absent = KeyId::parse("key_9999999999999999").unwrap();
    let last = || async {
        let found = keys.find(&new.hash).await.unwrap();
        found.unwrap().last_used_at
    };
    let used = |at| vec![(absent.clone(), at), (new.record.id.clone(), at)];
    keys.used(used(NOW + 60_000)).await.unwrap();
    assert_eq!(last().await, Some(NOW + 60_000));
    // A late word does not turn it back.
    keys.used(used(NOW)).await.unwrap();
    assert_eq!(last().await, Some(NOW + 60_000));
    assert_eq!(keys.find(&other.hash).await.unwrap(), Some(other.record));
}
