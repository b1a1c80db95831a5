//! What calls may use, what they cost, and the records of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foretell_predict::account::MICRO;
use foretell_predict::manage::{
    Act, AuditQuery, AuditRecord, Page, Price, Quotas, TenantLimits, UsageQuery,
};
use foretell_predict::{
    CacheLimits, CacheUse, Call, Governance, HitPrice, Limits, PredictError, Records,
};
use foretell_types::run::{RunError, Urgency};
use foretell_types::{ErrorKind, TenantId};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::house::{COMPUTE, DAY_MS, House, OPERATOR, call, on};

/// A house with tenant `a`, its model `m` that is run each time, its model `same` that is cached, and a key.
async fn house(governance: Governance) -> (Arc<House>, String) {
    let limits = Limits::default();
    let cache = CacheLimits::default();
    let house = House::governed(limits, cache, governance, Records::default()).await;
    let key = house
        .tenant("a", &["infer", "models", "keys", "usage", "audit"])
        .await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    house.push(&key, "same", "1", b"same").await.unwrap();
    (Arc::new(house), key)
}

async fn set(house: &House, limits: TenantLimits) {
    let set = house.manager.set_limits(&call(OPERATOR), "a", limits).await;
    set.unwrap();
}

fn quotas(quotas: Quotas) -> TenantLimits {
    TenantLimits {
        quotas,
        ..TenantLimits::default()
    }
}

/// All records of tenant `a` of an act, oldest first.
async fn records(house: &House, act: Act) -> Vec<AuditRecord> {
    let query = AuditQuery {
        act: Some(act),
        ..AuditQuery::default()
    };
    let page = house
        .manager
        .audit(&on(OPERATOR, "a"), query, Page::After(0), 1_000)
        .await;
    page.unwrap()
}

fn detail(record: &AuditRecord) -> Value {
    serde_json::from_str(&record.entry.detail).unwrap()
}

