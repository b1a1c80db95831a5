//! The promises of [`Ledger`](crate::Ledger).

use std::sync::Arc;

use super::fixtures::{NOW, create_tenants, recorded, tenant};
use super::{at_once, refused};
use crate::{
    Account, Act, AuditQuery, Entry, Page, Spent, Stores, UsageQuery, UsageRow, Used, Whose, day_of,
};

const DAY: i64 = 86_400_000;

/// Checks [`Ledger`](crate::Ledger).
pub async fn ledger(stores: &Stores) {
    create_tenants(stores, 2).await;
    what_was_never_used_is_nothing(stores).await;
    usage_is_summed_by_day_key_model_and_version(stores).await;
    sums_of_usage_log_and_account_are_equal(stores).await;
    credits_are_given_and_taken_back(stores).await;
    what_was_spent_outlives_its_tenant(stores).await;
}

/// What tenant `n` spent with a key, on a model's version.
fn spent(n: u8, at: i64, key: u8, version: u8, credits: i64) -> Spent {
    Spent {
        entry: Entry {
            at,
            tenant: Some(tenant(n)),
            actor: format!("key_{key:016}").into(),
            act: Act::Predict,
            object: format!("m/{version}"),
            detail: format!(r#"{{"credits":{credits}}}"#),
            ..recorded()
        },
        model: "m".into(),
        version: version.to_string(),
        used: Used {
            calls: 1,
            predictions: u64::from(key),
            cached: u64::from(key.is_multiple_of(2)),
            failed: u64::from(credits == 0),
            compute_us: 7,
            credits,
        },
    }
}

async fn rows(stores: &Stores, query: &UsageQuery) -> Vec<UsageRow> {
    stores.ledger.usage(query, None, 1_000).await.unwrap()
}

async fn what_was_never_used_is_nothing(stores: &Stores) {
    let ledger = &stores.ledger;
    let nothing = ledger.account(&tenant(1)).await.unwrap();
    assert_eq!(nothing, Account::default());
    assert_eq!(
        ledger.used(&tenant(1), None, 0).await.unwrap(),
        Used::default()
    );
    assert_eq!(rows(stores, &UsageQuery::default()).await, []);
    ledger.settle(Arc::default()).await.unwrap();
    assert_eq!(rows(stores, &UsageQuery::default()).await, []);
}

async fn usage_is_summed_by_day_key_model_and_version(stores: &Stores) {
    let midnight = (day_of(NOW) + 1) * DAY;
    let batch = vec![
        spent(1, midnight - 2, 1, 1, 10),
        spent(1, midnight - 1, 1, 1, 0),
        spent(1, midnight, 1, 1, 5),
        // A clock that went back: its row stands on the day of the row before.
        spent(1, midnight - 1, 2, 1, 3),
        spent(1, midnight, 1, 2, 1),
        spent(2, midnight, 3, 1, 100),
    ];
    stores.ledger.settle(Arc::new(batch)).await.unwrap();
    let one = UsageQuery {
        tenant: Some(tenant(1)),
        ..UsageQuery::default()
    };
    let found: Vec<_> = rows(stores, &one)
        .await
        .into_iter()
        .map(|row| {
            let key = row.actor.trim_start_matches("key_").parse::<u8>().unwrap();
            let day = row.day - day_of(NOW);
            (day, key, row.version, row.used.calls, row.used.credits)
        })
        .collect();
    let expected = [
        (0, 1, "1".to_owned(), 2, 10),
        (1, 1, "1".to_owned(), 1, 5),
        (1, 1, "2".to_owned(), 1, 1),
        (1, 2, "1".to_owned(), 1, 3),
    ];
    assert_eq!(found, expected);

    let cases = [
        (UsageQuery::default(), 5),
        (
            UsageQuery {
                since: Some(day_of(NOW) + 1),
                ..one.clone()
            },
            3,
        ),
        (
            UsageQuery {
                until: Some(day_of(NOW) + 1),
                ..one.clone()
            },
            1,
        ),
        (
            UsageQuery {
                actor: Some(format!("key_{:016}", 2)),
                ..one.clone()
            },
            1,
        ),
        (
            UsageQuery {
                model: Some("other".into()),
                ..one.clone()
            },
            0,
        ),
    ];
    for (query, expected) in cases {
        let all = rows(stores, &query).await;
        assert_eq!(all.len(), expected, "{query:?}");
        // Page by page, the same.
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = stores
                .ledger
                .usage(&query, after.as_ref(), 2)
                .await
                .unwrap();
            let Some(last) = page.last().cloned() else {
                break;
            };
            after = Some((last.tenant, last.day, last.actor, last.model, last.version));
            paged.extend(page);
        }
        assert_eq!(paged, all);
    }
    let ledger = &stores.ledger;
    let since = |days: i64| day_of(NOW) + days;
    let key = format!("key_{:016}", 1);
    for (actor, day, calls, credits) in [
        (None, since(0), 5, 19),
        (None, since(1), 3, 9),
        (Some(&*key), since(0), 4, 16),
        (Some("nobody"), since(0), 0, 0),
        (None, since(2), 0, 0),
    ] {
        let used = ledger.used(&tenant(1), actor, day).await.unwrap();
        assert_eq!(
            (used.calls, used.credits),
            (calls, credits),
            "{actor:?} {day}"
        );
    }
}

