//! The promises of [`LimitStore`](crate::LimitStore).

use super::fixtures::{create_tenants, model, newest, recorded, telling, tenant};
use super::keys::key;
use super::refused;
use crate::{Price, Quotas, Stores, TenantLimits, suite::recorded_of};

/// Checks [`LimitStore`](crate::LimitStore).
pub async fn limits(stores: &Stores) {
    create_tenants(stores, 2).await;
    limits_come_back_as_they_were_set(stores).await;
    limits_of_keys_are_their_tenants(stores).await;
    limits_go_with_their_tenant(stores).await;
}

fn some() -> TenantLimits {
    TenantLimits {
        quotas: Quotas {
            requests_per_window: Some(0),
            concurrent: Some(u32::MAX),
            predictions_per_day: Some(1),
            predictions_per_month: Some(u64::MAX >> 1),
            compute_ms_per_day: None,
            compute_ms_per_month: Some(3),
            credits_per_month: Some(i64::MAX),
        },
        stored_bytes: Some(1 << 50),
        models: Some(3),
        uploads_per_day: None,
        prepaid: Some(true),
        price: Price {
            prediction: Some(1_500_000),
            compute_ms: None,
        },
        models_price: [(model(1), Price::default())].into(),
        models_requests: [(model(1), 7)].into(),
    }
}

async fn limits_come_back_as_they_were_set(stores: &Stores) {
    let limits = &stores.limits;
    let nothing = TenantLimits::default();
    for nobody in [tenant(1), tenant(9)] {
        assert_eq!(limits.of_tenant(&nobody).await.unwrap(), nothing);
    }
    for (set, was) in [(some(), nothing.clone()), (nothing.clone(), some())] {
        limits
            .set_tenant(&tenant(1), &set, telling())
            .await
            .unwrap();
        assert_eq!(limits.of_tenant(&tenant(1)).await.unwrap(), set);
        assert_eq!(newest(stores).await.detail, format!("{was:?}"));
    }
    assert_eq!(limits.of_tenant(&tenant(2)).await.unwrap(), nothing);
    refused!(
        limits.set_tenant(&tenant(9), &some(), recorded_of()).await,
        NotFound
    );
}

async fn limits_of_keys_are_their_tenants(stores: &Stores) {
    let limits = &stores.limits;
    let keys = [key(1, Some(tenant(1))), key(2, Some(tenant(2)))];
    for new in &keys {
        stores.keys.create(new, &recorded()).await.unwrap();
    }
    let [mine, theirs] = keys.map(|new| new.record.id);
    let quotas = some().quotas;
    refused!(
        limits
            .set_key(&tenant(1), &theirs, &quotas, recorded_of())
            .await,
        NotFound
    );
    limits
        .set_key(&tenant(1), &mine, &quotas, telling())
        .await
        .unwrap();
    assert_eq!(
        newest(stores).await.detail,
        format!("{:?}", Quotas::default())
    );
    assert_eq!(limits.of_keys(&tenant(1)).await.unwrap(), [(mine, quotas)]);
    assert_eq!(limits.of_keys(&tenant(2)).await.unwrap(), []);
}

async fn limits_go_with_their_tenant(stores: &Stores) {
    let limits = &stores.limits;
    limits
        .set_tenant(&tenant(1), &some(), recorded_of())
        .await
        .unwrap();
    stores
        .tenants
        .delete(&tenant(1), 1, &recorded())
        .await
        .unwrap();
    assert_eq!(
        limits.of_tenant(&tenant(1)).await.unwrap(),
        TenantLimits::default()
    );
    assert_eq!(limits.of_keys(&tenant(1)).await.unwrap(), []);
}
