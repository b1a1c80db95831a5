//! The promises of [`Audit`](crate::Audit), and of every act that is recorded.

use std::sync::Arc;

use foretell_types::RequestId;

use super::fixtures::{NOW, create_tenants, model, recorded, tenant, version, version_name};
use super::keys::key;
use super::{at_once, refused};
use crate::{
    Act, AuditQuery, AuditRecord, Entry, EntryOf, KeyEnd, Known, NewTraffic, Page, Spent, Stores,
    Traffic, Used, Verdict, Whose,
};

/// Checks [`Audit`](crate::Audit).
pub async fn audit(stores: &Stores) {
    an_empty_log_is_good(stores).await;
    rows_come_back_as_they_were_in_both_directions(stores).await;
    rows_are_found_by_every_condition(stores).await;
    create_tenants(stores, 1).await;
    what_is_marked_is_done_once(stores).await;
    an_act_that_is_refused_has_no_row(stores).await;
    every_act_has_its_row_and_says_what_was_before(stores).await;
    of_many_at_once_none_is_lost(stores).await;
    a_log_that_is_shorter_than_it_was_is_found(stores).await;
}

async fn all(stores: &Stores) -> Vec<AuditRecord> {
    page(stores, &AuditQuery::default(), Page::After(0), 10_000).await
}

async fn page(stores: &Stores, query: &AuditQuery, page: Page, limit: u32) -> Vec<AuditRecord> {
    stores.audit.page(query, page, limit).await.unwrap()
}

/// A look at the log by somebody who knows of this row.
async fn look(stores: &Stores, last: u64) -> Verdict {
    let known = Known {
        last: Some(last),
        ..Known::default()
    };
    stores.audit.verify(known).await.unwrap()
}

async fn an_empty_log_is_good(stores: &Stores) {
    assert_eq!(stores.audit.last().await.unwrap(), 0);
    assert_eq!(all(stores).await, []);
    let verdict = stores.audit.verify(Known::default()).await.unwrap();
    assert_eq!((verdict.good, verdict.broken), (0, None));
}

fn entries() -> Vec<Entry> {
    let plain = recorded();
    let full = Entry {
        at: NOW + 5,
        tenant: Some(tenant(7)),
        actor: "key_0000000000000007".into(),
        act: Act::Predict,
        object: "m/1".into(),
        outcome: "plugin_trapped".into(),
        request_id: Some(RequestId::parse("r-1").unwrap()),
        origin: Some("0a1b".into()),
        detail: r#"{"text":"é\u0000'\""}"#.into(),
        once: None,
    };
    let other = Entry {
        tenant: Some(tenant(8)),
        at: NOW + 9,
        ..full.clone()
    };
    vec![plain, full, other]
}

async fn rows_come_back_as_they_were_in_both_directions(stores: &Stores) {
    assert_eq!(stores.audit.append(entries()).await.unwrap(), 3);
    assert_eq!(stores.audit.append(vec![]).await.unwrap(), 3);
    let rows = all(stores).await;
    let found: Vec<_> = rows.iter().map(|row| row.entry.clone()).collect();
    assert_eq!(found, entries());
    let numbers = |rows: &[AuditRecord]| rows.iter().map(|row| row.seq).collect::<Vec<_>>();
    assert_eq!(numbers(&rows), [1, 2, 3]);
    let any = AuditQuery::default();
    for (at, limit, expected) in [
        (Page::After(1), 1, &[2][..]),
        (Page::After(3), 9, &[]),
        (Page::Before(None), 2, &[3, 2]),
        (Page::Before(Some(2)), 9, &[1]),
        (Page::Before(Some(1)), 9, &[]),
    ] {
        assert_eq!(
            numbers(&page(stores, &any, at, limit).await),
            expected,
            "{at:?}"
        );
    }
    // A clock that goes back does not take the log along.
    let early = Entry {
        at: 1,
        ..recorded()
    };
    stores.audit.append(vec![early]).await.unwrap();
    assert_eq!(all(stores).await[3].entry.at, NOW + 9);
}