async fn sums_of_usage_log_and_account_are_equal(stores: &Stores) {
    let at = NOW + 3 * DAY;
    let calls = (0..16_u8).map(|n| {
        let ledger = Arc::clone(&stores.ledger);
        let batch = (0..20).map(|m| spent(1 + n % 2, at, m % 3, m % 4, i64::from(m)));
        let batch = Arc::new(batch.collect());
        async move { ledger.settle(batch).await }
    });
    for settled in at_once(calls).await {
        settled.unwrap();
    }
    for n in [1, 2] {
        let account = stores.ledger.account(&tenant(n)).await.unwrap();
        let used = stores.ledger.used(&tenant(n), None, 0).await.unwrap();
        let query = AuditQuery {
            whose: Whose::Tenant(tenant(n)),
            act: Some(Act::Predict),
            ..AuditQuery::default()
        };
        let log = stores.audit.page(&query, Page::After(0), 10_000).await;
        let log = log.unwrap();
        let credits = log.iter().map(|row| {
            let detail = row.entry.detail.trim_start_matches(r#"{"credits":"#);
            detail.trim_end_matches('}').parse::<i64>().unwrap()
        });
        assert_eq!(used.credits, credits.sum::<i64>());
        assert_eq!(used.calls, log.len() as u64);
        assert_eq!(account.spent, used.credits);
        assert_eq!(account.balance(), -used.credits);
    }
}

async fn credits_are_given_and_taken_back(stores: &Stores) {
    let ledger = &stores.ledger;
    let spent = ledger.account(&tenant(1)).await.unwrap().spent;
    for (credits, granted) in [(500, 500), (-200, 300)] {
        let account = ledger.grant(&tenant(1), credits, &recorded()).await;
        assert_eq!(account.unwrap(), Account { granted, spent });
    }
    refused!(
        ledger.grant(&tenant(1), i64::MAX, &recorded()).await,
        Conflict
    );
    let account = ledger.account(&tenant(1)).await.unwrap();
    assert_eq!(account.granted, 300);
}

async fn what_was_spent_outlives_its_tenant(stores: &Stores) {
    let before = stores.ledger.account(&tenant(2)).await.unwrap();
    let used = stores.ledger.used(&tenant(2), None, 0).await.unwrap();
    assert!(before.spent > 0 && used.calls > 0);
    stores
        .tenants
        .delete(&tenant(2), NOW, &recorded())
        .await
        .unwrap();
    assert_eq!(stores.ledger.account(&tenant(2)).await.unwrap(), before);
    assert_eq!(stores.ledger.used(&tenant(2), None, 0).await.unwrap(), used);
}