async fn balance(house: &House) -> i64 {
    let standing = house.manager.tenant_standing(&call(OPERATOR), "a").await;
    standing.unwrap().account.balance()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_callers_exactly_as_many_pass_as_the_quota_says() {
    let (house, key) = house(Governance::unlimited()).await;
    set(
        &house,
        quotas(Quotas {
            predictions_per_day: Some(10_000),
            ..Quotas::default()
        }),
    )
    .await;
    let tasks = (0..64).map(|_| {
        let (house, call) = (Arc::clone(&house), call(&key));
        tokio::spawn(async move {
            let mut passed = 0_u64;
            for n in 0..1_000 {
                match house.predict(&call, "m", None, f64::from(n % 100)).await {
                    Ok(_) => passed += 1,
                    Err(error) => assert!(
                        // As many are under way as may be, or the quota is used up.
                        matches!(
                            error,
                            PredictError::QuotaExhausted { .. } | PredictError::TenantBusy { .. }
                        ),
                        "{error}"
                    ),
                }
            }
            passed
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut passed = 0;
    for task in tasks {
        passed += task.await.unwrap();
    }
    assert_eq!(passed, 10_000);
    let standing = house.manager.tenant_standing(&call(OPERATOR), "a").await;
    let standing = standing.unwrap();
    assert_eq!(standing.today.predictions, 10_000);
    assert_eq!(standing.account.spent, 10_000 * MICRO);
    // The next day there is more, and what is left of the month is told from the day.
    house.now.fetch_add(DAY_MS, Ordering::Relaxed);
    house.predict(&call(&key), "m", None, 1.0).await.unwrap();
}

#[tokio::test]
async fn requests_are_limited_in_a_window_and_told_when_to_come_back() {
    let (house, key) = house(Governance {
        quotas: Quotas {
            requests_per_window: Some(3),
            ..Quotas::default()
        },
        ..Governance::default()
    })
    .await;
    for left in [2, 1, 0] {
        let call = call(&key);
        house.predict(&call, "m", None, 1.0).await.unwrap();
        assert_eq!(call.rate.get().unwrap().remaining, left);
    }
    let call_4 = call(&key);
    let error = house.predict(&call_4, "m", None, 1.0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(error.retry_after().unwrap() > Duration::from_secs(3_600));
    assert_eq!(call_4.rate.get().unwrap().limit, 3);
    // More keys are no more requests; another tenant has its own.
    let second = house.key(&call(&key), &["infer"]).await;
    let kind = house.kind(&call(&second), "m", None, 1.0).await;
    assert_eq!(kind, ErrorKind::RateLimited);
    let other = house.tenant("b", &["infer", "models"]).await;
    house.push(&other, "m", "1", b"one").await.unwrap();
    house.predict(&call(&other), "m", None, 1.0).await.unwrap();
    // A new limit holds at once, for what was asked before, too.
    set(
        &house,
        quotas(Quotas {
            requests_per_window: Some(5),
            ..Quotas::default()
        }),
    )
    .await;
    for _ in 0..2 {
        house.predict(&call(&key), "m", None, 1.0).await.unwrap();
    }
    assert_eq!(
        house.kind(&call(&key), "m", None, 1.0).await,
        ErrorKind::RateLimited
    );
}

#[tokio::test]
async fn a_key_has_limits_of_its_own_within_those_of_its_tenant() {
    let (house, key) = house(Governance::unlimited()).await;
    let small = house.key(&call(&key), &["infer"]).await;
    let id = house.manager.caller_of(&call(&small)).await.unwrap();
    let id = id.key.clone().unwrap();
    house.predict(&call(&small), "m", None, 1.0).await.unwrap();
    let quotas = Quotas {
        predictions_per_day: Some(3),
        ..Quotas::default()
    };
    house
        .manager
        .set_key_limits(&call(&key), id.as_str(), quotas)
        .await
        .unwrap();
    // What it used before counts.
    for _ in 0..2 {
        house.predict(&call(&small), "m", None, 1.0).await.unwrap();
    }
    let error = house.predict(&call(&small), "m", None, 1.0).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("this key is out of quota: its 3 predictions of this day (UTC) are used up"),
        "{error}"
    );
    house.predict(&call(&key), "m", None, 1.0).await.unwrap();
    let found = house.manager.key_limits(&call(&key), id.as_str()).await;
    assert_eq!(found.unwrap(), quotas);
}

#[tokio::test]
async fn credits_are_taken_by_row_and_by_time_and_never_more_than_there_are() {
    let (house, key) = house(Governance {
        prepaid: true,
        ..Governance::unlimited()
    })
    .await;
    let prices = [("m", 2 * MICRO, MICRO / 2)].map(|(model, prediction, compute_ms)| {
        let price = Price {
            prediction: Some(prediction),
            compute_ms: Some(compute_ms),
        };
        (model.parse().unwrap(), price)
    });
    set(
        &house,
        TenantLimits {
            models_price: prices.into(),
            ..TenantLimits::default()
        },
    )
    .await;
    let error = house
        .predict(&call(&key), "m", None, 1.0)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExhausted);
    // Two credits, and half a one for each of the 1,000 ms that it may take at most.
    assert!(error.to_string().contains("may cost 502"), "{error}");
    house
        .manager
        .grant_credits(&call(OPERATOR), "a", 503 * MICRO, "first")
        .await
        .unwrap();
    let answer = house.answer(&call(&key), "m", None, 1.0).await.unwrap();
    let cost = 2 * MICRO + i64::try_from(COMPUTE.as_millis()).unwrap() * MICRO / 2;
    assert_eq!(answer.credits, cost, "trued up after the run");
    assert_eq!(balance(&house).await, 503 * MICRO - cost);
    // What is left is less than the next may cost.
    let kind = house.kind(&call(&key), "m", None, 1.0).await;
    assert_eq!(kind, ErrorKind::QuotaExhausted);
    assert_eq!(balance(&house).await, 503 * MICRO - cost);
    // Another model has the host's price, and is within it.
    house.predict(&call(&key), "same", None, 1.0).await.unwrap();
    assert_eq!(balance(&house).await, 503 * MICRO - cost - MICRO);
}

#[tokio::test]
async fn what_the_host_could_not_do_is_given_back_and_what_the_plugin_did_is_not() {
    let (house, key) = house(Governance::unlimited()).await;
    let plan = |result| *house.runner.plan.lock().unwrap() = Some(Err(result));
    let unavailable = RunError::Unavailable {
        cause: "memory".into(),
        retry_after: Duration::from_secs(1),
    };
    plan(unavailable);
    house
        .predict(&call(&key), "m", None, 1.0)
        .await
        .unwrap_err();
    assert_eq!(balance(&house).await, 0);
    plan(RunError::Deadline {
        deadline: Duration::from_secs(1),
    });
    house
        .predict(&call(&key), "m", None, 1.0)
        .await
        .unwrap_err();
    assert_eq!(balance(&house).await, -MICRO);
    // What never came to a run costs nothing.
    house.kind(&call(&key), "m", None, 1e9).await;
    assert_eq!(balance(&house).await, -MICRO);

    let outcomes: Vec<_> = records(&house, Act::Predict)
        .await
        .iter()
        .map(|record| {
            let detail = detail(record);
            let outcome = record.entry.outcome.to_string();
            (outcome, detail["micro_credits"].as_i64().unwrap())
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            ("unavailable".to_owned(), 0),
            ("deadline_exceeded".to_owned(), MICRO)
        ]
    );
    let refused = records(&house, Act::Refuse).await;
    let refused: Vec<_> = refused
        .iter()
        .map(|record| (record.entry.object.as_str(), &*record.entry.outcome))
        .collect();
    assert_eq!(refused, [("predict m", "out_of_range")]);
}

#[tokio::test]
async fn an_answer_that_was_given_before_costs_what_the_policy_says() {
    for (hits, cost) in [(HitPrice::Full, MICRO), (HitPrice::Free, 0)] {
        let (house, key) = house(Governance {
            hits,
            ..Governance::unlimited()
        })
        .await;
        let first = house.answer(&call(&key), "same", None, 1.0).await.unwrap();
        let second = house.answer(&call(&key), "same", None, 1.0).await.unwrap();
        assert_eq!((first.credits, second.credits), (MICRO, cost));
        let records = records(&house, Act::Predict).await;
        let shown: Vec<_> = records.iter().map(detail).collect();
        assert_eq!(shown[0]["cache"], "miss");
        assert_eq!(shown[1]["cache"], "hit");
        assert_eq!(shown[0]["input"], shown[1]["input"]);
        let usage = house
            .manager
            .usage(&call(&key), UsageQuery::default(), None, 10)
            .await
            .unwrap();
        assert_eq!(
            (usage.len(), usage[0].used.calls, usage[0].used.cached),
            (1, 2, 1)
        );
        assert_eq!(usage[0].used.credits, MICRO + cost);
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_pays_for_what_ran_and_leaves_its_record() {
    let (house, key) = house(Governance::unlimited()).await;
    let held = Arc::new(Semaphore::new(0));
    *house.runner.held.lock().unwrap() = Some(Arc::clone(&held));
    let asking = {
        let (house, call) = (Arc::clone(&house), call(&key));
        tokio::spawn(async move { house.predict(&call, "m", None, 1.0).await })
    };
    while house.runs() == 0 {
        tokio::task::yield_now().await;
    }
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    let records = records(&house, Act::Predict).await;
    assert_eq!(records.len(), 1);
    assert_eq!(&*records[0].entry.outcome, "abandoned");
    assert_eq!(balance(&house).await, -MICRO);
}

#[tokio::test]
async fn who_hangs_up_before_anything_was_run_pays_nothing() {
    let (house, key) = house(Governance::unlimited()).await;
    *house.runner.queued.lock().unwrap() = Some(Arc::new(Semaphore::new(0)));
    let asking = {
        let (house, key) = (Arc::clone(&house), key.clone());
        tokio::spawn(async move { house.predict(&call(&key), "m", None, 1.0).await })
    };
    while house.runs() == 0 {
        tokio::task::yield_now().await;
    }
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    let hurried = Urgency {
        timeout: Some(Duration::from_millis(1)),
        ..Urgency::default()
    };
    let late = house
        .urgent(&call(&key), "m", None, 1.0, hurried)
        .await
        .unwrap_err();
    assert_eq!(late.kind(), ErrorKind::DeadlineExceeded);
    let records = records(&house, Act::Predict).await;
    let outcomes: Vec<_> = records.iter().map(|row| &*row.entry.outcome).collect();
    assert_eq!(outcomes, ["abandoned", "deadline_exceeded"]);
    assert_eq!(balance(&house).await, 0);
}

#[tokio::test]
async fn a_record_tells_who_asked_what_of_which_version_and_holds_no_input() {
    let (house, key) = house(Governance::unlimited()).await;
    house.predict(&call(&key), "m", None, 77.125).await.unwrap();
    let records = records(&house, Act::Predict).await;
    let [record] = &records[..] else {
        panic!("{records:?}")
    };
    let entry = &record.entry;
    let who = house.manager.caller_of(&call(&key)).await.unwrap();
    assert_eq!(entry.actor, who.actor);
    assert_eq!(entry.tenant, Some(TenantId::parse("a").unwrap()));
    assert_eq!((entry.object.as_str(), &*entry.outcome), ("m/1", "ok"));
    assert_eq!(entry.request_id.as_ref().unwrap().as_str(), "test");
    let version = house.manager.version(&call(&key), "m", "1").await.unwrap();
    let detail = detail(record);
    assert_eq!(detail["digest"], version.record.digest.to_string());
    assert_eq!(detail["predictions"], 1);
    assert_eq!(
        detail["compute_us"],
        u64::try_from(COMPUTE.as_micros()).unwrap()
    );
    assert_eq!(detail["micro_credits"], MICRO);
    assert_eq!(detail["input"].as_str().unwrap().len(), 64);
    assert!(!entry.detail.contains("77.125"), "{}", entry.detail);
}

#[tokio::test]
async fn refusals_are_counted_and_told_apart() {
    let (house, key) = house(Governance::unlimited()).await;
    for _ in 0..50 {
        house.kind(&call(&key), "absent", None, 1.0).await;
    }
    let nobody = Call {
        cache: CacheUse::Recall,
        ..call("ftl_live_wrong")
    };
    for _ in 0..7 {
        assert_eq!(
            house.kind(&nobody, "m", None, 1.0).await,
            ErrorKind::Unauthenticated
        );
    }
    let query = AuditQuery {
        act: Some(Act::Refuse),
        ..AuditQuery::default()
    };
    let all = house
        .manager
        .audit(&call(OPERATOR), query, Page::After(0), 100)
        .await
        .unwrap();
    let counts: HashMap<_, _> = all
        .iter()
        .map(|record| {
            let key = (
                record.entry.outcome.to_string(),
                record.entry.tenant.is_some(),
            );
            (key, detail(record)["count"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(counts[&("not_found".to_owned(), true)], 50);
    assert_eq!(counts[&("unauthenticated".to_owned(), false)], 7);
    assert_eq!(all.len(), 2);
    // A tenant sees its own, and not who knocked at the host's door.
    assert_eq!(records(&house, Act::Refuse).await.len(), 1);
    let verdict = house.manager.verify_audit(&call(OPERATOR)).await.unwrap();
    assert_eq!(verdict.verdict.broken, None);
}

#[tokio::test]
async fn every_act_says_who_what_before_and_after() {
    let (house, key) = house(Governance::unlimited()).await;
    let second = house.key(&call(&key), &["infer"]).await;
    let id = house.manager.caller_of(&call(&second)).await.unwrap();
    let id = id.key.clone().unwrap();
    let revoked = house.manager.revoke_key(&call(&key), id.as_str()).await;
    revoked.unwrap();
    house.manager.unload(&call(&key), "m").await.unwrap();
    house.manager.load(&call(&key), "m").await.unwrap();
    house.manager.purge_cache(&call(&key)).await.unwrap();
    set(
        &house,
        quotas(Quotas {
            concurrent: Some(9),
            ..Quotas::default()
        }),
    )
    .await;
    let all = house
        .manager
        .audit(&call(OPERATOR), AuditQuery::default(), Page::After(0), 100)
        .await
        .unwrap();
    let acts: Vec<_> = all.iter().map(|record| record.entry.act).collect();
    assert_eq!(
        acts,
        [
            Act::KeyCreate,
            Act::TenantCreate,
            Act::KeyCreate,
            Act::VersionCreate,
            Act::VersionCreate,
            Act::KeyCreate,
            Act::KeyRevoke,
            Act::ModelUnload,
            Act::ModelLoad,
            Act::CachePurge,
            Act::LimitsSet,
        ]
    );
    let who = house.manager.caller_of(&call(&key)).await.unwrap();
    assert_eq!(&*all[0].entry.actor, "server", "the key of the first start");
    assert_eq!(all[6].entry.actor, who.actor);
    let revoke = detail(&all[6]);
    assert_eq!(revoke["before"]["revoked_at"], Value::Null);
    assert!(revoke["after"]["revoked_at"].is_i64());
    let limits = detail(&all[10]);
    assert_eq!(limits["after"]["quotas"]["concurrent"], 9);
    assert_eq!(limits["before"]["quotas"], serde_json::json!({}));
}