async fn rows_are_found_by_every_condition(stores: &Stores) {
    let any = AuditQuery::default;
    let cases = [
        (any(), 4),
        (
            AuditQuery {
                whose: Whose::Tenant(tenant(7)),
                ..any()
            },
            1,
        ),
        (
            AuditQuery {
                whose: Whose::Tenant(tenant(9)),
                ..any()
            },
            0,
        ),
        (
            AuditQuery {
                act: Some(Act::Predict),
                ..any()
            },
            2,
        ),
        (
            AuditQuery {
                act: Some(recorded().act),
                ..any()
            },
            2,
        ),
        (
            AuditQuery {
                actor: Some("key_0000000000000007".into()),
                ..any()
            },
            2,
        ),
        (
            AuditQuery {
                outcome: Some("ok".into()),
                ..any()
            },
            2,
        ),
        (
            AuditQuery {
                object: Some("m/1".into()),
                ..any()
            },
            2,
        ),
        (
            AuditQuery {
                request_id: Some(RequestId::parse("r-1").unwrap()),
                ..any()
            },
            2,
        ),
        (
            AuditQuery {
                since: Some(NOW + 5),
                ..any()
            },
            3,
        ),
        (
            AuditQuery {
                since: Some(NOW + 6),
                until: Some(NOW + 9),
                ..any()
            },
            0,
        ),
        (
            AuditQuery {
                until: Some(NOW + 6),
                ..any()
            },
            2,
        ),
        (
            AuditQuery {
                whose: Whose::Tenant(tenant(7)),
                act: Some(Act::KeyCreate),
                ..any()
            },
            0,
        ),
    ];
    for (query, expected) in cases {
        for at in [Page::After(0), Page::Before(None)] {
            let found = page(stores, &query, at, 100).await;
            assert_eq!(found.len(), expected, "{query:?}");
        }
    }
}

async fn an_act_that_is_refused_has_no_row(stores: &Stores) {
    let before = stores.audit.last().await.unwrap();
    let record = crate::TenantRecord {
        id: tenant(1),
        created_at: NOW,
    };
    refused!(stores.tenants.create(&record, &recorded()).await, Conflict);
    refused!(
        stores.tenants.delete(&tenant(9), NOW, &recorded()).await,
        NotFound
    );
    let nobody = key(50, Some(tenant(9)));
    refused!(stores.keys.create(&nobody, &recorded()).await, NotFound);
    refused!(
        stores
            .models
            .add_version(&tenant(9), &version(1, 1, 1), &recorded())
            .await,
        NotFound
    );
    refused!(
        stores.ledger.grant(&tenant(9), 1, &recorded()).await,
        NotFound
    );
    assert_eq!(stores.audit.last().await.unwrap(), before);
}

/// What tells one act from the next.
fn of(act: Act, object: &str) -> Entry {
    Entry {
        act,
        object: object.into(),
        tenant: Some(tenant(1)),
        ..recorded()
    }
}

fn shown<T: std::fmt::Debug + 'static>(act: Act) -> EntryOf<T> {
    Arc::new(move |before: &T| Entry {
        detail: format!("{before:?}"),
        ..of(act, "")
    })
}

async fn every_act_has_its_row_and_says_what_was_before(stores: &Stores) {
    let last = stores.audit.last().await.unwrap();
    let (one, keys, models) = (tenant(1), &stores.keys, &stores.models);
    let new_key = key(1, Some(one.clone()));
    keys.create(&new_key, &of(Act::KeyCreate, "1"))
        .await
        .unwrap();
    let end = KeyEnd::Revoked(NOW);
    keys.end(Some(&one), &new_key.record.id, end, shown(Act::KeyRevoke))
        .await
        .unwrap();
    for (number, is_new) in [(1, true), (2, true), (2, false)] {
        let added = version(1, number, number);
        let entry = of(Act::VersionCreate, &number.to_string());
        assert_eq!(
            models.add_version(&one, &added, &entry).await.unwrap(),
            is_new
        );
    }
    let traffic = |active: u8| NewTraffic {
        traffic: Traffic {
            active: Some(version_name(active)),
            ..Traffic::default()
        },
        expected: None,
        at: NOW,
        by: None,
        reason: String::new(),
    };
    for active in [2, 2] {
        let entry = shown(Act::TrafficSet);
        models
            .set_traffic(&one, &model(1), &traffic(active), entry)
            .await
            .unwrap();
    }
    for unloaded in [true, true, false] {
        let entry = of(Act::ModelUnload, &unloaded.to_string());
        models
            .set_unloaded(&one, &model(1), unloaded, &entry)
            .await
            .unwrap();
    }
    let entry = of(Act::VersionDelete, "1");
    models
        .delete_version(&one, &model(1), &version_name(1), NOW, &entry)
        .await
        .unwrap();
    let entry = of(Act::TenantDelete, "1");
    stores.tenants.delete(&one, NOW, &entry).await.unwrap();

    let rows = page(stores, &AuditQuery::default(), Page::After(last), 100).await;
    let found: Vec<_> = rows
        .iter()
        .map(|row| (row.entry.act, row.entry.object.as_str()))
        .collect();
    // What changes nothing is no act.
    assert_eq!(
        found,
        [
            (Act::KeyCreate, "1"),
            (Act::KeyRevoke, ""),
            (Act::VersionCreate, "1"),
            (Act::VersionCreate, "2"),
            (Act::TrafficSet, ""),
            (Act::ModelUnload, "true"),
            (Act::ModelUnload, "false"),
            (Act::VersionDelete, "1"),
            (Act::TenantDelete, "1"),
        ]
    );
    assert_eq!(rows[1].entry.detail, format!("{:?}", new_key.record));
    assert_eq!(rows[4].entry.detail, format!("{:?}", traffic(1).traffic));
    let verdict = stores.audit.verify(Known::default()).await.unwrap();
    assert_eq!((verdict.good, verdict.broken), (last + 9, None));
}

