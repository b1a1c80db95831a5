//! The promises of [`Tenants`](crate::Tenants).

use std::sync::Arc;

use super::fixtures::{NOW, model, recorded, tenant, version};
use super::{at_once, keys, refused};
use crate::{StoreError, Stores, TenantRecord};

/// Checks [`Tenants`](crate::Tenants).
pub async fn tenants(stores: &Stores) {
    a_tenant_is_what_was_created(stores).await;
    a_name_is_given_once(stores).await;
    a_deleted_tenant_takes_its_things_along_and_leaves_others(stores).await;
    of_many_creations_at_once_one_wins(stores).await;
}

async fn a_tenant_is_what_was_created(stores: &Stores) {
    let tenants = &stores.tenants;
    assert_eq!(tenants.list().await.unwrap(), []);
    assert_eq!(tenants.get(&tenant(1)).await.unwrap(), None);
    refused!(tenants.delete(&tenant(1), NOW, &recorded()).await, NotFound);
    let records = [3, 1, 2].map(|n| TenantRecord {
        id: tenant(n),
        created_at: NOW - i64::from(n),
    });
    for record in &records {
        tenants.create(record, &recorded()).await.unwrap();
        assert_eq!(
            tenants.get(&record.id).await.unwrap().as_ref(),
            Some(record)
        );
    }
    let [three, one, two] = records;
    assert_eq!(
        tenants.list().await.unwrap(),
        [one, two, three],
        "sorted by name"
    );
}

async fn a_name_is_given_once(stores: &Stores) {
    let tenants = &stores.tenants;
    let again = TenantRecord {
        id: tenant(1),
        created_at: NOW + 1,
    };
    let before = tenants.list().await.unwrap();
    refused!(tenants.create(&again, &recorded()).await, Conflict);
    assert_eq!(
        tenants.list().await.unwrap(),
        before,
        "a refused creation changes nothing"
    );

    tenants.delete(&tenant(1), NOW, &recorded()).await.unwrap();
    assert_eq!(tenants.get(&tenant(1)).await.unwrap(), None);
    assert_eq!(tenants.list().await.unwrap(), before[1..]);
    refused!(tenants.delete(&tenant(1), NOW, &recorded()).await, NotFound);
    refused!(tenants.create(&again, &recorded()).await, Conflict);
}

async fn a_deleted_tenant_takes_its_things_along_and_leaves_others(stores: &Stores) {
    for n in [2, 3] {
        stores
            .models
            .add_version(&tenant(n), &version(1, 1, 1), &recorded())
            .await
            .unwrap();
        stores
            .models
            .add_version(&tenant(n), &version(1, 2, 2), &recorded())
            .await
            .unwrap();
        stores
            .models
            .add_version(&tenant(n), &version(2, 1, 3), &recorded())
            .await
            .unwrap();
        stores
            .keys
            .create(&keys::key(n, Some(tenant(n))), &recorded())
            .await
            .unwrap();
    }
    stores
        .keys
        .create(&keys::key(0, None), &recorded())
        .await
        .unwrap();
    let others = stores.models.list(&tenant(3)).await.unwrap();

    stores
        .tenants
        .delete(&tenant(2), NOW, &recorded())
        .await
        .unwrap();

    assert_eq!(stores.models.list(&tenant(2)).await.unwrap(), []);
    assert_eq!(
        stores.models.get(&tenant(2), &model(1)).await.unwrap(),
        None
    );
    refused!(
        stores
            .models
            .add_version(&tenant(2), &version(1, 3, 4), &recorded())
            .await,
        NotFound
    );
    assert_eq!(stores.keys.list(Some(&tenant(2))).await.unwrap(), []);
    assert_eq!(stores.keys.find(&keys::hash(2)).await.unwrap(), None);
    refused!(
        stores
            .keys
            .create(&keys::key(9, Some(tenant(2))), &recorded())
            .await,
        NotFound
    );

    assert_eq!(stores.models.list(&tenant(3)).await.unwrap(), others);
    assert!(stores.keys.find(&keys::hash(3)).await.unwrap().is_some());
    assert!(
        stores.keys.find(&keys::hash(0)).await.unwrap().is_some(),
        "an operator's key is nobody's"
    );
}

async fn of_many_creations_at_once_one_wins(stores: &Stores) {
    let calls = (0..16).map(|n| {
        let tenants = Arc::clone(&stores.tenants);
        async move {
            tenants
                .create(
                    &TenantRecord {
                        id: tenant(8),
                        created_at: n,
                    },
                    &recorded(),
                )
                .await
        }
    });
    let answers = at_once(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let lost = |answer: &&Result<_, _>| matches!(answer, Err(StoreError::Conflict(_)));
    assert_eq!(answers.iter().filter(lost).count(), 15);
    let kept = stores
        .tenants
        .get(&tenant(8))
        .await
        .unwrap()
        .unwrap()
        .created_at;
    assert!(
        answers[usize::try_from(kept).unwrap()].is_ok(),
        "the one that was told so won"
    );
    create_tenants_beside(stores).await;
}

/// Different names do not stand in each other's way.
async fn create_tenants_beside(stores: &Stores) {
    let calls = (10..26).map(|n| {
        let tenants = Arc::clone(&stores.tenants);
        async move {
            tenants
                .create(
                    &TenantRecord {
                        id: tenant(n),
                        created_at: NOW,
                    },
                    &recorded(),
                )
                .await
        }
    });
    assert!(at_once(calls).await.iter().all(Result::is_ok));
}
