//! What [`Models`](crate::Models) promises of traffic beyond the active version.

use std::sync::Arc;

use foretell_types::KeyId;

use super::fixtures::{
    NOW, create_tenants, model, recorded, recorded_of, tenant, version, version_name,
};
use super::models::{active, change_to};
use super::{at_once, refused};
use crate::port::models::KEPT_CHANGES;
use crate::{Canary, Guard, HeaderRule, NewTraffic, StoreError, Stores, Traffic, TrafficChange};

/// Checks what [`Models`](crate::Models) keeps of traffic.
pub async fn traffic(stores: &Stores) {
    create_tenants(stores, 4).await;
    for (tenant_of, count) in [(1, 4), (2, 3), (3, 2)] {
        for n in 1..=count {
            let (own, new) = (tenant(tenant_of), version(1, n, n));
            stores
                .models
                .add_version(&own, &new, &recorded())
                .await
                .unwrap();
        }
    }
    canary_and_shadow_are_what_was_set(stores).await;
    what_calls_go_to_is_not_deleted(stores).await;
    a_change_is_kept_with_its_author_and_reason(stores).await;
    only_so_many_changes_are_kept(stores).await;
    of_changes_at_once_to_one_revision_one_wins(stores).await;
    a_deleted_tenant_takes_its_traffic_along(stores).await;
}

fn key(n: u8) -> KeyId {
    KeyId::parse(&format!("key_{n:016}")).unwrap()
}

/// A canary with everything that has a stored form of its own.
pub fn canary(n: u8) -> Canary {
    Canary {
        version: version_name(n),
        share: 1_234,
        header: Some(HeaderRule {
            name: "x-group".into(),
            value: "é \"beta\"".into(),
        }),
        keys: vec![key(2), key(1)],
        sticky: "x-user".into(),
        guard: Some(Guard {
            window: 100,
            min_calls: 20,
            errors: Some(500),
            traps: Some(u32::MAX),
            latency_ms: None,
        }),
    }
}

fn release(of: u8, canary_of: u8, shadow: u8) -> Traffic {
    Traffic {
        canary: Some(canary(canary_of)),
        shadow: Some(version_name(shadow)),
        ..active(of)
    }
}

async fn canary_and_shadow_are_what_was_set(stores: &Stores) {
    let (models, own) = (&stores.models, tenant(1));
    let plain = Canary {
        header: None,
        keys: vec![],
        guard: None,
        ..canary(2)
    };
    let only_canary = Traffic {
        canary: Some(plain),
        ..active(1)
    };
    let mut before = active(1);
    for (revision, wanted) in
        (1..).zip([release(1, 2, 3), release(1, 3, 3), only_canary, active(2)])
    {
        let set = models
            .set_traffic(&own, &model(1), &change_to(wanted.clone()), recorded_of())
            .await;
        assert_eq!(set.unwrap(), before);
        let found = models.get(&own, &model(1)).await.unwrap().unwrap();
        assert_eq!((&found.traffic, found.revision), (&wanted, revision));
        assert_eq!(models.list(&own).await.unwrap(), [found]);
        before = wanted;
    }
    for missing in [release(1, 9, 2), release(1, 2, 9), release(9, 1, 2)] {
        refused!(
            models
                .set_traffic(&own, &model(1), &change_to(missing), recorded_of())
                .await,
            NotFound
        );
    }
    let again = models
        .set_traffic(&own, &model(1), &change_to(active(2)), recorded_of())
        .await;
    assert_eq!(again.unwrap(), active(2));
    let found = models.get(&own, &model(1)).await.unwrap().unwrap();
    assert_eq!((found.traffic, found.revision), (active(2), 4), "no change");
}

async fn what_calls_go_to_is_not_deleted(stores: &Stores) {
    let (models, own) = (&stores.models, tenant(1));
    let wanted = release(1, 2, 3);
    models
        .set_traffic(&own, &model(1), &change_to(wanted), recorded_of())
        .await
        .unwrap();
    let delete = |n: u8| {
        let (own, name) = (own.clone(), version_name(n));
        async move {
            models
                .delete_version(&own, &model(1), &name, NOW, &recorded())
                .await
        }
    };
    for n in [1, 2, 3] {
        refused!(delete(n).await, Conflict);
    }
    delete(4).await.unwrap();
    models
        .set_traffic(&own, &model(1), &change_to(active(1)), recorded_of())
        .await
        .unwrap();
    delete(2).await.unwrap();
    delete(3).await.unwrap();
    refused!(
        models
            .set_traffic(&own, &model(1), &change_to(release(1, 2, 1)), recorded_of())
            .await,
        NotFound
    );
    delete(1).await.unwrap();
    assert_eq!(models.traffic_changes(&own, &model(1)).await.unwrap(), []);
    models
        .add_version(&own, &version(1, 5, 5), &recorded())
        .await
        .unwrap();
    let found = models.get(&own, &model(1)).await.unwrap().unwrap();
    assert_eq!(
        (found.traffic, found.revision),
        (active(5), 0),
        "a new model"
    );
}

