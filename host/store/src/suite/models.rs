//! The promises of [`Models`](crate::Models).

use std::sync::Arc;

use super::fixtures::{
    NOW, create_tenants, model, recorded, recorded_of, tenant, version, version_name,
};
use super::{at_once, refused};
use crate::{ModelRecord, NewTraffic, StoreError, Stores, Traffic, VersionRecord};

/// Checks [`Models`](crate::Models).
pub async fn models(stores: &Stores) {
    create_tenants(stores, 5).await;
    a_version_is_what_was_added(stores).await;
    a_name_holds_one_content(stores).await;
    traffic_goes_to_versions_that_exist(stores).await;
    an_unloaded_model_stays_so_until_it_is_loaded(stores).await;
    a_deleted_version_is_gone_and_its_name_is_taken(stores).await;
    the_last_version_takes_its_model_along(stores).await;
    equal_names_in_two_tenants_never_meet(stores).await;
    of_many_additions_at_once_one_wins(stores).await;
    deletion_and_activation_at_once_leave_no_dangling_traffic(stores).await;
}

pub(super) fn active(n: u8) -> Traffic {
    Traffic {
        active: Some(version_name(n)),
        ..Traffic::default()
    }
}

/// A change to this traffic, whatever is there.
pub fn change_to(traffic: Traffic) -> NewTraffic {
    NewTraffic {
        traffic,
        expected: None,
        at: NOW,
        by: None,
        reason: String::new(),
    }
}

fn record(n: u8, traffic: Traffic, versions: &[VersionRecord]) -> ModelRecord {
    ModelRecord {
        name: model(n),
        traffic,
        revision: 0,
        unloaded: false,
        versions: versions.to_vec(),
    }
}

async fn a_version_is_what_was_added(stores: &Stores) {
    let (models, own) = (&stores.models, tenant(1));
    assert_eq!(models.get(&own, &model(1)).await.unwrap(), None);
    assert_eq!(models.list(&own).await.unwrap(), []);
    // Added in an order that neither names nor times have.
    let (three, one) = (version(2, 3, 9), version(2, 1, 4));
    assert!(models.add_version(&own, &three, &recorded()).await.unwrap());
    assert!(models.add_version(&own, &one, &recorded()).await.unwrap());
    let other = version(1, 1, 5);
    assert!(models.add_version(&own, &other, &recorded()).await.unwrap());

    let expected = record(2, active(3), &[three, one]);
    assert_eq!(
        models.get(&own, &model(2)).await.unwrap().as_ref(),
        Some(&expected)
    );
    let listed = models.list(&own).await.unwrap();
    assert_eq!(
        listed,
        [record(1, active(1), &[other]), expected],
        "sorted by name"
    );
}

async fn a_name_holds_one_content(stores: &Stores) {
    let (models, own) = (&stores.models, tenant(1));
    let before = models.list(&own).await.unwrap();
    assert!(
        !models
            .add_version(&own, &version(2, 3, 9), &recorded())
            .await
            .unwrap(),
        "the same again is no change"
    );
    let later = VersionRecord {
        created_at: NOW + 999,
        ..version(2, 3, 9)
    };
    assert!(!models.add_version(&own, &later, &recorded()).await.unwrap());
    refused!(
        models
            .add_version(&own, &version(2, 3, 10), &recorded())
            .await,
        Conflict
    );
    refused!(
        models
            .add_version(&tenant(9), &version(1, 1, 1), &recorded())
            .await,
        NotFound
    );
    assert_eq!(
        models.list(&own).await.unwrap(),
        before,
        "neither changes anything"
    );
    assert_eq!(models.list(&tenant(9)).await.unwrap(), []);
}

async fn traffic_goes_to_versions_that_exist(stores: &Stores) {
    let (models, own) = (&stores.models, tenant(1));
    let before = models.list(&own).await.unwrap();
    refused!(
        models
            .set_traffic(&own, &model(7), &change_to(active(1)), recorded_of())
            .await,
        NotFound
    );
    refused!(
        models
            .set_traffic(
                &own,
                &model(7),
                &change_to(Traffic::default()),
                recorded_of()
            )
            .await,
        NotFound
    );
    refused!(
        models
            .set_traffic(&own, &model(2), &change_to(active(2)), recorded_of())
            .await,
        NotFound
    );
    refused!(
        models
            .set_traffic(&tenant(9), &model(2), &change_to(active(1)), recorded_of())
            .await,
        NotFound
    );
    assert_eq!(
        models.list(&own).await.unwrap(),
        before,
        "a refusal changes nothing"
    );

    assert_eq!(
        models
            .set_traffic(&own, &model(2), &change_to(active(1)), recorded_of())
            .await
            .unwrap(),
        active(3)
    );
    assert_eq!(
        models
            .set_traffic(
                &own,
                &model(2),
                &change_to(Traffic::default()),
                recorded_of()
            )
            .await
            .unwrap(),
        active(1)
    );
    let found = models.get(&own, &model(2)).await.unwrap().unwrap();
    assert_eq!(found.traffic, Traffic::default());
    assert_eq!(
        found.versions, before[1].versions,
        "versions keep their order"
    );
    assert_eq!(
        models
            .set_traffic(&own, &model(2), &change_to(active(3)), recorded_of())
            .await
            .unwrap(),
        Traffic::default()
    );
}