async fn of_many_at_once_none_is_lost(stores: &Stores) {
    let before = stores.audit.last().await.unwrap();
    let calls = (0..32).map(|n| {
        let audit = Arc::clone(&stores.audit);
        let entry = Entry {
            object: format!("{n}"),
            ..recorded()
        };
        async move { audit.append(vec![entry; 3]).await }
    });
    let mut ends: Vec<_> = at_once(calls)
        .await
        .into_iter()
        .map(|end| end.unwrap() - before)
        .collect();
    ends.sort_unstable();
    assert_eq!(ends, (1..=32).map(|n| 3 * n).collect::<Vec<_>>());
    let verdict = look(stores, before + 96).await;
    assert_eq!((verdict.good, verdict.broken), (before + 96, None));
}

async fn a_log_that_is_shorter_than_it_was_is_found(stores: &Stores) {
    let last = stores.audit.last().await.unwrap();
    let verdict = look(stores, last + 1).await;
    assert_eq!(verdict.good, last);
    assert_eq!(verdict.broken.unwrap().fault, crate::Fault::CutOff);
}

async fn what_is_marked_is_done_once(stores: &Stores) {
    let marked = |n: u8| Entry {
        once: Some([n; 32]),
        ..recorded()
    };
    let found = |n: u8| async move {
        let row = stores.audit.marked(&[n; 32]).await.unwrap();
        row.map(|row| row.seq)
    };
    assert_eq!(found(100).await, None);
    let first = stores.audit.append(vec![marked(100)]).await.unwrap();
    assert_eq!(found(100).await, Some(first));
    // All or nothing.
    let again = stores.audit.append(vec![marked(101), marked(100)]).await;
    refused!(again, Conflict);
    assert_eq!(found(101).await, None);
    assert_eq!(stores.audit.last().await.unwrap(), first);
    // An act that is refused for its mark is not done.
    let key = key(101, None);
    refused!(stores.keys.create(&key, &marked(100)).await, Conflict);
    assert_eq!(stores.keys.find(&key.hash).await.unwrap(), None);
    let before = stores.ledger.account(&tenant(1)).await.unwrap();
    let grant = stores.ledger.grant(&tenant(1), 5, &marked(100)).await;
    refused!(grant, Conflict);
    assert_eq!(stores.ledger.account(&tenant(1)).await.unwrap(), before);
    // What was spent is written all the same, without the mark.
    let spent = |n| Spent {
        entry: marked(n),
        model: String::new(),
        version: String::new(),
        used: Used::default(),
    };
    let batch = vec![spent(100), spent(102), spent(102)];
    let last = stores.ledger.settle(Arc::new(batch)).await.unwrap();
    assert_eq!(last, first + 3);
    assert_eq!(
        (found(100).await, found(102).await),
        (Some(first), Some(first + 2))
    );
    assert_eq!(
        stores.audit.verify(Known::default()).await.unwrap().broken,
        None
    );
}
