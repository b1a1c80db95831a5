//! What a tenant may keep and bring, limits of single models, and the warning before a budget's end.

use std::sync::atomic::Ordering;

use foretell_predict::account::MICRO;
use foretell_predict::manage::{Act, AuditQuery, Page, Quotas, TenantLimits};
use foretell_predict::{CacheLimits, Governance, Limits, PredictError, Records, Storage};
use foretell_types::{ErrorKind, ModelName};

use crate::house::{DAY_MS, House, OPERATOR, call, on};

async fn house(governance: Governance) -> (House, String) {
    let (limits, cache) = (Limits::default(), CacheLimits::default());
    let house = House::governed(limits, cache, governance, Records::default()).await;
    let key = house
        .tenant("a", &["infer", "models", "keys", "usage", "audit"])
        .await;
    (house, key)
}

async fn set(house: &House, limits: TenantLimits) {
    let set = house.manager.set_limits(&call(OPERATOR), "a", limits).await;
    set.unwrap();
}

fn storing(storage: Storage) -> Governance {
    Governance {
        storage,
        ..Governance::unlimited()
    }
}

#[tokio::test]
async fn a_tenant_keeps_no_more_models_than_it_may_and_any_number_of_versions() {
    let (house, key) = house(storing(Storage {
        models: Some(2),
        ..Storage::default()
    }))
    .await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    house.push(&key, "n", "1", b"one").await.unwrap();
    house.push(&key, "m", "2", b"two").await.unwrap();
    let full = house.push(&key, "o", "1", b"one").await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::QuotaExhausted);
    assert!(full.to_string().contains("2 models"), "{full}");
    // What is deleted makes room, and what was set for the tenant wins over the default.
    house
        .manager
        .delete_version(&call(&key), "n", "1")
        .await
        .unwrap();
    house.push(&key, "o", "1", b"one").await.unwrap();
    house.push(&key, "p", "1", b"one").await.unwrap_err();
    set(
        &house,
        TenantLimits {
            models: Some(3),
            ..TenantLimits::default()
        },
    )
    .await;
    house.push(&key, "p", "1", b"one").await.unwrap();
}

#[tokio::test]
async fn a_tenant_keeps_no_more_bytes_than_it_may() {
    let (house, key) = house(storing(Storage {
        bytes: Some(7),
        ..Storage::default()
    }))
    .await;
    house.push(&key, "m", "1", b"three").await.unwrap();
    let full = house.push(&key, "m", "2", b"four").await.unwrap_err();
    assert!(matches!(full, PredictError::StorageFull { limit: 7, .. }));
    house.push(&key, "m", "2", b"no").await.unwrap();
    // The same again takes no more room.
    assert!(!house.push(&key, "m", "2", b"no").await.unwrap());
    assert_eq!(house.blob_count("a").await, 6);
}

#[tokio::test]
async fn uploads_of_a_day_are_counted_whether_they_are_taken_or_not() {
    let (house, key) = house(storing(Storage {
        uploads_per_day: Some(3),
        ..Storage::default()
    }))
    .await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    house.push(&key, "m", "2", b"bad").await.unwrap_err();
    house.push(&key, "m", "2", b"two").await.unwrap();
    let full = house.push(&key, "m", "3", b"three").await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::QuotaExhausted);
    assert!(full.to_string().contains("3 uploads of this day"), "{full}");
    // What is there already is no upload.
    assert!(!house.push(&key, "m", "2", b"two").await.unwrap());
    house.now.fetch_add(DAY_MS, Ordering::Relaxed);
    house.push(&key, "m", "3", b"three").await.unwrap();
}

#[tokio::test]
async fn a_model_may_have_a_limit_of_requests_of_its_own() {
    let (house, key) = house(Governance::default()).await;
    for model in ["m", "n"] {
        house.push(&key, model, "1", b"one").await.unwrap();
    }
    set(
        &house,
        TenantLimits {
            models_requests: [(ModelName::parse("m").unwrap(), 2)].into(),
            ..TenantLimits::default()
        },
    )
    .await;
    for left in [1, 0] {
        let call = call(&key);
        house.predict(&call, "m", None, 1.0).await.unwrap();
        assert_eq!(call.rate.get().unwrap().remaining, left);
    }
    let third = call(&key);
    let error = house.predict(&third, "m", None, 1.0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(error.to_string().contains("model"), "{error}");
    assert_eq!(third.rate.get().unwrap().limit, 2);
    let other = call(&key);
    house.predict(&other, "n", None, 1.0).await.unwrap();
    assert_eq!(other.rate.get().unwrap().limit, 1_000);
    // Setting limits again forgets nothing of what was counted.
    set(
        &house,
        TenantLimits {
            models_requests: [(ModelName::parse("m").unwrap(), 3)].into(),
            ..TenantLimits::default()
        },
    )
    .await;
    house.predict(&call(&key), "m", None, 1.0).await.unwrap();
    house
        .predict(&call(&key), "m", None, 1.0)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_budget_is_warned_of_once_before_it_ends() {
    let (house, key) = house(Governance::unlimited()).await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    set(
        &house,
        TenantLimits {
            quotas: Quotas {
                credits_per_month: Some(10 * MICRO),
                ..Quotas::default()
            },
            ..TenantLimits::default()
        },
    )
    .await;
    let warnings = || async {
        let query = AuditQuery {
            act: Some(Act::BudgetWarn),
            ..AuditQuery::default()
        };
        let operator = on(OPERATOR, "a");
        let page = house
            .manager
            .audit(&operator, query, Page::After(0), 10)
            .await;
        page.unwrap().len()
    };
    for n in 1..=10 {
        house.predict(&call(&key), "m", None, 1.0).await.unwrap();
        assert_eq!(warnings().await, usize::from(n >= 8), "after {n}");
    }
    let spent = house.kind(&call(&key), "m", None, 1.0).await;
    assert_eq!(spent, ErrorKind::QuotaExhausted);
    assert_eq!(warnings().await, 1);
}