async fn an_unloaded_model_stays_so_until_it_is_loaded(stores: &Stores) {
    let (models, own) = (&stores.models, tenant(1));
    refused!(
        models
            .set_unloaded(&own, &model(7), true, &recorded())
            .await,
        NotFound
    );
    refused!(
        models
            .set_unloaded(&tenant(9), &model(2), true, &recorded())
            .await,
        NotFound
    );
    let before = models.list(&own).await.unwrap();
    for (unloaded, was) in [(false, false), (true, false), (true, true)] {
        let set = models
            .set_unloaded(&own, &model(2), unloaded, &recorded())
            .await;
        assert_eq!(set.unwrap(), was);
    }
    let mut expected = before.clone();
    expected[1].unloaded = true;
    assert_eq!(models.list(&own).await.unwrap(), expected, "nothing else");
    models
        .set_traffic(&own, &model(2), &change_to(active(3)), recorded_of())
        .await
        .unwrap();
    let found = models.get(&own, &model(2)).await.unwrap().unwrap();
    assert!(found.unloaded, "traffic does not load it");
    assert!(
        models
            .set_unloaded(&own, &model(2), false, &recorded())
            .await
            .unwrap()
    );
    assert_eq!(models.list(&own).await.unwrap(), before);
}

async fn a_deleted_version_is_gone_and_its_name_is_taken(stores: &Stores) {
    let (models, own) = (&stores.models, tenant(1));
    let before = models.list(&own).await.unwrap();
    refused!(
        models
            .delete_version(&own, &model(2), &version_name(3), NOW, &recorded())
            .await,
        Conflict
    );
    refused!(
        models
            .delete_version(&own, &model(2), &version_name(2), NOW, &recorded())
            .await,
        NotFound
    );
    refused!(
        models
            .delete_version(&own, &model(7), &version_name(1), NOW, &recorded())
            .await,
        NotFound
    );
    refused!(
        models
            .delete_version(&tenant(9), &model(2), &version_name(1), NOW, &recorded())
            .await,
        NotFound
    );
    assert_eq!(
        models.list(&own).await.unwrap(),
        before,
        "a refusal changes nothing"
    );

    let deleted = models
        .delete_version(&own, &model(2), &version_name(1), NOW, &recorded())
        .await
        .unwrap();
    assert_eq!(deleted, version(2, 1, 4), "what is returned is what was");
    // Its traffic was changed three times above.
    let left = ModelRecord {
        revision: 3,
        ..record(2, active(3), &[version(2, 3, 9)])
    };
    assert_eq!(
        models.get(&own, &model(2)).await.unwrap().as_ref(),
        Some(&left)
    );

    refused!(
        models
            .delete_version(&own, &model(2), &version_name(1), NOW, &recorded())
            .await,
        NotFound
    );
    refused!(
        models
            .set_traffic(&own, &model(2), &change_to(active(1)), recorded_of())
            .await,
        NotFound
    );
    for content in [4, 5] {
        refused!(
            models
                .add_version(&own, &version(2, 1, content), &recorded())
                .await,
            Conflict
        );
    }
    assert_eq!(models.get(&own, &model(2)).await.unwrap(), Some(left));
}

async fn the_last_version_takes_its_model_along(stores: &Stores) {
    let (models, own) = (&stores.models, tenant(1));
    models
        .delete_version(&own, &model(2), &version_name(3), NOW, &recorded())
        .await
        .unwrap();
    assert_eq!(models.get(&own, &model(2)).await.unwrap(), None);
    assert_eq!(models.list(&own).await.unwrap().len(), 1);
    refused!(
        models
            .set_traffic(
                &own,
                &model(2),
                &change_to(Traffic::default()),
                recorded_of()
            )
            .await,
        NotFound
    );

    // The model may come back; its versions do not.
    for number in [1, 3] {
        refused!(
            models
                .add_version(&own, &version(2, number, 9), &recorded())
                .await,
            Conflict
        );
    }
    assert_eq!(models.get(&own, &model(2)).await.unwrap(), None);
    assert!(
        models
            .add_version(&own, &version(2, 4, 9), &recorded())
            .await
            .unwrap()
    );
    let again = record(2, active(4), &[version(2, 4, 9)]);
    assert_eq!(models.get(&own, &model(2)).await.unwrap(), Some(again));
}

