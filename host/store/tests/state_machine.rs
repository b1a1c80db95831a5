//! Any sequence of calls has the same answers from SQLite as from memory, where the rules are easy to read.

#![expect(
    clippy::unwrap_used,
    reason = "an error where none belongs fails the test"
)]

use foretell_store::{
    KeyEnd, KeyRecord, NewKey, NewTraffic, StoreError, Stores, TenantRecord, Traffic, memory, open,
    suite,
};
use foretell_types::{ErrorKind, KeyId, Scope};
use proptest::prelude::*;

/// Few names, so that calls meet.
const NAMES: u8 = 3;

#[derive(Debug, Clone)]
enum Call {
    CreateTenant {
        tenant: u8,
    },
    DeleteTenant {
        tenant: u8,
    },
    AddVersion {
        tenant: u8,
        model: u8,
        version: u8,
        content: u8,
    },
    SetTraffic {
        tenant: u8,
        model: u8,
        active: Option<u8>,
        canary: Option<u8>,
        shadow: Option<u8>,
        expected: Option<u64>,
    },
    SetUnloaded {
        tenant: u8,
        model: u8,
        unloaded: bool,
    },
    DeleteVersion {
        tenant: u8,
        model: u8,
        version: u8,
    },
    CreateKey {
        tenant: Option<u8>,
        key: u8,
        hash: u8,
    },
    EndKey {
        tenant: Option<u8>,
        key: u8,
        end: KeyEnd,
    },
}

fn call() -> impl Strategy<Value = Call> {
    let name = || 1..=NAMES;
    let maybe = || prop::option::weighted(0.8, 1..=NAMES);
    let seldom = || prop::option::weighted(0.3, 1..=NAMES);
    let end = prop_oneof![
        (0..9_i64).prop_map(KeyEnd::Revoked),
        (0..9_i64).prop_map(KeyEnd::Expires)
    ];
    prop_oneof![
        4 => name().prop_map(|tenant| Call::CreateTenant { tenant }),
        1 => name().prop_map(|tenant| Call::DeleteTenant { tenant }),
        16 => (name(), name(), name(), 1..=2_u8)
            .prop_map(|(tenant, model, version, content)| Call::AddVersion { tenant, model, version, content }),
        12 => (name(), name(), maybe(), seldom(), seldom(), prop::option::weighted(0.2, 0..3_u64)).prop_map(
            |(tenant, model, active, canary, shadow, expected)| Call::SetTraffic {
                tenant, model, active, canary, shadow, expected,
            },
        ),
        4 => (name(), name(), any::<bool>())
            .prop_map(|(tenant, model, unloaded)| Call::SetUnloaded { tenant, model, unloaded }),
        8 => (name(), name(), name())
            .prop_map(|(tenant, model, version)| Call::DeleteVersion { tenant, model, version }),
        4 => (maybe(), name(), name()).prop_map(|(tenant, key, hash)| Call::CreateKey { tenant, key, hash }),
        4 => (maybe(), name(), end).prop_map(|(tenant, key, end)| Call::EndKey { tenant, key, end }),
    ]
}

fn key_id(n: u8) -> KeyId {
    KeyId::parse(&format!("key_{n:016}")).unwrap()
}