async fn a_change_is_kept_with_its_author_and_reason(stores: &Stores) {
    let (models, own) = (&stores.models, tenant(2));
    assert_eq!(models.traffic_changes(&own, &model(1)).await.unwrap(), []);
    assert_eq!(models.traffic_changes(&own, &model(9)).await.unwrap(), []);
    let first = NewTraffic {
        traffic: release(1, 2, 3),
        expected: Some(0),
        at: NOW + 1,
        by: Some(key(7)),
        reason: "2 is ready for a tenth".into(),
    };
    let second = NewTraffic {
        traffic: active(1),
        expected: Some(1),
        at: NOW + 2,
        by: None,
        reason: "3 of 5 calls trapped".into(),
    };
    models
        .set_traffic(&own, &model(1), &first, recorded_of())
        .await
        .unwrap();
    for expected in [0, 2, u64::MAX] {
        let late = NewTraffic {
            expected: Some(expected),
            ..second.clone()
        };
        refused!(
            models
                .set_traffic(&own, &model(1), &late, recorded_of())
                .await,
            Conflict
        );
    }
    models
        .set_traffic(&own, &model(1), &second, recorded_of())
        .await
        .unwrap();
    let change = |revision, made: &NewTraffic, before: Traffic| TrafficChange {
        revision,
        at: made.at,
        by: made.by.clone(),
        reason: made.reason.clone(),
        before,
        after: made.traffic.clone(),
    };
    assert_eq!(
        models.traffic_changes(&own, &model(1)).await.unwrap(),
        [
            change(2, &second, release(1, 2, 3)),
            change(1, &first, active(1))
        ]
    );
    assert_eq!(
        models.traffic_changes(&tenant(3), &model(1)).await.unwrap(),
        [],
        "another tenant's are not here"
    );
}

async fn only_so_many_changes_are_kept(stores: &Stores) {
    let (models, own) = (&stores.models, tenant(2));
    for n in 0..KEPT_CHANGES {
        let traffic = active(if n % 2 == 0 { 2 } else { 1 });
        models
            .set_traffic(&own, &model(1), &change_to(traffic), recorded_of())
            .await
            .unwrap();
    }
    let kept = models.traffic_changes(&own, &model(1)).await.unwrap();
    let newest = u64::from(KEPT_CHANGES) + 2;
    assert_eq!(
        (kept.len(), kept[0].revision, kept[kept.len() - 1].revision),
        (KEPT_CHANGES as usize, newest, 3)
    );
}

async fn of_changes_at_once_to_one_revision_one_wins(stores: &Stores) {
    let own = tenant(3);
    let answers = at_once((0..8).map(|n| {
        let (models, own) = (Arc::clone(&stores.models), own.clone());
        let change = NewTraffic {
            expected: Some(0),
            reason: n.to_string(),
            ..change_to(active(2))
        };
        async move {
            models
                .set_traffic(&own, &model(1), &change, recorded_of())
                .await
        }
    }))
    .await;
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    let lost = answers
        .iter()
        .filter(|answer| matches!(answer, Err(StoreError::Conflict(_))));
    assert_eq!((won, lost.count()), (1, 7), "{answers:?}");
    let kept = stores
        .models
        .traffic_changes(&own, &model(1))
        .await
        .unwrap();
    assert_eq!(kept.len(), 1);
}

async fn a_deleted_tenant_takes_its_traffic_along(stores: &Stores) {
    let own = tenant(3);
    let wanted = change_to(release(1, 2, 2));
    stores
        .models
        .set_traffic(&own, &model(1), &wanted, recorded_of())
        .await
        .unwrap();
    stores.tenants.delete(&own, NOW, &recorded()).await.unwrap();
    assert_eq!(stores.models.list(&own).await.unwrap(), []);
    assert_eq!(
        stores
            .models
            .traffic_changes(&own, &model(1))
            .await
            .unwrap(),
        []
    );
}