async fn equal_names_in_two_tenants_never_meet(stores: &Stores) {
    let models = &stores.models;
    let (mine, other) = (tenant(2), tenant(3));
    for number in [1, 2] {
        assert!(
            models
                .add_version(&other, &version(1, number, number), &recorded())
                .await
                .unwrap()
        );
    }
    let theirs = models.list(&other).await.unwrap();

    assert_eq!(models.list(&mine).await.unwrap(), []);
    assert_eq!(models.get(&mine, &model(1)).await.unwrap(), None);
    refused!(
        models
            .set_traffic(&mine, &model(1), &change_to(active(2)), recorded_of())
            .await,
        NotFound
    );
    refused!(
        models
            .delete_version(&mine, &model(1), &version_name(2), NOW, &recorded())
            .await,
        NotFound
    );
    // The same names with other contents, in another order.
    assert!(
        models
            .add_version(&mine, &version(1, 2, 7), &recorded())
            .await
            .unwrap()
    );
    assert!(
        models
            .add_version(&mine, &version(1, 1, 8), &recorded())
            .await
            .unwrap()
    );
    models
        .set_traffic(&mine, &model(1), &change_to(active(1)), recorded_of())
        .await
        .unwrap();
    models
        .delete_version(&mine, &model(1), &version_name(2), NOW, &recorded())
        .await
        .unwrap();
    models
        .delete_version(&mine, &model(1), &version_name(1), NOW, &recorded())
        .await
        .unwrap();

    assert_eq!(models.list(&other).await.unwrap(), theirs);
    assert!(
        models
            .add_version(&other, &version(1, 3, 3), &recorded())
            .await
            .unwrap()
    );
    models
        .delete_version(&other, &model(1), &version_name(2), NOW, &recorded())
        .await
        .unwrap();
}

async fn of_many_additions_at_once_one_wins(stores: &Stores) {
    let own = tenant(4);
    let add = |name: u8, number: u8, content: u8| {
        let (models, own) = (Arc::clone(&stores.models), own.clone());
        async move {
            models
                .add_version(&own, &version(name, number, content), &recorded())
                .await
        }
    };
    let answers = at_once((0..16).map(|content| add(1, 1, content))).await;
    let won: Vec<_> = (0..16)
        .filter(|n| matches!(answers[usize::from(*n)], Ok(true)))
        .collect();
    assert_eq!(won.len(), 1, "one content wins: {answers:?}");
    assert_eq!(
        answers
            .iter()
            .filter(|answer| matches!(answer, Err(StoreError::Conflict(_))))
            .count(),
        15
    );
    let found = stores.models.get(&own, &model(1)).await.unwrap();
    assert_eq!(
        found,
        Some(record(1, active(1), &[version(1, 1, won[0])])),
        "it is the one that is stored"
    );

    let answers = at_once((0..16).map(|_| add(2, 1, 5))).await;
    assert_eq!(
        answers
            .iter()
            .filter(|answer| matches!(answer, Ok(true)))
            .count(),
        1
    );
    assert_eq!(
        answers
            .iter()
            .filter(|answer| matches!(answer, Ok(false)))
            .count(),
        15
    );

    let answers = at_once((1..17).map(|number| add(3, number, number))).await;
    assert!(
        answers.iter().all(|answer| matches!(answer, Ok(true))),
        "different names all win: {answers:?}"
    );
    let found = stores.models.get(&own, &model(3)).await.unwrap().unwrap();
    assert_eq!(found.versions.len(), 16);
    assert_eq!(
        found.traffic.active.as_ref(),
        Some(&found.versions[0].version),
        "the first is active"
    );
}

async fn deletion_and_activation_at_once_leave_no_dangling_traffic(stores: &Stores) {
    let own = tenant(5);
    for n in 1..=8 {
        stores
            .models
            .add_version(&own, &version(n, 1, 1), &recorded())
            .await
            .unwrap();
        stores
            .models
            .add_version(&own, &version(n, 2, 2), &recorded())
            .await
            .unwrap();
    }
    let calls = (1..=8).flat_map(|n| {
        [true, false].map(|activate| {
            let (models, own) = (Arc::clone(&stores.models), own.clone());
            async move {
                if activate {
                    models
                        .set_traffic(&own, &model(n), &change_to(active(2)), recorded_of())
                        .await
                        .map(drop)
                } else {
                    models
                        .delete_version(&own, &model(n), &version_name(2), NOW, &recorded())
                        .await
                        .map(drop)
                }
            }
        })
    });
    let answers = at_once(calls).await;
    for (n, pair) in (1..).zip(answers.chunks(2)) {
        let found = stores.models.get(&own, &model(n)).await.unwrap().unwrap();
        match pair {
            [Ok(()), Err(StoreError::Conflict(_))] => {
                assert_eq!((found.traffic, found.versions.len()), (active(2), 2));
            }
            [Err(StoreError::NotFound(_)), Ok(())] => {
                assert_eq!((found.traffic, found.versions.len()), (active(1), 1));
            }
            other => panic!("one of the two wins: {other:?}"),
        }
    }
}