/// Makes one call and shows its answer; of a refusal, its kind and its words.
async fn answer(stores: &Stores, call: &Call, now: i64) -> Result<String, (ErrorKind, String)> {
    let shown = |error: StoreError| (error.kind(), error.to_string());
    match *call {
        Call::CreateTenant { tenant } => {
            let record = TenantRecord {
                id: suite::tenant(tenant),
                created_at: now,
            };
            stores
                .tenants
                .create(&record, &suite::recorded())
                .await
                .map(|()| String::new())
        }
        Call::DeleteTenant { tenant } => stores
            .tenants
            .delete(&suite::tenant(tenant), now, &suite::recorded())
            .await
            .map(|()| String::new()),
        Call::AddVersion {
            tenant,
            model,
            version,
            content,
        } => {
            let new = suite::version(model, version, content);
            stores
                .models
                .add_version(&suite::tenant(tenant), &new, &suite::recorded())
                .await
                .map(|new| new.to_string())
        }
        Call::SetTraffic {
            tenant,
            model,
            active,
            canary,
            shadow,
            expected,
        } => {
            let traffic = Traffic {
                active: active.map(suite::version_name),
                canary: canary.map(suite::canary),
                shadow: shadow.map(suite::version_name),
            };
            let change = NewTraffic {
                expected,
                at: now,
                by: Some(key_id(model)),
                ..suite::change_to(traffic)
            };
            let before = stores
                .models
                .set_traffic(
                    &suite::tenant(tenant),
                    &suite::model(model),
                    &change,
                    suite::recorded_of(),
                )
                .await;
            before.map(|before| format!("{before:?}"))
        }
        Call::SetUnloaded {
            tenant,
            model,
            unloaded,
        } => {
            let (tenant, model) = (suite::tenant(tenant), suite::model(model));
            let before = stores
                .models
                .set_unloaded(&tenant, &model, unloaded, &suite::recorded())
                .await;
            before.map(|before| before.to_string())
        }
        Call::DeleteVersion {
            tenant,
            model,
            version,
        } => {
            let (tenant, model, version) = (
                suite::tenant(tenant),
                suite::model(model),
                suite::version_name(version),
            );
            let deleted = stores
                .models
                .delete_version(&tenant, &model, &version, now, &suite::recorded())
                .await;
            deleted.map(|deleted| format!("{deleted:?}"))
        }
        Call::CreateKey { tenant, key, hash } => {
            let record = KeyRecord {
                id: key_id(key),
                tenant: tenant.map(suite::tenant),
                label: String::new(),
                scopes: Scope::ALL.into_iter().collect(),
                created_at: now,
                expires_at: None,
                revoked_at: None,
                models: None,
                last_used_at: None,
            };
            stores
                .keys
                .create(
                    &NewKey {
                        record,
                        hash: [hash; 32],
                    },
                    &suite::recorded(),
                )
                .await
                .map(|()| String::new())
        }
        Call::EndKey { tenant, key, end } => {
            let ended = stores
                .keys
                .end(
                    tenant.map(suite::tenant).as_ref(),
                    &key_id(key),
                    end,
                    suite::recorded_of(),
                )
                .await;
            ended.map(|ended| format!("{ended:?}"))
        }
    }
    .map_err(shown)
}

/// All that can be read.
async fn everything(stores: &Stores) -> String {
    let mut all = format!(
        "{:?} {:?}",
        stores.tenants.list().await.unwrap(),
        stores.keys.list(None).await.unwrap()
    );
    for tenant in (1..=NAMES).map(suite::tenant) {
        let (models, keys) = (
            stores.models.list(&tenant).await.unwrap(),
            stores.keys.list(Some(&tenant)).await.unwrap(),
        );
        for listed in &models {
            let got = stores.models.get(&tenant, &listed.name).await.unwrap();
            assert_eq!(got.as_ref(), Some(listed), "a list shows what a get does");
            let changes = stores.models.traffic_changes(&tenant, &listed.name).await;
            all += &format!("\n{:?}", changes.unwrap());
        }
        all += &format!(
            "\n{:?} {models:?} {keys:?}",
            stores.tenants.get(&tenant).await.unwrap()
        );
    }
    for hash in 1..=NAMES {
        all += &format!("\n{:?}", stores.keys.find(&[hash; 32]).await.unwrap());
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_answers_as_memory_does(calls in prop::collection::vec(call(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (sqlite, memory) = (open("sqlite:", folder.path(), 1, suite::audit_key()).unwrap(), memory::stores());
            for (now, call) in (0..).zip(&calls) {
                let (found, expected) = (answer(&sqlite, call, now).await, answer(&memory, call, now).await);
                prop_assert_eq!(found, expected, "call {}: {:?}", now, call);
                prop_assert_eq!(everything(&sqlite).await, everything(&memory).await, "after call {}: {:?}", now, call);
            }
            Ok(())
        })?;
    }
}
